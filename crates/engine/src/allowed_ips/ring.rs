//! The rings of nodes by owner, and the removal of a whole ring.
//!
//! # Theory
//!
//! The nodes of an owner form a ring in the order in which it got them; `heads` names the first one, whose
//! predecessor is the last one. Glue is in no ring: its links point to itself.
//!
//! **Cache misses.** In a large table each node on the ring is a cache miss, and since a node names the next, one
//! after the other. So a ring is taken off from both of its ends in turns, which makes two chains of misses side by
//! side. What else a removal touches (parent, sibling, the parent's parent) is known from the node alone, so that
//! a processor overlaps the misses of several nodes by itself: to read it all ahead in a loop of its own gained
//! less than a tenth.

use super::address::Address;
use super::node::{Cold, NONE};
use super::trie::Trie;
use crate::pages::Number;

/// Nodes removed in one go; even, as they are collected in pairs.
const BATCH: usize = 16;

impl<A: Address> Trie<A> {
    /// Appends a node to the ring of `owner`.
    pub(super) fn link(&mut self, node: u32, owner: u32) {
        self.nodes.hot_mut(node).owner = owner;
        if let Some(head) = self.head(owner) {
            self.join(self.nodes.cold(head).previous, node);
            self.join(node, head);
        } else {
            self.heads.insert(owner, Number::new(node));
            self.join(node, node);
        }
    }

    /// Takes a node out of the ring of `owner`.
    pub(super) fn unlink(&mut self, node: u32, owner: u32) {
        let Cold { next, previous, .. } = *self.nodes.cold(node);
        self.join(previous, next);
        self.join(node, node);
        if next == node {
            self.heads.remove(owner);
        } else if self.head(owner) == Some(node) {
            self.heads.insert(owner, Number::new(next));
        }
    }

    /// Removes all prefixes of `owner` and tells how many there were.
    pub(super) fn remove_owner(&mut self, owner: u32) -> usize {
        let before = self.prefixes;
        while let Some(head) = self.head(owner) {
            let batch = self.collect(owner, head);
            for node in batch.iter() {
                self.join(node, node);
                self.vacate(node);
            }
            // Only now, because it moves nodes.
            for _ in batch.iter() {
                self.compact();
            }
        }
        before - self.prefixes
    }

    pub(super) fn head(&self, owner: u32) -> Option<u32> {
        self.heads.get(owner).map(|head| head.get())
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

    /// Takes up to [`BATCH`] nodes off a ring, from its beginning and its end in turns: two chains of cache
    /// misses side by side are half as long as one.
    fn collect(&mut self, owner: u32, head: u32) -> Batch {
        let mut batch = Batch {
            nodes: [NONE; BATCH],
            len: 0,
        };
        let (mut front, mut back) = (head, self.nodes.cold(head).previous);
        loop {
            batch.push(front);
            if front == back {
                break;
            }
            batch.push(back);
            let (next, previous) = (self.nodes.cold(front).next, self.nodes.cold(back).previous);
            if next == back {
                break;
            }
            if batch.len == BATCH {
                self.join(previous, next);
                self.heads.insert(owner, Number::new(next));
                return batch;
            }
            (front, back) = (next, previous);
        }
        self.heads.remove(owner);
        batch
    }
}

#[derive(Clone, Copy)]
struct Batch {
    nodes: [u32; BATCH],
    len: usize,
}

impl Batch {
    fn push(&mut self, node: u32) {
        self.nodes[self.len] = node;
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.nodes[..self.len].iter().copied()
    }
}
