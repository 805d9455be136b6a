//! After the machine was suspended.
//!
//! # Theory
//!
//! A suspended machine's memory can be read at leisure, or was written to a disk. So keys do not outlive a suspend, as
//! in the kernel (`wg_pm_notification`): sessions, pending handshakes and what is derived from the static keys are
//! wiped as soon as the machine is awake. It would be better before it sleeps; but nobody tells a program in time.
//!
//! What is no key stays: endpoints, the newest timestamps (an initiation from before is still a replay), settings and
//! timers. So persistent keepalive brings the sessions back that somebody wants, and a packet the others. Packets that
//! wait for a session wait for the next one, for which a handshake begins at once.

use rand_core::CryptoRng;
use wirewright_protocol::Cause;

use super::{Moment, Shard, peer_at};
use crate::output::Output;

impl<R: CryptoRng> Shard<R> {
    /// The machine was suspended until now: wipes the keys of all sessions and handshakes.
    pub fn suspended(&mut self, at: Moment, output: &mut Output) {
        for slot in 0..self.peers.bound() {
            let Some(peer) = peer_at(&mut self.peers, slot) else {
                continue;
            };
            peer.conversation.forget(&mut self.retired);
            if !peer.staged.is_empty() {
                self.begin_handshake(at, slot, Cause::Fresh, output);
            }
            self.settle(slot);
        }
    }
}
