//! Where the nodes of a trie lie: two parallel arrays, and the free places in them.
//!
//! # Theory
//!
//! Freed nodes form a doubly linked list through their cold halves and are taken again first. When more than
//! a third of the array is free, its end is cut off a node at a time, by [`Trie::compact`](super::trie::Trie): a
//! free last node leaves the list, a used one moves to a free place. All that points at a node is known to it
//! (parent, children, ring), so a move touches at most six others.

use alloc::vec::Vec;

use super::address::Address;
use super::node::{Cold, Hot, NONE, Place};
use super::shrink;

#[derive(Clone)]
pub(super) struct Nodes<A: Address> {
    hot: Vec<Hot<A>>,
    cold: Vec<Cold>,
    root: u32,
    first_free: u32,
    free: u32,
}

impl<A: Address> Nodes<A> {
    pub(super) const fn new() -> Self {
        Self {
            hot: Vec::new(),
            cold: Vec::new(),
            root: NONE,
            first_free: NONE,
            free: 0,
        }
    }

    pub(super) fn root(&self) -> u32 {
        self.root
    }

    /// The hot half of a node; `None` for `NONE`.
    pub(super) fn get(&self, node: u32) -> Option<&Hot<A>> {
        // As long as the array, `NONE` is outside of it: one comparison serves as bounds check, too.
        self.hot.get(node as usize)
    }

    pub(super) fn hot(&self, node: u32) -> &Hot<A> {
        &self.hot[node as usize]
    }

    pub(super) fn hot_mut(&mut self, node: u32) -> &mut Hot<A> {
        &mut self.hot[node as usize]
    }

    pub(super) fn cold(&self, node: u32) -> &Cold {
        &self.cold[node as usize]
    }

    pub(super) fn cold_mut(&mut self, node: u32) -> &mut Cold {
        &mut self.cold[node as usize]
    }

    /// Places in the arrays, used or free.
    pub(super) fn places(&self) -> u32 {
        self.hot.len() as u32
    }

    pub(super) fn free(&self) -> u32 {
        self.free
    }

    pub(super) fn used(&self) -> u32 {
        self.places() - self.free
    }

    pub(super) fn allocated(&self) -> usize {
        self.hot.capacity() * size_of::<Hot<A>>() + self.cold.capacity() * size_of::<Cold>()
    }

    /// The node at a place.
    pub(super) fn at(&self, place: Place) -> u32 {
        match place.parent() {
            Some((parent, side)) => self.hot(parent).child(side),
            None => self.root,
        }
    }

    /// Hangs a node, or `NONE`, at a place.
    pub(super) fn hang(&mut self, place: Place, node: u32) {
        match place.parent() {
            Some((parent, side)) => self.hot_mut(parent).set_child(side, node),
            None => self.root = node,
        }
        if node != NONE {
            self.cold_mut(node).parent = place;
        }
    }

    /// A new node, on no list and not yet at the place that it names.
    pub(super) fn allocate(&mut self, hot: Hot<A>) -> u32 {
        if self.first_free != NONE {
            let node = self.first_free;
            self.unlink_free(node);
            *self.hot_mut(node) = hot;
            *self.cold_mut(node) = Cold {
                parent: Place::ROOT,
                next: node,
                previous: node,
            };
            return node;
        }
        let node = self.places();
        if self.hot.len() == self.hot.capacity() {
            // An eighth, as `grow` does, where the vector would double.
            let more = self.hot.len() / 8 + 16;
            self.hot.reserve_exact(more);
            self.cold.reserve_exact(more);
        }
        self.hot.push(hot);
        self.cold.push(Cold {
            parent: Place::ROOT,
            next: node,
            previous: node,
        });
        node
    }

    pub(super) fn release(&mut self, node: u32) {
        let next = self.first_free;
        *self.cold_mut(node) = Cold {
            parent: Place::FREE,
            next,
            previous: NONE,
        };
        if next != NONE {
            self.cold_mut(next).previous = node;
        }
        self.first_free = node;
        self.free += 1;
    }

    /// Takes the last place away if it is free; else copies its node to a free place, whose index it returns
    /// together with the old one, for the caller to set right what points there.
    pub(super) fn cut(&mut self) -> Option<(u32, u32)> {
        let last = self.places().checked_sub(1)?;
        let moved = if self.cold(last).parent == Place::FREE {
            self.unlink_free(last);
            None
        } else {
            let place = self.first_free;
            self.unlink_free(place);
            *self.hot_mut(place) = *self.hot(last);
            *self.cold_mut(place) = *self.cold(last);
            Some((last, place))
        };
        self.hot.pop();
        self.cold.pop();
        shrink(&mut self.hot);
        shrink(&mut self.cold);
        moved
    }

    fn unlink_free(&mut self, node: u32) {
        let Cold { next, previous, .. } = *self.cold(node);
        if next != NONE {
            self.cold_mut(next).previous = previous;
        }
        if previous == NONE {
            self.first_free = next;
        } else {
            self.cold_mut(previous).next = next;
        }
        self.free -= 1;
    }
}
