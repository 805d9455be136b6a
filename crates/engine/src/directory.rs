//! What every shard must know about all peers: whose an address is, and where a peer is at home.
//!
//! # Theory
//!
//! The directory is published as an immutable value behind an `Arc`, so that a shard reads it without a lock, and
//! takes a newer one only between batches. Publishing must cost O(change), not O(peers), so two copies exist: the
//! one that shards hold, and a spare. A change is applied to the spare, the spare is published, and the copy that
//! shards let go of becomes the next spare; before its next use it catches up on the changes that it missed. Only
//! if a shard still holds it at that time (it has not run since the last change but one) is it cloned instead.

use alloc::sync::Arc;
use alloc::vec::Vec;

use wirewright_protocol::PublicKey;

use crate::allowed_ips::{AllowedIps, Prefix};
use crate::filter::{Guard, Policy};
use crate::table::Table;

/// A peer's place: its home shard, its slot there, and what tells it from others in that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRef {
    /// The slot in the home shard.
    pub slot: u32,
    /// Tells a peer from those that had the slot before: no other peer has the same for 2^32 additions.
    pub generation: u32,
    /// The home shard.
    pub shard: u8,
}

impl PeerRef {
    /// A number that no other living peer has, below shards × slots.
    #[must_use]
    pub(crate) fn number(self, shards: u8) -> u32 {
        self.slot * u32::from(shards) + u32::from(self.shard)
    }
}

/// Allowed IPs and the peers' whereabouts.
#[derive(Clone)]
pub struct Directory {
    /// To whom an address belongs, for all peers of the device: a packet's source is checked against this, too.
    pub allowed_ips: AllowedIps<PeerRef>,
    /// Where a public key is at home.
    pub peers: Table<PublicKey, PeerRef>,
    /// What the packet filter must know of the interface. `None`: there is no filter.
    pub guard: Option<Arc<Guard>>,
    /// What peers may start, by their numbers; nothing for those that are not here.
    policies: Table<u32, Arc<Policy>>,
    /// Rules in all of them.
    rules: usize,
}

impl Directory {
    fn new(seed: u128) -> Self {
        Self {
            allowed_ips: AllowedIps::new(),
            peers: Table::new(seed),
            guard: None,
            policies: Table::new(seed),
            rules: 0,
        }
    }

    /// What a peer may start. `None`: nothing.
    pub(crate) fn policy(&self, peer: PeerRef, shards: u8) -> Option<&Arc<Policy>> {
        self.policies.get(&peer.number(shards))
    }

    fn set_policy(&mut self, peer: PeerRef, policy: Option<Arc<Policy>>, shards: u8) {
        let number = peer.number(shards);
        let added = policy.as_ref().map_or(0, |policy| policy.rules().len());
        let before = match policy {
            Some(policy) => self.policies.insert(number, policy),
            None => self.policies.remove(&number),
        };
        self.rules = self.rules + added - before.map_or(0, |policy| policy.rules().len());
    }

    fn apply(&mut self, change: &Change, shards: u8) {
        match change.clone() {
            Change::AddPeer(key, peer) => {
                self.peers.insert(key, peer);
            }
            Change::RemovePeer(key, peer) => {
                self.peers.remove(&key);
                self.allowed_ips.remove_peer(peer.number(shards));
                self.set_policy(peer, None, shards);
            }
            Change::Allow(prefix, peer) => {
                // The table takes far more than the control plane lets through, so it is never full.
                let _ = self.allowed_ips.insert(prefix, peer.number(shards), peer);
            }
            Change::Disallow(prefix, peer) => {
                self.allowed_ips.remove(prefix, peer.number(shards));
            }
            Change::DisallowAll(peer) => {
                self.allowed_ips.remove_peer(peer.number(shards));
            }
            Change::Guard(guard) => self.guard = guard,
            Change::Policy(peer, policy) => self.set_policy(peer, Some(policy), shards),
        }
    }
}

/// One change of the directory.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    AddPeer(PublicKey, PeerRef),
    RemovePeer(PublicKey, PeerRef),
    Allow(Prefix, PeerRef),
    Disallow(Prefix, PeerRef),
    DisallowAll(PeerRef),
    Guard(Option<Arc<Guard>>),
    Policy(PeerRef, Arc<Policy>),
}

/// The two copies, and what the spare one has missed.
pub(crate) struct Publisher {
    shards: u8,
    published: Arc<Directory>,
    spare: Arc<Directory>,
    /// Changes that the published copy has and the spare has not.
    missed: Vec<Change>,
    /// Changes that neither has yet.
    pending: Vec<Change>,
    /// How many of them may add an allowed IP.
    additions: usize,
    /// How many rules they may add.
    rules: usize,
}

impl Publisher {
    pub(crate) fn new(shards: u8, seed: u128) -> Self {
        Self {
            shards,
            published: Arc::new(Directory::new(seed)),
            spare: Arc::new(Directory::new(seed)),
            missed: Vec::new(),
            pending: Vec::new(),
            additions: 0,
            rules: 0,
        }
    }

    /// The directory as it is published.
    pub(crate) fn published(&self) -> &Arc<Directory> {
        &self.published
    }

    /// At most this many allowed IPs there will be once all changes are published.
    pub(crate) fn allowed_ips_bound(&self) -> usize {
        self.published.allowed_ips.len() + self.additions
    }

    /// At most this many rules there will be once all changes are published.
    pub(crate) fn rules_bound(&self) -> usize {
        self.published.rules + self.rules
    }

    /// Bytes of heap memory held, but for the rules. O(n).
    pub(crate) fn allocated(&self) -> usize {
        let lists = self.missed.capacity() + self.pending.capacity();
        let of = |copy: &Directory| {
            copy.allowed_ips.allocated() + copy.peers.allocated() + copy.policies.allocated()
        };
        lists * size_of::<Change>() + of(&self.published) + of(&self.spare)
    }

    pub(crate) fn change(&mut self, change: Change) {
        match &change {
            Change::Allow(..) => self.additions += 1,
            Change::Policy(_, policy) => self.rules += policy.rules().len(),
            _ => (),
        }
        self.pending.push(change);
    }

    /// Publishes all changes since the last call, if there are any.
    pub(crate) fn publish(&mut self) -> Option<Arc<Directory>> {
        if self.pending.is_empty() {
            return None;
        }
        (self.additions, self.rules) = (0, 0);
        let spare = Arc::make_mut(&mut self.spare);
        for change in self.missed.drain(..) {
            spare.apply(&change, self.shards);
        }
        for change in &self.pending {
            spare.apply(change, self.shards);
        }
        core::mem::swap(&mut self.published, &mut self.spare);
        self.missed = core::mem::take(&mut self.pending);
        Some(self.published.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerRef = PeerRef {
        slot: 3,
        generation: 1,
        shard: 1,
    };
    const OTHER: PeerRef = PeerRef {
        slot: 4,
        generation: 1,
        shard: 0,
    };

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn both_copies_see_every_change_in_order() {
        let mut publisher = Publisher::new(4, 7);
        publisher.change(Change::AddPeer(key(1), PEER));
        publisher.change(Change::Allow(prefix("10.0.0.0/8"), PEER));
        publisher.publish().unwrap();
        publisher.change(Change::Allow(prefix("10.1.0.0/16"), OTHER));
        let second = publisher.publish().unwrap();
        assert_eq!(second.allowed_ips.lookup([10, 2, 0, 1].into()), Some(PEER));
        assert_eq!(second.allowed_ips.lookup([10, 1, 0, 1].into()), Some(OTHER));
        publisher.change(Change::RemovePeer(key(1), PEER));
        let third = publisher.publish().unwrap();
        assert_eq!(third.allowed_ips.lookup([10, 2, 0, 1].into()), None);
        assert_eq!(third.allowed_ips.lookup([10, 1, 0, 1].into()), Some(OTHER));
        assert!(third.peers.get(&key(1)).is_none());
    }

    #[test]
    fn a_published_directory_never_changes_under_its_holder() {
        let mut publisher = Publisher::new(1, 7);
        publisher.change(Change::Allow(prefix("::/0"), PEER));
        let held = publisher.publish().unwrap();
        for _ in 0..3 {
            publisher.change(Change::DisallowAll(PEER));
            publisher.publish();
        }
        assert_eq!(held.allowed_ips.lookup("::1".parse().unwrap()), Some(PEER));
    }

    #[test]
    fn nothing_is_published_when_nothing_changed() {
        let mut publisher = Publisher::new(1, 7);
        assert!(publisher.publish().is_none());
        publisher.change(Change::AddPeer(key(1), PEER));
        assert!(publisher.publish().is_some());
        assert!(publisher.publish().is_none());
    }
}
