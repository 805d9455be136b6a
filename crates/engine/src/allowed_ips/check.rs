//! What must hold of a trie between any two operations. For tests; debug builds only.

#![cfg(debug_assertions)]

use super::AllowedIps;
use super::address::Address;
use super::node::{NONE, Place};
use super::trie::{SPARE, Trie};

impl<V: Copy> AllowedIps<V> {
    /// Panics if the structure is damaged. Debug builds only; O(n).
    #[doc(hidden)]
    pub fn check(&self) {
        self.v4.check();
        self.v6.check();
        for owner in 0..self
            .v4
            .heads
            .bound()
            .max(self.v6.heads.bound())
            .max(self.values.bound())
        {
            assert_eq!(
                self.values.get(owner).is_some(),
                self.owns(owner),
                "a value for each owner, and no other"
            );
        }
    }
}

impl<A: Address> Trie<A> {
    fn check(&self) {
        let used = self.check_below(Place::ROOT, None);
        assert_eq!(used, self.nodes.used(), "nodes in the trie and nodes in use");
        assert_eq!(self.all().count(), self.prefixes, "number of prefixes");
        let in_rings: usize = (0..self.heads.bound()).map(|owner| self.check_ring(owner)).sum();
        assert_eq!(in_rings, self.prefixes, "each prefix is in one ring");
        assert!(
            self.nodes.used() as usize <= (2 * self.prefixes).saturating_sub(1),
            "at most 2n - 1 nodes"
        );
        let free = (0..self.nodes.places()).filter(|&node| self.nodes.cold(node).parent == Place::FREE);
        assert_eq!(free.count(), self.nodes.free() as usize, "number of free nodes");
        assert!(
            self.nodes.free() <= self.nodes.used() / 2 + SPARE,
            "most nodes are in use"
        );
    }

    /// Checks the subtrie at a place and returns its number of nodes. Recursion is as deep as an address.
    fn check_below(&self, place: Place, parent: Option<(A, u8, usize)>) -> u32 {
        let at = self.nodes.at(place);
        if at == NONE {
            return 0;
        }
        let node = self.nodes.hot(at);
        let (address, len) = (node.address(), node.len());
        assert_eq!(self.nodes.cold(at).parent, place, "a node knows where it hangs");
        assert!(len <= A::WIDTH, "no prefix is longer than an address");
        assert_eq!(address, address.masked(len), "host bits are zero");
        if let Some((above, above_len, side)) = parent {
            assert!(len > above_len, "a child is longer than its parent");
            assert_eq!(address.masked(above_len), above, "a child lies inside its parent");
            assert_eq!(address.bit(above_len), side, "a child hangs on its side");
        }
        if node.is_glue() {
            assert!(
                node.child(0) != NONE && node.child(1) != NONE,
                "glue has two children"
            );
        }
        let below = [0, 1].map(|side| self.check_below(Place::child(at, side), Some((address, len, side))));
        1 + below[0] + below[1]
    }

    /// Checks an owner's ring and returns its length.
    fn check_ring(&self, owner: u32) -> usize {
        let Some(head) = self.head(owner) else { return 0 };
        let mut len = 0;
        let mut at = head;
        loop {
            assert_eq!(self.nodes.hot(at).owner, owner, "a node in the ring of its owner");
            let next = self.nodes.cold(at).next;
            assert_eq!(self.nodes.cold(next).previous, at, "a ring is linked both ways");
            len += 1;
            assert!(len <= self.prefixes, "a ring closes");
            at = next;
            if at == head {
                return len;
            }
        }
    }
}
