//! What an engine did beside what its model says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use wirewright_engine::{Batch, Event, Notice, Shard};

use super::interface::{Meaning, Sent};
use super::support::{ipv4, moment, secret};
use super::wire::{Letter, counter, fits, index, is_for};
use super::world::{NODES, World};

impl World {
    /// Nothing but what the model says was sent, in the same order to each peer and with the same counters.
    pub fn compare(&mut self, node: usize) {
        for (to, bytes) in self.take_datagrams(node) {
            let expected = self.models[node]
                .sent
                .iter()
                .position(|sent| sent.to == to && fits(&sent.meaning, &bytes));
            let Some(expected) = expected else {
                panic!(
                    "node {node} sent {:x?} to {to}, not one of {:?}",
                    &bytes[..16],
                    self.models[node].sent
                );
            };
            let sent = self.models[node].sent.remove(expected);
            self.post(node, sent, bytes);
        }
        assert!(
            self.models[node].sent.is_empty(),
            "node {node} did not send {:?}",
            self.models[node].sent
        );
        self.compare_state(node);
    }

    /// What timers sent may be sent at this time.
    pub fn compare_timers(&mut self, node: usize) {
        for (to, bytes) in self.take_datagrams(node) {
            let peers = (0..NODES).filter(|peer| self.models[node].has_peer(*peer));
            let peer = peers
                .filter(|peer| self.models[node].endpoint(*peer) == Some(to))
                .find(|peer| {
                    // Two peers may have the same address after a move; the index tells them apart.
                    bytes[0] == 4 && self.models[node].sends_under(*peer, index(&bytes, 4))
                        || bytes[0] == 1 && is_for(&bytes, &self.nodes[*peer].key)
                });
            let peer =
                peer.unwrap_or_else(|| panic!("a timer of node {node} sent to nobody: {:x?}", &bytes[..16]));
            let data = (bytes[0] == 4).then(|| (index(&bytes, 4), counter(&bytes)));
            let sent = self.models[node].timer_sent(peer, data);
            assert!(
                fits(&sent.meaning, &bytes),
                "a timer sent {:x?}, not {sent:?}",
                &bytes[..16]
            );
            self.post(node, sent, bytes);
        }
        for peer in (0..NODES)
            .filter(|peer| self.models[node].has_peer(*peer))
            .collect::<Vec<_>>()
        {
            let gave_up = self.nodes[node]
                .output
                .notices
                .contains(&Notice::HandshakeGaveUp(self.nodes[peer].key));
            let counters = self.nodes[node]
                .engine
                .status(&self.nodes[peer].key, moment(self.now).now)
                .unwrap()
                .counters;
            let dropped = counters.get(Event::StagedDropped);
            let before = self.dropped.insert((node, peer), dropped).unwrap_or(0);
            if gave_up || dropped > before {
                self.models[node].timer_dropped(peer, dropped - before);
            }
        }
        self.nodes[node].output.notices.clear();
        self.compare_state(node);
    }

    pub fn compare_state(&mut self, node: usize) {
        let at = moment(self.now).now;
        let (engine, model) = (&mut self.nodes[node], &mut self.models[node]);
        let mut delivered = Vec::new();
        for batch in engine.output.packets.drain(..) {
            delivered.extend(batch.packets().map(|(_, packet)| packet.to_vec()));
        }
        let expected = model.delivered.drain(..);
        let mut expected: Vec<Vec<u8>> = expected
            .map(|packet| ipv4(packet.source, packet.destination, &packet.number.to_be_bytes()))
            .collect();
        engine.inbox.extend(delivered.iter().cloned());
        // Shards keep the order of each peer's packets, not that among peers.
        delivered.sort_by_key(|packet| packet[15]);
        expected.sort_by_key(|packet| packet[15]);
        assert_eq!(delivered, expected, "node {node} delivered");

        let counters = engine.engine.counters();
        let beside = [Event::StagedDropped, Event::HandshakeGaveUp];
        let counted: BTreeMap<&str, u64> = counters
            .iter()
            .filter(|(event, count)| *count > 0 && !beside.contains(event))
            .map(|(event, count)| (event.name(), count))
            .collect();
        assert_eq!(counted, model.counted, "node {node} counted");
        let sum = |of: fn(&Shard<_>) -> usize| engine.engine.shards().iter().map(of).sum::<usize>();
        assert_eq!(
            sum(Shard::staged_bytes),
            model.staged() * 28,
            "what waits at node {node}"
        );
        assert_eq!(
            sum(Shard::indices_in_use),
            model.indices(),
            "indices of node {node}"
        );
        for (peer, key) in (0..NODES).map(|peer| (peer, secret(peer as u8).public())) {
            let status = engine.engine.status(&key, at);
            assert_eq!(status.is_some(), model.has_peer(peer));
            if let Some(status) = status {
                assert_eq!(
                    status.endpoint,
                    model.endpoint(peer),
                    "where peer {peer} of node {node} is"
                );
                assert_eq!(
                    status.has_session,
                    model.has_session(peer),
                    "a session of node {node} with {peer}"
                );
            }
        }
    }

    /// Puts a datagram on the wire, with what it means.
    fn post(&mut self, node: usize, mut sent: Sent, bytes: Vec<u8>) {
        let at = moment(self.now);
        match &mut sent.meaning {
            Meaning::Initiation { sender, stamp, .. } => {
                *sender = index(&bytes, 4);
                *stamp = (at.wall.seconds, at.wall.nanos & !0xff_ffff);
            }
            Meaning::Response { sender, .. } => *sender = index(&bytes, 4),
            Meaning::Data { .. } => (),
        }
        self.models[node].has_left(&sent, index(&bytes, 4));
        let from = self.nodes[node].address;
        self.wire.push(Letter {
            from,
            to: sent.to,
            bytes,
            meaning: sent.meaning,
        });
    }

    fn take_datagrams(&mut self, node: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let batches = std::mem::take(&mut self.nodes[node].output.datagrams);
        let of = |batch: &Batch| {
            let datagrams = batch
                .packets()
                .map(|(slot, bytes)| (slot.path.remote, bytes.to_vec()));
            datagrams.collect::<Vec<_>>()
        };
        batches.iter().flat_map(of).collect()
    }
}
