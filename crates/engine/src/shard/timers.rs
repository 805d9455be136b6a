//! Timers that are due, and what the conversation wants done then.

use rand_core::CryptoRng;
use wirewright_protocol::{Cause, Timeout};

use super::{Moment, Shard, key_of, peer_at};
use crate::counters::Event;
use crate::output::{Notice, Output};

impl<R: CryptoRng> Shard<R> {
    /// Lets all timers that are due expire. Only peers with a due timer are looked at.
    pub fn tick(&mut self, at: Moment, output: &mut Output) {
        while let Some(slot) = self.deadlines.pop_due(at.now) {
            self.sweep_flows(at.now, slot);
            while let Some(timeout) = self.expire(at, slot) {
                self.act_on_timeout(at, slot, timeout, output);
            }
            self.settle(slot);
        }
    }

    fn expire(&mut self, at: Moment, slot: u32) -> Option<Timeout> {
        peer_at(&mut self.peers, slot)?
            .conversation
            .expire(at.now, &mut self.rng, &mut self.retired)
    }

    fn act_on_timeout(&mut self, at: Moment, slot: u32, timeout: Timeout, output: &mut Output) {
        let Some(peer) = peer_at(&mut self.peers, slot) else {
            return;
        };
        match timeout {
            Timeout::RetryHandshake => {
                peer.forget_source();
                self.begin_handshake(at, slot, Cause::Retry, output);
            }
            Timeout::NewHandshake => {
                peer.forget_source();
                self.begin_handshake(at, slot, Cause::Fresh, output);
            }
            Timeout::GiveUp => {
                output.notices.push(Notice::HandshakeGaveUp(key_of(peer)));
                self.count_peer(slot, Event::HandshakeGaveUp, 1);
                self.drop_staged(slot);
            }
            Timeout::Keepalive | Timeout::PersistentKeepalive => self.send_keepalive(at, slot, output),
            // The conversation wiped itself; its indices are released when this call settles.
            Timeout::ZeroKeys => (),
        }
    }
}
