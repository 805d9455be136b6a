//! The nodes of a trie and the packed indices between them.
//!
//! # Theory
//!
//! A node is split over two arrays under one index. The *hot* half is all that a lookup reads: 16 bytes for IPv4
//! and 32 for IPv6, so that no node straddles a cache line and one line holds four or two. The *cold* half is
//! what changes need besides: the way back to the parent, and the links of the owner's list.
//!
//! An index has 28 bits. The four bits above it in both child words hold the prefix length, which is why a node
//! of IPv4 fits 16 bytes.

use super::address::Address;

/// No node. Also the largest index that never is one.
pub(super) const NONE: u32 = (1 << INDEX_BITS) - 1;
/// The owner of a glue node: one that only branches.
pub(super) const NOBODY: u32 = u32::MAX;

const INDEX_BITS: u32 = 28;

const _: () = assert!(size_of::<Hot<u32>>() == 16 && align_of::<Hot<u32>>() == 16);
const _: () = assert!(size_of::<Hot<u128>>() == 32 && align_of::<Hot<u128>>() == 16);
const _: () = assert!(size_of::<Cold>() == 12);

/// What a lookup reads of a node.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Hot<A: Address> {
    children: [u32; 2],
    /// The peer whose prefix it is, or `NOBODY`.
    pub(super) owner: u32,
    bits: A::Stored,
}

impl<A: Address> Hot<A> {
    /// A node without children. Bits of `address` behind `len` must be zero.
    pub(super) fn new(address: A, len: u8, owner: u32) -> Self {
        let (low, high) = (u32::from(len) & 15, u32::from(len) >> 4);
        let children = [NONE | low << INDEX_BITS, NONE | high << INDEX_BITS];
        Self {
            children,
            owner,
            bits: address.store(),
        }
    }

    pub(super) fn address(&self) -> A {
        A::load(self.bits)
    }

    pub(super) fn len(&self) -> u8 {
        (self.children[0] >> INDEX_BITS | self.children[1] >> INDEX_BITS << 4) as u8
    }

    pub(super) fn is_glue(&self) -> bool {
        self.owner == NOBODY
    }

    /// Which child leads to `address`.
    pub(super) fn side(&self, address: A) -> usize {
        address.bit(self.len())
    }

    pub(super) fn child(&self, side: usize) -> u32 {
        self.children[side & 1] & NONE
    }

    pub(super) fn set_child(&mut self, side: usize, child: u32) {
        let word = &mut self.children[side & 1];
        *word = *word & !NONE | child;
    }
}

/// What only changes read of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cold {
    /// Where the index of this node stands.
    pub(super) parent: Place,
    /// The next node on the owner's list, which is a ring; itself for glue. For a free node, the next free one.
    pub(super) next: u32,
    /// The previous one.
    pub(super) previous: u32,
}

/// A place that holds the index of a node: a child word of another node, or the root. The two low bits tell
/// which, so that the one who removes a node needs no search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    pub(super) const ROOT: Self = Self(2);
    /// Of a node that is free.
    pub(super) const FREE: Self = Self(3);

    pub(super) fn child(parent: u32, side: usize) -> Self {
        Self(parent << 2 | side as u32 & 1)
    }

    /// The parent and the side, unless it is the root.
    pub(super) fn parent(self) -> Option<(u32, usize)> {
        (self.0 & 2 == 0).then_some((self.0 >> 2, (self.0 & 1) as usize))
    }
}
