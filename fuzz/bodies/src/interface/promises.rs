//! What must hold whenever something arrives, and after every step.

use std::collections::HashSet;
use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;
use wirewright_engine::Shard;

use super::ledger::ended;
use super::mail::{Arrival, batch_of};
use super::world::{Peer, World};

/// Sessions and a handshake of one peer.
const INDICES_PER_PEER: usize = 4;

/// What is compared before and after something arrives.
pub(super) struct Books {
    pub(super) ended: u64,
    pub(super) waiting: usize,
    pub(super) endpoints: Vec<Option<SocketAddr>>,
}

impl World {
    /// Lets datagrams arrive in one batch, and looks what became of each.
    pub(super) fn receive(&mut self, arrivals: &[Arrival], shard: Option<u8>) {
        let (at, before, cookies) = (self.moment(), self.books(), self.sent(3));
        let batch = batch_of(arrivals);
        match shard {
            Some(shard) => self.device.receive_in(shard, at, batch, &mut self.output),
            None => self.device.receive(at, batch, &mut self.output),
        }
        let after = self.books();
        let delivered = self.take_packets();
        let came = arrivals
            .iter()
            .filter(|arrival| !arrival.bytes.is_empty())
            .count();
        let refused = (after.ended - before.ended) as usize;
        let queued = after.waiting - before.waiting;
        // What is left was heard and held nothing to deliver: a keepalive, each once.
        let unspent: HashSet<usize> = arrivals
            .iter()
            .filter_map(|arrival| arrival.letter)
            .filter(|letter| !self.mail.letters[*letter].spent)
            .collect();
        let keepalives = unspent
            .iter()
            .filter(|letter| self.mail.letters[**letter].is_keepalive());
        let heard = came.checked_sub(delivered + refused + queued);
        assert!(
            heard.is_some_and(|heard| heard <= keepalives.count()),
            "of {came} datagrams {delivered} were delivered, {refused} refused, {queued} queued"
        );
        let shakes = arrivals
            .iter()
            .filter(|arrival| matches!(arrival.bytes.len(), 148 | 92));
        assert!(
            self.sent(3) - cookies <= shakes.count(),
            "more cookies than handshake messages"
        );

        let mut heard_from = HashSet::new();
        for arrival in arrivals {
            let Some(letter) = arrival.letter.map(|letter| &self.mail.letters[letter]) else {
                continue;
            };
            if !letter.is_data() {
                self.shook_from.insert((letter.peer, arrival.from));
            } else if !letter.spent {
                heard_from.insert((letter.peer, arrival.from));
            }
        }
        self.assert_moved_only_to(&before, &heard_from);
        if refused == 0 {
            for letter in unspent {
                self.mail.letters[letter].spent |= self.mail.letters[letter].is_data();
            }
        }
    }

    /// What is bounded stays so.
    pub(super) fn check_bounds(&self) {
        let configured = self.peers.iter().filter(|peer| peer.configured).count();
        let sum = |of: fn(&Shard<ChaCha8Rng>) -> usize| self.device.shards().iter().map(of).sum::<usize>();
        let shards = usize::from(self.shards);
        assert!(
            sum(Shard::indices_in_use) <= INDICES_PER_PEER * configured,
            "indices leak"
        );
        assert!(
            sum(Shard::staged_bytes) <= self.limits.staged_bytes * shards,
            "staged packets leak"
        );
        assert!(
            sum(Shard::handshakes_waiting) <= self.limits.handshake_queue * shards,
            "the queue leaks"
        );
        assert!(self.output.handovers.is_empty(), "a hand-over was left lying");
    }

    /// Takes what the device delivers and says how much that was.
    pub(super) fn take_packets(&mut self) -> usize {
        let mut count = 0;
        for batch in std::mem::take(&mut self.output.packets) {
            for (_, packet) in batch.packets() {
                let peer = self.ledger.deliver(packet);
                let source = packet.get(15).copied().unwrap_or(0);
                assert!(self.peers[peer].configured, "a packet of a peer that is none");
                assert_eq!(
                    self.owners.get(usize::from(source)),
                    Some(&Some(peer)),
                    "a source not allowed"
                );
                count += 1;
            }
            self.device.recycle(batch);
        }
        count
    }

    pub(super) fn assert_nothing_delivered(&self) {
        assert!(self.output.packets.is_empty(), "a packet came out of nothing");
    }

    /// An endpoint is where it was, or where something authentic came from.
    pub(super) fn assert_moved_only_to(&self, before: &Books, heard_from: &HashSet<(usize, SocketAddr)>) {
        let now = self.books().endpoints;
        for (peer, (before, now)) in before.endpoints.iter().zip(now).enumerate() {
            let Some(now) = now.filter(|now| Some(*now) != *before) else {
                continue;
            };
            let heard = heard_from.contains(&(peer, now)) || self.shook_from.contains(&(peer, now));
            assert!(heard, "peer {peer} moved from {before:?} to {now} unheard");
        }
    }

    pub(super) fn books(&self) -> Books {
        let at = self.moment().now;
        let endpoint = |peer: &Peer| self.device.status(&peer.key, at)?.endpoint;
        Books {
            ended: ended(&self.device.counters()),
            waiting: self.device.shards().iter().map(Shard::handshakes_waiting).sum(),
            endpoints: self.peers.iter().map(endpoint).collect(),
        }
    }
}
