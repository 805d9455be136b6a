//! What a handshake leaves behind: two keys, two indices, a counter to send and a window to receive.
//!
//! A peer has up to three sessions (section 6.1 and the kernel's keypairs). Packets are sent under `current`.
//! `previous` still receives what was under way when it was replaced. `next` is what a responder has derived
//! but may not send under, because only a packet received under it proves that the initiator has it too.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use wirewright_aead as aead;

use crate::constants::{REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME};
use crate::replay::ReplayWindow;
use crate::time::Instant;

/// The two keys of a session, wiped when the last holder lets go of them.
#[derive(Debug)]
pub struct SessionKeys {
    /// Seals what is sent.
    pub seal: aead::Key,
    /// Opens what is received.
    pub open: aead::Key,
}

/// A session with a peer.
#[derive(Debug)]
pub struct Session {
    /// The keys, shared with whoever is sealing or opening at the moment.
    pub keys: Arc<SessionKeys>,
    /// Our index: the receiver index of packets we get.
    pub local_index: u32,
    /// The peer's index: the receiver index of packets we send.
    pub remote_index: u32,
    /// When the keys were derived.
    pub created: Instant,
    /// Whether we initiated the handshake.
    pub initiator: bool,
    /// Which counters were received.
    pub window: ReplayWindow,
    /// The counter of the next packet sent.
    pub(crate) next_counter: u64,
    /// The 165 s rule has been applied: it asks for one handshake, not for one a packet.
    pub(crate) asked_on_receive: bool,
}

impl Session {
    /// Whether packet `counter` may still be accepted: the session is younger than 180 s, and the counter below
    /// [`REJECT_AFTER_MESSAGES`].
    #[must_use]
    pub fn can_receive(&self, now: Instant, counter: u64) -> bool {
        now.saturating_since(self.created) < REJECT_AFTER_TIME && counter < REJECT_AFTER_MESSAGES
    }

    /// Whether packets may still be sent: the session is younger than 180 s and has counters left.
    #[must_use]
    pub fn can_send(&self, now: Instant) -> bool {
        now.saturating_since(self.created) < REJECT_AFTER_TIME && self.next_counter < REJECT_AFTER_MESSAGES
    }

    /// The counter that the next packet sent will have, which is how many were sent.
    #[must_use]
    pub const fn next_counter(&self) -> u64 {
        self.next_counter
    }
}

/// Counters set aside for packets of one batch.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Keys to seal them with.
    pub keys: Arc<SessionKeys>,
    /// The receiver index for their headers.
    pub remote_index: u32,
    /// The first packet's counter; the others follow without gaps.
    pub first_counter: u64,
}

/// The sessions of one peer. A replaced session's index is pushed on `retired`.
#[derive(Default)]
pub(crate) struct Slots {
    previous: Option<Box<Session>>,
    current: Option<Box<Session>>,
    next: Option<Box<Session>>,
}

impl Slots {
    pub(crate) fn current(&self) -> Option<&Session> {
        self.current.as_deref()
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut Session> {
        self.current.as_deref_mut()
    }

    pub(crate) fn find(&self, local_index: u32) -> Option<&Session> {
        let slots = [&self.current, &self.previous, &self.next];
        slots
            .into_iter()
            .flatten()
            .find(|session| session.local_index == local_index)
            .map(|session| &**session)
    }

    pub(crate) fn find_mut(&mut self, local_index: u32) -> Option<&mut Session> {
        let slots = [&mut self.current, &mut self.previous, &mut self.next];
        slots
            .into_iter()
            .flatten()
            .find(|session| session.local_index == local_index)
            .map(|session| &mut **session)
    }

    /// A session that we initiated: the response proves that the peer has it, so it is sent under at once.
    ///
    /// An unconfirmed `next` is kept for receiving, in the place of `current`: the peer may have begun to use
    /// it just now.
    pub(crate) fn add_initiated(&mut self, session: Session, retired: &mut Vec<u32>) {
        let current = self.current.replace(Box::new(session));
        let previous = match self.next.take() {
            Some(next) => {
                retire(current, retired);
                Some(next)
            }
            None => current,
        };
        retire(core::mem::replace(&mut self.previous, previous), retired);
    }

    /// A session that we answered: it waits for its first packet. `previous` goes, so that keys from two
    /// handshakes ago do not outlive a third.
    pub(crate) fn add_answered(&mut self, session: Session, retired: &mut Vec<u32>) {
        retire(self.next.replace(Box::new(session)), retired);
        retire(self.previous.take(), retired);
    }

    /// A packet came under `local_index`; if that is the `next` session, the initiator has it, and it becomes
    /// `current`. Gives whether it did.
    pub(crate) fn confirm(&mut self, local_index: u32, retired: &mut Vec<u32>) -> bool {
        match self.next.take_if(|next| next.local_index == local_index) {
            Some(next) => {
                let current = self.current.replace(next);
                retire(core::mem::replace(&mut self.previous, current), retired);
                true
            }
            None => false,
        }
    }

    pub(crate) fn clear(&mut self, retired: &mut Vec<u32>) {
        for slot in [&mut self.previous, &mut self.current, &mut self.next] {
            retire(slot.take(), retired);
        }
    }
}

fn retire(session: Option<Box<Session>>, retired: &mut Vec<u32>) {
    retired.extend(session.map(|session| session.local_index));
}
