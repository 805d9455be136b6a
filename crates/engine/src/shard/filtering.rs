//! The packet filter at work: what its judgement needs, and what becomes of the books of a peer.

use core::net::IpAddr;

use rand_core::CryptoRng;
use wirewright_protocol::Instant;

use super::{Shard, peer_at, random_u128};
use crate::directory::{Directory, PeerRef};
use crate::filter::{Direction, Guard, Ledger, Limit, Start};
use crate::peer::Peer;

impl<R: CryptoRng> Shard<R> {
    /// Whether the interface has a packet filter.
    pub(super) fn has_filter(&self) -> bool {
        self.directory.guard.is_some()
    }

    /// Whether a packet of a home peer, or for it, may pass. What may not is counted.
    pub(super) fn may_pass(
        &mut self,
        now: Instant,
        peer: PeerRef,
        packet: &[u8],
        direction: Direction,
    ) -> bool {
        let Some(guard) = self.directory.guard.as_deref() else {
            return true;
        };
        let Some(home) = peer_at(&mut self.peers, peer.slot) else {
            return false;
        };
        let limit = Limit {
            flows: self.limits.flows_per_peer,
            room: self.limits.flows.saturating_sub(self.flows),
            fragments: self.limits.fragments_per_peer,
        };
        let rng = &mut self.rng;
        let ledger = home.ledger_or(|| Ledger::new(now, random_u128(rng)));
        let before = ledger.flows();
        let rules = Rules {
            directory: &self.directory,
            guard,
            shards: self.shards,
        };
        let verdict = ledger.judge(
            now,
            packet,
            direction,
            limit,
            |address| guard.owns(address),
            |start| rules.allow(peer, direction, start),
        );
        self.flows = self.flows + ledger.flows() - before;
        match verdict {
            Ok(()) => true,
            Err(event) => {
                self.count_peer(peer.slot, event, 1);
                false
            }
        }
    }

    /// What a peer may start, or all may, is another: flows that are not allowed any more end.
    pub(super) fn reconsider(&mut self, now: Instant, id: Option<PeerRef>) {
        let slots = match id {
            Some(id) if self.peer(id).is_some() => id.slot..id.slot + 1,
            Some(_) => 0..0,
            None => 0..self.peers.bound(),
        };
        for slot in slots {
            if self.has_filter() {
                self.reconsider_peer(now, slot);
            } else {
                self.forget_flows(slot);
            }
            self.settle(slot);
        }
    }

    /// Forgets all that passed.
    pub(super) fn forget_flows(&mut self, slot: u32) {
        if let Some(ledger) = peer_at(&mut self.peers, slot).and_then(Peer::take_ledger) {
            self.flows -= ledger.flows();
        }
    }

    /// Forgets what was silent for too long.
    pub(super) fn sweep_flows(&mut self, now: Instant, slot: u32) {
        let Some(peer) = peer_at(&mut self.peers, slot) else {
            return;
        };
        if let Some(ledger) = peer.ledger_mut() {
            let before = ledger.flows();
            let is_empty = ledger.sweep(now);
            self.flows -= before - ledger.flows();
            if is_empty {
                peer.take_ledger();
            }
        }
    }

    fn reconsider_peer(&mut self, now: Instant, slot: u32) {
        let (Some(guard), Some(peer)) = (self.directory.guard.as_deref(), peer_at(&mut self.peers, slot))
        else {
            return;
        };
        let id = peer.id;
        let rules = Rules {
            directory: &self.directory,
            guard,
            shards: self.shards,
        };
        if let Some(ledger) = peer.ledger_mut() {
            let before = ledger.flows();
            ledger.reconsider(now, |direction, start| rules.allow(id, direction, start));
            self.flows -= before - ledger.flows();
        }
    }
}

/// What is allowed, as the directory has it.
struct Rules<'a> {
    directory: &'a Directory,
    guard: &'a Guard,
    shards: u8,
}

impl Rules<'_> {
    /// Whether something may be started by a home peer, or by somebody else towards it: by the host, or by a peer that may.
    fn allow(&self, peer: PeerRef, direction: Direction, start: Start) -> bool {
        match direction {
            Direction::FromPeer => self.allow_peer(peer, start),
            Direction::ToPeer => {
                self.guard.owns(start.source)
                    || self
                        .owner(start.source)
                        .is_some_and(|source| self.allow_peer(source, start))
            }
        }
    }

    fn allow_peer(&self, peer: PeerRef, start: Start) -> bool {
        let policy = self.directory.policy(peer, self.shards);
        policy.is_some_and(|policy| policy.allows(self.guard, start.destination, start.protocol, start.port))
    }

    fn owner(&self, address: IpAddr) -> Option<PeerRef> {
        self.directory.allowed_ips.lookup(address)
    }
}
