//! The data of a conversation: counters to send, sessions to receive under, and when to replace them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{Conversation, Received, ReceivedOutcome, Sent, Wants};
use crate::constants::{
    REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME,
    REKEY_ON_RECEIVE_AFTER_TIME,
};
use crate::session::{Reservation, Session};
use crate::time::Instant;
use crate::timers::jitter;

impl Conversation {
    /// The session to send under, if it is younger than 180 s and has counters left.
    #[must_use]
    pub fn sending_session(&self, now: Instant) -> Option<&Session> {
        self.slots.current().filter(|session| session.can_send(now))
    }

    /// Sets `packets` counters of the sending session aside. They are never given out again, sent or not.
    #[must_use]
    pub fn reserve(&mut self, now: Instant, packets: u32) -> Option<Reservation> {
        let session = self.slots.current_mut().filter(|session| session.can_send(now))?;
        let first_counter = session.next_counter;
        let next = first_counter
            .checked_add(packets.into())
            .filter(|&next| next <= REJECT_AFTER_MESSAGES)?;
        session.next_counter = next;
        Some(Reservation {
            keys: Arc::clone(&session.keys),
            remote_index: session.remote_index,
            first_counter,
        })
    }

    /// Whether it is for want of counters that [`reserve`](Self::reserve) refuses `packets` of them: there is a session
    /// to send under, and it is young enough.
    #[must_use]
    pub fn is_exhausted(&self, now: Instant, packets: u32) -> bool {
        self.slots.current().is_some_and(|session| {
            let age = now.saturating_since(session.created);
            age < REJECT_AFTER_TIME
                && session
                    .next_counter
                    .checked_add(packets.into())
                    .is_none_or(|next| next > REJECT_AFTER_MESSAGES)
        })
    }

    /// Leaves out counters of the session to send under, as if so many packets had been sent, up to the last. They are
    /// never given out: skipping is always safe. What happens after 2^60 and 2^64 packets can be tried this way.
    pub fn skip_counters(&mut self, packets: u64) {
        if let Some(session) = self.slots.current_mut() {
            let next = session.next_counter.saturating_add(packets);
            session.next_counter = next.min(REJECT_AFTER_MESSAGES);
        }
    }

    /// The session that the peer addresses by `local_index`.
    #[must_use]
    pub fn session(&self, local_index: u32) -> Option<&Session> {
        self.slots.find(local_index)
    }

    /// The session that the peer addresses by `local_index`, to accept counters.
    pub fn session_mut(&mut self, local_index: u32) -> Option<&mut Session> {
        self.slots.find_mut(local_index)
    }

    /// Sealed packets were sent: to be called once a batch.
    ///
    /// Draws 4 bytes, the jitter, if `what` is [`Sent::Data`] and the new-handshake timer was not armed.
    pub fn sent<R: CryptoRng + ?Sized>(&mut self, now: Instant, rng: &mut R, what: Sent) -> Wants {
        match what {
            Sent::Data => self.timers.data_sent(now, || jitter(rng)),
            Sent::Keepalive => self.timers.keepalive_sent(now),
        }
        let handshake = self.sending_session(now).is_some_and(|session| {
            session.next_counter > REKEY_AFTER_MESSAGES
                || (session.initiator && now.saturating_since(session.created) >= REKEY_AFTER_TIME)
        });
        Wants { handshake }
    }

    /// Authentic packets, whose counters were accepted, came under the session `local_index`: to be called once
    /// a batch and session. Nothing happens if the session is gone.
    pub fn received(
        &mut self,
        now: Instant,
        local_index: u32,
        what: Received,
        retired: &mut Vec<u32>,
    ) -> ReceivedOutcome {
        if self.slots.find(local_index).is_none() {
            return ReceivedOutcome::default();
        }
        let confirmed = self.slots.confirm(local_index, retired);
        if confirmed {
            self.handshake_complete(now);
        }
        match what {
            Received::Data => self.timers.data_received(now),
            Received::Keepalive => self.timers.authenticated_received(now),
        }
        ReceivedOutcome {
            confirmed,
            handshake: self.ask_on_receive(now),
        }
    }

    /// The 165 s rule: an initiator that only receives asks for a new session while a keepalive and a handshake
    /// still fit into the old one's life.
    fn ask_on_receive(&mut self, now: Instant) -> bool {
        let Some(session) = self.slots.current_mut() else {
            return false;
        };
        let due = session.initiator
            && !session.asked_on_receive
            && now.saturating_since(session.created) >= REKEY_ON_RECEIVE_AFTER_TIME;
        session.asked_on_receive |= due;
        due
    }
}
