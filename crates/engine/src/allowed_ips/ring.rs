//! The rings of nodes by owner, and the removal of a whole ring.
//!
//! # Theory
//!
//! The nodes of an owner form a ring in the order in which it got them; `heads` names the first one, whose
//! predecessor is the last one. Glue is in no ring: its links point to itself.
//!
//! **Cache misses.** With 10^6 prefixes each node that a removal touches is a cache miss: the node, its parent,
//! its sibling and its parent's parent. Done one after the other, these misses, not the instructions, would make
//! a removal from a large trie several times slower than from a small one. So a removal reads ahead: it collects
//! up to [`BATCH`] nodes of the ring, reads everything that their removal will touch in a loop without branches,
//! where the misses of different nodes overlap, and only then changes anything.

use alloc::vec::Vec;
use core::hint::black_box;

use super::address::Address;
use super::node::{Cold, NONE};
use super::trie::Trie;

/// Nodes removed in one go.
const BATCH: usize = 16;

impl<A: Address> Trie<A> {
    /// Appends a node to the ring of `owner`.
    pub(super) fn link(&mut self, node: u32, owner: u32) {
        self.nodes.hot_mut(node).owner = owner;
        let owner = owner as usize;
        if self.heads.len() <= owner {
            self.heads.resize(owner + 1, NONE);
        }
        let head = self.heads[owner];
        if head == NONE {
            self.heads[owner] = node;
            self.join(node, node);
        } else {
            self.join(self.nodes.cold(head).previous, node);
            self.join(node, head);
        }
    }

    /// Takes a node out of the ring of `owner`.
    pub(super) fn unlink(&mut self, node: u32, owner: u32) {
        let Cold { next, previous, .. } = *self.nodes.cold(node);
        self.join(previous, next);
        self.join(node, node);
        let head = &mut self.heads[owner as usize];
        if *head == node {
            *head = if next == node { NONE } else { next };
        }
    }

    /// Removes all prefixes of `owner` and tells how many there were.
    pub(super) fn remove_owner(&mut self, owner: u32) -> usize {
        let before = self.prefixes;
        while let Some(head) = self.head(owner) {
            let (batch, rest) = self.collect(head);
            match rest {
                None => self.heads[owner as usize] = NONE,
                Some(rest) => {
                    self.join(self.nodes.cold(head).previous, rest);
                    self.heads[owner as usize] = rest;
                }
            }
            self.read_ahead(batch.iter());
            for node in batch.iter() {
                self.join(node, node);
                self.vacate(node);
            }
            // Only now, because it moves nodes.
            for _ in batch.iter() {
                self.compact();
            }
        }
        self.trim();
        before - self.prefixes
    }

    pub(super) fn head(&self, owner: u32) -> Option<u32> {
        self.heads
            .get(owner as usize)
            .copied()
            .filter(|&head| head != NONE)
    }

    /// The node after `node` in its ring, unless that is the first one.
    pub(super) fn after(&self, node: u32, head: u32) -> Option<u32> {
        let next = self.nodes.cold(node).next;
        (next != head).then_some(next)
    }

    fn join(&mut self, previous: u32, next: u32) {
        self.nodes.cold_mut(previous).next = next;
        self.nodes.cold_mut(next).previous = previous;
    }

    /// The first nodes of a ring, and the one after them if there are more.
    fn collect(&self, head: u32) -> (Batch, Option<u32>) {
        let mut batch = Batch {
            nodes: [NONE; BATCH],
            len: 0,
        };
        let mut at = Some(head);
        while let Some(node) = at
            && batch.len < BATCH
        {
            batch.nodes[batch.len] = node;
            batch.len += 1;
            at = self.after(node, head);
        }
        (batch, at)
    }

    /// Brings what the removal of `nodes` touches into the cache.
    fn read_ahead(&self, nodes: impl Iterator<Item = u32>) {
        let last = self.nodes.places().saturating_sub(1);
        let mut sum = 0;
        for node in nodes {
            // Some of these are no node at all; any other will do then, but a branch would not.
            let parent = self.nodes.cold(node).parent.parent_or_any().min(last);
            let above = self.nodes.cold(parent).parent.parent_or_any().min(last);
            let hot = self.nodes.hot(parent);
            let (left, right) = (hot.child(0).min(last), hot.child(1).min(last));
            sum ^= self.nodes.hot(node).owner ^ self.nodes.hot(above).owner;
            sum ^= self.nodes.cold(left).next ^ self.nodes.cold(right).next;
        }
        black_box(sum);
    }

    /// Drops unused heads at the end, a few at a time so that no operation has to drop many; all if none is used.
    pub(super) fn trim(&mut self) {
        if self.prefixes == 0 {
            self.heads = Vec::new();
            return;
        }
        for _ in 0..16 {
            if self.heads.last() == Some(&NONE) {
                self.heads.pop();
            }
        }
        if self.heads.len() < self.heads.capacity() / 4 {
            self.heads.shrink_to(self.heads.capacity() / 2);
        }
    }
}

#[derive(Clone, Copy)]
struct Batch {
    nodes: [u32; BATCH],
    len: usize,
}

impl Batch {
    fn iter(&self) -> impl Iterator<Item = u32> {
        self.nodes[..self.len].iter().copied()
    }
}
