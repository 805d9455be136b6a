//! The trie of one address family.
//!
//! # Theory
//!
//! A binary trie with path compression: each node stands for a prefix, and its two children lie inside it, told
//! apart by the first bit behind it. A node either has an owner (the prefix is in the table) or is *glue*, which
//! has exactly two children; so n prefixes need at most 2n - 1 nodes. A lookup goes down while the node's prefix
//! contains the address, and the last owner that it met is the longest match.
//!
//! A node knows the place that holds its index, and sits in the ring of its owner's nodes. To remove a prefix is
//! therefore O(1) once its node is known: with two children it turns to glue; with one, the child takes its
//! place; with none, it goes, and a glue parent, left with one child, goes with it. To remove a peer with k
//! prefixes is O(k), whatever the size of the trie.

use super::InsertError;
use super::address::Address;
use super::node::{Hot, NOBODY, NONE, Place};
use super::nodes::Nodes;
use crate::pages::{Number, Pages};

/// Free nodes that are kept however few are used.
pub(super) const SPARE: u32 = 64;

#[derive(Clone)]
pub(super) struct Trie<A: Address> {
    pub(super) nodes: Nodes<A>,
    /// The first node of each owner's ring.
    pub(super) heads: Pages<Number>,
    pub(super) prefixes: usize,
}

impl<A: Address> Trie<A> {
    pub(super) const fn new() -> Self {
        Self {
            nodes: Nodes::new(),
            heads: Pages::new(),
            prefixes: 0,
        }
    }

    /// The owner of the longest prefix that contains `address`.
    pub(super) fn lookup(&self, address: A) -> Option<u32> {
        let mut owner = NOBODY;
        let mut at = self.nodes.root();
        while let Some(node) = self.nodes.get(at) {
            if node.address().common(address) < node.len() {
                break;
            }
            if !node.is_glue() {
                owner = node.owner;
            }
            at = node.child(node.side(address));
        }
        (owner != NOBODY).then_some(owner)
    }

    /// Gives a prefix to `owner` and tells who had it.
    pub(super) fn insert(&mut self, address: A, len: u8, owner: u32) -> Result<Option<u32>, InsertError> {
        if owner == NOBODY {
            return Err(InsertError::Owner);
        }
        // One prefix takes two nodes at most.
        if self.nodes.used() >= NONE - 2 {
            return Err(InsertError::Full);
        }
        let place = self.descend(address, len);
        let at = self.nodes.at(place);
        let found = self
            .nodes
            .get(at)
            .map(|node| (node.address(), node.len(), node.owner));
        match found {
            Some((found, found_len, former)) if found_len == len && found == address => {
                if former == owner {
                    return Ok(Some(owner));
                }
                if former != NOBODY {
                    self.unlink(at, former);
                }
                self.link(at, owner);
                self.prefixes += usize::from(former == NOBODY);
                Ok((former != NOBODY).then_some(former))
            }
            _ => {
                let leaf = self.nodes.allocate(Hot::new(address, len, NOBODY));
                self.link(leaf, owner);
                match found {
                    None => self.nodes.hang(place, leaf),
                    Some((found, found_len, _)) => {
                        let common = found.common(address).min(len).min(found_len);
                        let above = if common == len {
                            leaf
                        } else {
                            let glue = self
                                .nodes
                                .allocate(Hot::new(address.masked(common), common, NOBODY));
                            self.nodes.hang(Place::child(glue, address.bit(common)), leaf);
                            glue
                        };
                        self.nodes.hang(place, above);
                        self.nodes.hang(Place::child(above, found.bit(common)), at);
                    }
                }
                self.prefixes += 1;
                Ok(None)
            }
        }
    }

    /// Removes a prefix if it belongs to `owner`.
    pub(super) fn remove(&mut self, address: A, len: u8, owner: u32) -> bool {
        let Some(node) = self
            .find(address, len)
            .filter(|&node| self.nodes.hot(node).owner == owner)
        else {
            return false;
        };
        self.unlink(node, owner);
        self.vacate(node);
        self.compact();
        true
    }

    /// The owner of exactly this prefix.
    pub(super) fn owner(&self, address: A, len: u8) -> Option<u32> {
        self.find(address, len).map(|node| self.nodes.hot(node).owner)
    }

    fn find(&self, address: A, len: u8) -> Option<u32> {
        let at = self.nodes.at(self.descend(address, len));
        let node = self.nodes.get(at)?;
        (node.len() == len && node.address() == address && !node.is_glue()).then_some(at)
    }

    /// The place where the node of a prefix is, or where it would have to be put.
    fn descend(&self, address: A, len: u8) -> Place {
        let mut place = Place::ROOT;
        let mut at = self.nodes.root();
        while let Some(node) = self.nodes.get(at) {
            if node.len() >= len || node.address().common(address) < node.len() {
                break;
            }
            let side = node.side(address);
            place = Place::child(at, side);
            at = node.child(side);
        }
        place
    }

    /// Takes a node that is in no ring out of the trie, or lets it stay as glue.
    pub(super) fn vacate(&mut self, node: u32) {
        let place = self.nodes.cold(node).parent;
        let hot = self.nodes.hot_mut(node);
        hot.owner = NOBODY;
        self.prefixes -= 1;
        match (hot.child(0), hot.child(1)) {
            (NONE, NONE) => {
                self.nodes.hang(place, NONE);
                self.nodes.release(node);
                if let Some((parent, side)) = place.parent()
                    && self.nodes.hot(parent).is_glue()
                {
                    let sibling = self.nodes.hot(parent).child(side ^ 1);
                    self.nodes.hang(self.nodes.cold(parent).parent, sibling);
                    self.nodes.release(parent);
                }
            }
            (child, NONE) | (NONE, child) => {
                self.nodes.hang(place, child);
                self.nodes.release(node);
            }
            _ => {}
        }
    }

    /// Gives memory back: at most four nodes leave the end of the array. A removal frees two at most, and three
    /// are enough to undo what that does to the balance, so free nodes never exceed half of the used ones.
    pub(super) fn compact(&mut self) {
        for _ in 0..4 {
            if self.nodes.free() <= self.nodes.used() / 2 + SPARE {
                return;
            }
            if let Some((from, to)) = self.nodes.cut() {
                self.moved(from, to);
            }
        }
    }

    /// Sets right what points at a node that moved.
    fn moved(&mut self, from: u32, to: u32) {
        let (hot, cold) = (*self.nodes.hot(to), *self.nodes.cold(to));
        self.nodes.hang(cold.parent, to);
        for side in [0, 1] {
            let child = hot.child(side);
            if child != NONE {
                self.nodes.cold_mut(child).parent = Place::child(to, side);
            }
        }
        // The node may be alone in its ring; then both of these are itself, at the place that it left.
        let (next, previous) = if cold.next == from {
            (to, to)
        } else {
            (cold.next, cold.previous)
        };
        self.nodes.cold_mut(next).previous = to;
        self.nodes.cold_mut(previous).next = to;
        if let Some(head) = self.heads.get_mut(hot.owner)
            && head.get() == from
        {
            *head = Number::new(to);
        }
    }
}
