//! An interface that is set down, and up again.
//!
//! # Theory
//!
//! Who sets an interface down wants it silent. So, as in the kernel (`wg_stop`, `wg_open`), its sessions and pending
//! handshakes are wiped, what waits is dropped, the packet filter forgets its flows, and no timer runs. Settings, endpoints and the newest timestamps stay. Set up
//! again, it speaks to the peers with a persistent keepalive at once, and to the others when there is a packet for them.
//!
//! Between the two the shell calls neither [`Shard::tick`] nor anything that sends or receives; commands are carried out.

use rand_core::CryptoRng;

use super::{Moment, Shard, peer_at};
use crate::counters::Event;

impl<R: CryptoRng> Shard<R> {
    /// The interface was set down: wipes the keys of all sessions and handshakes, drops what waits, stops all timers.
    pub fn stop(&mut self) {
        let waiting = self.handshakes_waiting() as u64;
        self.counters.add(Event::HandshakeUnread, waiting);
        self.proven.clear();
        self.waiting.clear();
        for slot in 0..self.peers.bound() {
            self.drop_staged(slot);
            self.forget_flows(slot);
            if let Some(peer) = peer_at(&mut self.peers, slot) {
                peer.conversation.stop(&mut self.retired);
            }
            self.settle(slot);
        }
    }

    /// The interface is up again: a keepalive is due to each peer with a persistent one.
    pub fn resume(&mut self, at: Moment) {
        for slot in 0..self.peers.bound() {
            if let Some(peer) = peer_at(&mut self.peers, slot) {
                peer.conversation.resume(at.now);
            }
            self.settle(slot);
        }
    }
}
