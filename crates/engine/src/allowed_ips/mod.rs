//! Allowed IPs: which peer an inner address belongs to, by longest prefix match.
//!
//! # Theory
//!
//! A prefix belongs to at most one peer; given to another, it moves. Each address family has a
//! [trie](self::trie) whose nodes name their owner by a dense number; the value that a lookup returns is kept once
//! per owner, so that it weighs nothing per prefix and changes in one place.
//!
//! Sizes: a prefix takes one or two nodes of 28 bytes (IPv4) or 44 bytes (IPv6), an owner 8 bytes and its value.
//! Nothing here needs a lock: the engine publishes whole copies.

mod address;
mod check;
mod node;
mod nodes;
mod prefix;
mod ring;
mod trie;
mod walk;

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use prefix::{Prefix, PrefixError};
use trie::Trie;

use crate::pages::Pages;

/// Prefixes and the peers that they belong to.
///
/// A peer is known by its number `owner`, which should be dense: memory is taken for 64 numbers at a time. `V` is what a lookup returns, one value for each peer.
#[derive(Clone)]
pub struct AllowedIps<V> {
    v4: Trie<u32>,
    v6: Trie<u128>,
    /// By owner, of those that have prefixes.
    values: Pages<V>,
}

impl<V: Copy> AllowedIps<V> {
    /// No prefixes; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            v4: Trie::new(),
            v6: Trie::new(),
            values: Pages::new(),
        }
    }

    /// Gives `prefix` to the peer `owner`, whose value from now on is `value` for all of its prefixes, and
    /// returns the number of the peer that had exactly this prefix before (perhaps the same one).
    ///
    /// # Errors
    /// If the table is full or `owner` is no peer's number; then nothing has changed.
    pub fn insert(&mut self, prefix: Prefix, owner: u32, value: V) -> Result<Option<u32>, InsertError> {
        let previous = match prefix.address() {
            IpAddr::V4(address) => self.v4.insert(address.to_bits(), prefix.len(), owner),
            IpAddr::V6(address) => self.v6.insert(address.to_bits(), prefix.len(), owner),
        }?;
        self.values.insert(owner, value);
        if let Some(previous) = previous {
            self.trim(previous);
        }
        Ok(previous)
    }

    /// Removes `prefix` if it belongs to `owner`, and tells whether it did.
    pub fn remove(&mut self, prefix: Prefix, owner: u32) -> bool {
        let removed = match prefix.address() {
            IpAddr::V4(address) => self.v4.remove(address.to_bits(), prefix.len(), owner),
            IpAddr::V6(address) => self.v6.remove(address.to_bits(), prefix.len(), owner),
        };
        self.trim(owner);
        removed
    }

    /// Removes all prefixes of `owner` and tells how many there were. O(that number).
    pub fn remove_peer(&mut self, owner: u32) -> usize {
        let removed = self.v4.remove_owner(owner) + self.v6.remove_owner(owner);
        self.trim(owner);
        removed
    }

    /// Changes the value of `owner`, for instance when the peer has moved to another shard; false if it has no
    /// prefix. O(1).
    pub fn set_value(&mut self, owner: u32, value: V) -> bool {
        match self.values.get_mut(owner) {
            Some(place) => {
                *place = value;
                true
            }
            None => false,
        }
    }

    /// The value of the peer with the longest prefix that contains `address`.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<V> {
        match address {
            IpAddr::V4(address) => self.lookup_v4(address.octets()),
            IpAddr::V6(address) => self.lookup_v6(address.octets()),
        }
    }

    /// [`lookup`](Self::lookup) of an IPv4 address as it stands in a packet.
    #[must_use]
    pub fn lookup_v4(&self, address: [u8; 4]) -> Option<V> {
        self.value(self.v4.lookup(u32::from_be_bytes(address))?)
    }

    /// [`lookup`](Self::lookup) of an IPv6 address as it stands in a packet.
    #[must_use]
    pub fn lookup_v6(&self, address: [u8; 16]) -> Option<V> {
        self.value(self.v6.lookup(u128::from_be_bytes(address))?)
    }

    /// The number of the peer that has exactly this prefix.
    #[must_use]
    pub fn owner(&self, prefix: Prefix) -> Option<u32> {
        match prefix.address() {
            IpAddr::V4(address) => self.v4.owner(address.to_bits(), prefix.len()),
            IpAddr::V6(address) => self.v6.owner(address.to_bits(), prefix.len()),
        }
    }

    /// The prefixes of `owner`: those of IPv4 in the order in which it got them, then those of IPv6 likewise.
    pub fn iter_peer(&self, owner: u32) -> impl Iterator<Item = Prefix> {
        let v4 = self
            .v4
            .of_owner(owner)
            .map(|(bits, len)| Prefix::of_v4(bits, len));
        v4.chain(
            self.v6
                .of_owner(owner)
                .map(|(bits, len)| Prefix::of_v6(bits, len)),
        )
    }

    /// All prefixes with the numbers of their peers, in the order of [`Prefix`].
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, u32)> {
        let v4 = self
            .v4
            .all()
            .map(|(bits, len, owner)| (Prefix::of_v4(bits, len), owner));
        v4.chain(
            self.v6
                .all()
                .map(|(bits, len, owner)| (Prefix::of_v6(bits, len), owner)),
        )
    }

    /// Number of prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.prefixes + self.v6.prefixes
    }

    /// Whether there are no prefixes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of heap memory held. O(n).
    #[must_use]
    pub fn allocated(&self) -> usize {
        let heads = self.v4.heads.allocated() + self.v6.heads.allocated();
        self.v4.nodes.allocated() + self.v6.nodes.allocated() + heads + self.values.allocated()
    }

    fn value(&self, owner: u32) -> Option<V> {
        self.values.get(owner).copied()
    }

    fn owns(&self, owner: u32) -> bool {
        self.v4.head(owner).is_some() || self.v6.head(owner).is_some()
    }

    /// Forgets the value of an owner that has lost its last prefix.
    fn trim(&mut self, owner: u32) {
        if !self.owns(owner) {
            self.values.remove(owner);
        }
    }
}

impl<V: Copy> Default for AllowedIps<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> fmt::Debug for AllowedIps<V> {
    /// Sizes only: prefixes may be a million, and they are their owners' addresses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut form = formatter.debug_struct("AllowedIps");
        form.field("v4", &self.v4.prefixes)
            .field("v6", &self.v6.prefixes)
            .finish_non_exhaustive()
    }
}

impl Prefix {
    fn of_v4(bits: u32, len: u8) -> Self {
        Self::masked(Ipv4Addr::from_bits(bits).into(), len)
    }

    fn of_v6(bits: u128, len: u8) -> Self {
        Self::masked(Ipv6Addr::from_bits(bits).into(), len)
    }
}

/// Gives memory back once less than five eighths of it is used.
fn shrink<T>(vector: &mut Vec<T>) {
    if vector.len() < vector.capacity() / 8 * 5 {
        vector.shrink_to(vector.len() + vector.len() / 4);
    }
}

/// Why a prefix was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The table of the prefix's family holds as many as its indices can name, some 134 million.
    Full,
    /// The largest number is not a peer's.
    Owner,
}

impl fmt::Display for InsertError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => {
                formatter.write_str("the table of allowed IPs is full; remove prefixes before adding more")
            }
            Self::Owner => {
                write!(
                    formatter,
                    "{} cannot be the number of a peer; numbers should be dense",
                    u32::MAX
                )
            }
        }
    }
}

impl core::error::Error for InsertError {}
