//! Handshake messages that passed the fences: when they are worked on, and what they lead to.

use alloc::boxed::Box;

use rand_core::CryptoRng;
use wirewright_protocol::{
    Cause, CookieReply, HandshakeError, Initiation, Instant, Message, OpenedInitiation, Response,
};

use super::fences::Waiting;
use super::{Moment, Shard, key_of, peer_at};
use crate::counters::Event;
use crate::directory::PeerRef;
use crate::output::{Handover, Notice, Output};
use crate::peer::Endpoint;

impl<R: CryptoRng> Shard<R> {
    /// Works on handshake messages that wait, for a shard with a thread of its own. `busy` says that somebody waits for
    /// data: more datagrams are in the thread's socket or handed over, or the shard is not [quiet](Self::is_quiet).
    /// Then only as many are worked on as datagrams and time pay for, so that a flood of handshakes cannot take the
    /// time of established sessions.
    pub fn handshakes(&mut self, at: Moment, busy: bool, output: &mut Output) {
        let datagrams = self.begin_handshakes(busy);
        self.pace.begin(at.now, busy, datagrams);
        while self.has_handshakes() && self.pace.spend() {
            self.next_handshake(at, output);
        }
    }

    /// When [`Shard::handshakes`] wants to be called at the latest, if handshake messages wait.
    #[must_use]
    pub fn handshakes_due(&self) -> Option<Instant> {
        self.has_handshakes().then(|| self.pace.due())
    }

    /// Whether no data came within the last ten milliseconds. While it comes, more of it is on its way, even if none
    /// waits at the moment.
    #[must_use]
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.allowance.is_quiet(now)
    }

    /// Before handshake messages are worked on: what did datagrams pay in since the last time?
    pub(crate) fn begin_handshakes(&mut self, busy: bool) -> u32 {
        if !busy {
            self.allowance.idle();
        }
        self.allowance.take_datagrams()
    }

    /// Works on one handshake message, if any waits.
    pub(crate) fn next_handshake(&mut self, at: Moment, output: &mut Output) {
        if let Some(waiting) = self.proven.pop_front().or_else(|| self.waiting.pop_front()) {
            self.accept_handshake(at, &waiting, output);
        }
    }

    /// Begins a handshake with a home peer, unless one was begun within the last five seconds.
    pub fn initiate(&mut self, at: Moment, id: PeerRef, output: &mut Output) {
        if self.peer(id).is_some() {
            self.begin_handshake(at, id.slot, Cause::Fresh, output);
        }
    }

    /// Goes on with an initiation that the shard `opener` decrypted.
    pub(super) fn accept_opened(
        &mut self,
        at: Moment,
        opened: OpenedInitiation,
        path: Endpoint,
        id: PeerRef,
        opener: u8,
        output: &mut Output,
    ) {
        let Some(identity) = self.identity.clone() else {
            self.counters.add(Event::NoIdentity, 1);
            return;
        };
        if self.peer(id).is_none() {
            self.counters.add(Event::HandoverStale, 1);
            return;
        }
        let index = self.indices.allocate(id.slot, &mut self.rng);
        let Some(peer) = peer_at(&mut self.peers, id.slot) else {
            return;
        };
        let response = peer.conversation.accept_initiation(
            at.now,
            &mut self.rng,
            &identity,
            opened,
            index,
            &mut self.retired,
        );
        match response {
            Ok(response) => {
                if peer.heard_over(path) {
                    output.notices.push(Notice::EndpointChanged(key_of(peer)));
                }
                peer.received_bytes += size_of::<Initiation>() as u64;
                peer.sent_bytes += size_of::<Response>() as u64;
                output.signal_to(id, path, response.as_bytes());
                if opener == self.id {
                    self.known_sources.note(path.remote, &self.limits);
                } else {
                    output
                        .handovers
                        .push((opener, Handover::KnownSource(path.remote)));
                }
            }
            Err(error) => {
                self.indices.release(index);
                let event = match error {
                    HandshakeError::TimestampReplay => Event::TimestampReplay,
                    HandshakeError::Flood => Event::InitiationFlood,
                    _ => Event::InitiationInvalid,
                };
                self.count_peer(id.slot, event, 1);
            }
        }
        self.settle(id.slot);
    }

    /// Sends an initiation, unless one was sent (or a response) within the last five seconds.
    pub(super) fn begin_handshake(&mut self, at: Moment, slot: u32, cause: Cause, output: &mut Output) {
        let Some(identity) = self.identity.clone() else {
            self.count_peer(slot, Event::NoIdentity, 1);
            self.drop_staged(slot);
            return;
        };
        let Some(peer) = peer_at(&mut self.peers, slot) else {
            return;
        };
        if !peer.conversation.request_handshake(at.now, cause) {
            return;
        }
        let Some(path) = peer.endpoint else {
            self.count_peer(slot, Event::NoEndpoint, 1);
            return;
        };
        let index = self.indices.allocate(slot, &mut self.rng);
        let initiation = peer.conversation.initiate(
            at.now,
            at.wall,
            &mut self.rng,
            &identity,
            index,
            cause,
            &mut self.retired,
        );
        match initiation {
            Ok(initiation) => {
                peer.sent_bytes += size_of::<Initiation>() as u64;
                output.signal_to(peer.id, path, initiation.as_bytes());
            }
            Err(_) => {
                self.indices.release(index);
                self.count_peer(slot, Event::HandshakeImpossible, 1);
                self.drop_staged(slot);
            }
        }
        self.settle(slot);
    }

    /// Drops what waits for a session that will not come.
    pub(super) fn drop_staged(&mut self, slot: u32) {
        if let Some(peer) = peer_at(&mut self.peers, slot) {
            let dropped = peer.staged.clear(&mut self.staged_bytes);
            self.count_peer(slot, Event::StagedDropped, dropped);
        }
    }

    /// A cookie reply is cheap to check, so it does not wait.
    pub(super) fn accept_cookie(&mut self, at: Moment, reply: &CookieReply) {
        let Some(slot) = self.indices.slot(reply.receiver()) else {
            self.counters.add(Event::BadCookie, 1);
            return;
        };
        let accepted = peer_at(&mut self.peers, slot)
            .is_some_and(|peer| peer.conversation.accept_cookie(at.now, reply).is_ok());
        self.count_peer(
            slot,
            if accepted {
                Event::CookieReceived
            } else {
                Event::BadCookie
            },
            1,
        );
    }

    fn accept_handshake(&mut self, at: Moment, waiting: &Waiting, output: &mut Output) {
        match Message::parse(waiting.message()) {
            Ok(Message::Initiation(initiation)) => self.open_initiation(at, initiation, waiting.path, output),
            Ok(Message::Response(response)) => self.accept_response(at, response, waiting.path, output),
            // Only these two are ever put into the queue.
            _ => self.counters.add(Event::BadType, 1),
        }
    }

    /// Decrypts who the initiation is from, and goes on where that peer is at home.
    fn open_initiation(&mut self, at: Moment, initiation: &Initiation, path: Endpoint, output: &mut Output) {
        let Some(identity) = &self.identity else {
            self.counters.add(Event::NoIdentity, 1);
            return;
        };
        let Ok(opened) = identity.open_initiation(initiation) else {
            self.counters.add(Event::InitiationInvalid, 1);
            return;
        };
        match self.directory.peers.get(&opened.peer()).copied() {
            None => self.counters.add(Event::UnknownPeer, 1),
            Some(peer) if peer.shard == self.id => {
                self.accept_opened(at, opened, path, peer, self.id, output)
            }
            Some(peer) => {
                let handover = Handover::Initiation(Box::new(opened), path, peer, self.id);
                output.handovers.push((peer.shard, handover));
            }
        }
    }

    fn accept_response(&mut self, at: Moment, response: &Response, path: Endpoint, output: &mut Output) {
        let (Some(slot), Some(identity)) = (self.indices.slot(response.receiver()), self.identity.clone())
        else {
            self.counters.add(Event::ResponseUnexpected, 1);
            return;
        };
        let Some(peer) = peer_at(&mut self.peers, slot) else {
            return;
        };
        match peer
            .conversation
            .accept_response(at.now, &identity, response, &mut self.retired)
        {
            Ok(()) => {
                if peer.heard_over(path) {
                    output.notices.push(Notice::EndpointChanged(key_of(peer)));
                }
                peer.last_handshake = Some(at.wall);
                peer.received_bytes += size_of::<Response>() as u64;
                output.notices.push(Notice::HandshakeCompleted(key_of(peer)));
                // Whatever goes first confirms the session to the responder (the paper's section 5.4.5).
                if peer.staged.is_empty() {
                    self.send_keepalive(at, slot, output);
                } else {
                    self.flush_staged(at, slot, output);
                }
            }
            Err(HandshakeError::Unexpected) => self.count_peer(slot, Event::ResponseUnexpected, 1),
            Err(_) => self.count_peer(slot, Event::ResponseInvalid, 1),
        }
        self.settle(slot);
    }
}
