//! Walks over a trie: an owner's prefixes, and all of them.

use super::address::Address;
use super::node::NONE;
use super::trie::Trie;

impl<A: Address> Trie<A> {
    /// The prefixes of `owner` in the order in which it got them: address and length.
    pub(super) fn of_owner(&self, owner: u32) -> impl Iterator<Item = (A, u8)> {
        let head = self.head(owner);
        core::iter::successors(head, move |&node| self.after(node, head?)).map(|node| {
            let node = self.nodes.hot(node);
            (node.address(), node.len())
        })
    }

    /// All prefixes by address, shorter ones first: address, length and owner.
    pub(super) fn all(&self) -> impl Iterator<Item = (A, u8, u32)> {
        let root = Some(self.nodes.root()).filter(|&root| root != NONE);
        core::iter::successors(root, |&node| self.following(node))
            .map(|node| self.nodes.hot(node))
            .filter(|node| !node.is_glue())
            .map(|node| (node.address(), node.len(), node.owner))
    }

    /// The node after `node` in depth-first order. Needs no stack, as nodes know their parents.
    fn following(&self, node: u32) -> Option<u32> {
        let hot = self.nodes.hot(node);
        for child in [hot.child(0), hot.child(1)] {
            if child != NONE {
                return Some(child);
            }
        }
        let mut place = self.nodes.cold(node).parent;
        while let Some((parent, side)) = place.parent() {
            let right = self.nodes.hot(parent).child(1);
            if side == 0 && right != NONE {
                return Some(right);
            }
            place = self.nodes.cold(parent).parent;
        }
        None
    }
}
