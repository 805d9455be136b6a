//! Inwards: from datagrams to plaintext packets.
//!
//! # Theory
//!
//! Before the cipher, a data message is checked for what costs nothing: its receiver index, the age of its session
//! and the replay window. Nothing is changed by that, since the message may be forged. After the cipher the window is
//! asked again, and now moves; only then may the peer roam, a session be confirmed and timers move. An inner packet
//! must come from an address that belongs to this very peer by the *device's* table: asking only the peer's own list
//! would let two peers claim the same address.

use alloc::sync::Arc;

use rand_core::CryptoRng;
use wirewright_aead::{Packet, Verdict};
use wirewright_protocol::wire::DATA_OVERHEAD;
use wirewright_protocol::{Cause, Instant, Message, ParseError, Received, Replay};

use super::{Indices, Moment, Shard, key_of, peer_at};
use crate::batch::Batch;
use crate::counters::Event;
use crate::filter::Direction;
use crate::job::{Claim, OpenJob, OpenKey};
use crate::output::{HandedOver, Handover, Notice, Output};
use crate::packet::{IpHeader, Malformed};
use crate::peer::Endpoint;

/// What came from a peer under one session in a batch.
pub(super) struct Heard {
    claim: Claim,
    data: bool,
    bytes: u64,
    path: Endpoint,
}

impl<R: CryptoRng> Shard<R> {
    /// Takes a batch of datagrams. Data messages that may be genuine come back as a job, to be [run](OpenJob::run)
    /// and given to [`Shard::opened`]; handshake messages wait for [`Shard::handshakes`].
    pub fn receive(&mut self, at: Moment, mut batch: Batch, output: &mut Output) -> Option<OpenJob> {
        if self.opening.in_flight() >= self.limits.jobs_in_flight {
            self.counters.add(Event::JobsFull, batch.packets().count() as u64);
            self.recycle(batch);
            return None;
        }
        if self.shards > 1 {
            let count = |counts: &mut HandedOver, foreign| counts.datagrams += foreign;
            batch =
                self.hand_over_foreign(batch, output, Self::home_of_receiver, Handover::Receive, count)?;
        }
        self.begin_batch(at, &batch);
        let mut job = self.spares.1.take(batch);
        for index in 0..job.batch.len() {
            if !self.inspect(at, index, &mut job, output) {
                job.batch.drop_packet(index);
            }
        }
        if job.packets.is_empty() {
            let batch = self.spares.1.put(job);
            self.recycle(batch);
            return None;
        }
        self.end_batch(at, &job);
        job.number = self.opening.issue();
        Some(job)
    }

    /// Takes an opened job back. Its packets go on when all jobs with lower numbers are back, too.
    pub fn opened(&mut self, at: Moment, job: OpenJob, output: &mut Output) {
        self.opening.put(job.number, job);
        while let Some(job) = self.opening.take() {
            self.deliver(at, job, output);
        }
    }

    /// Looks at one datagram before the cipher. True if it went into the job.
    fn inspect(&mut self, at: Moment, index: usize, job: &mut OpenJob, output: &mut Output) -> bool {
        let datagram = job.batch.packet(index);
        if datagram.is_empty() {
            return false;
        }
        let Some(path) = job.batch.slot(index).map(|slot| slot.path) else {
            return false;
        };
        match Message::parse(datagram) {
            Ok(Message::Data(header)) => {
                let text = (datagram.len() - DATA_OVERHEAD) as u32;
                let (receiver, counter) = (header.receiver(), header.counter());
                return self.claim(at, index, receiver, counter, text, job);
            }
            Ok(message @ (Message::Initiation(_) | Message::Response(_))) => {
                self.enqueue_handshake(at, message, datagram, path, output);
            }
            Ok(Message::CookieReply(reply)) => self.accept_cookie(at, reply),
            Err(ParseError::BadLength) => self.counters.add(Event::BadLength, 1),
            Err(ParseError::BadType) => self.counters.add(Event::BadType, 1),
        }
        false
    }

    /// Notes a data message in the job if its session is there and would still take its counter.
    fn claim(
        &mut self,
        at: Moment,
        index: usize,
        receiver: u32,
        counter: u64,
        text: u32,
        job: &mut OpenJob,
    ) -> bool {
        let Some(slot) = self.indices.slot(receiver) else {
            self.counters.add(Event::NoSession, 1);
            return false;
        };
        let peer = peer_at(&mut self.peers, slot).map(|peer| (peer.id, peer.conversation.session(receiver)));
        let refusal = match peer {
            None | Some((_, None)) => Event::NoSession,
            Some((_, Some(session))) if !session.can_receive(at.now, counter) => Event::SessionExpired,
            Some((peer, Some(session))) => match session.window.check(counter) {
                Err(Replay::Old) => Event::ReplayOld,
                Err(Replay::Duplicate) => Event::ReplayDuplicate,
                Ok(()) => {
                    let known = job
                        .keys
                        .iter()
                        .rposition(|key| Arc::ptr_eq(&key.0, &session.keys));
                    let key = known.unwrap_or_else(|| {
                        job.keys.push(OpenKey(session.keys.clone()));
                        job.keys.len() - 1
                    });
                    let claim = Claim {
                        peer,
                        index: receiver,
                    };
                    let packet = Packet {
                        key: key as u16,
                        slot: index as u32,
                        start: Batch::HEADROOM as u32,
                        len: text,
                        counter,
                    };
                    job.claim(claim, packet);
                    return true;
                }
            },
        };
        self.count_peer(slot, refusal, 1);
        false
    }

    /// Everything that follows once the verdicts are known.
    fn deliver(&mut self, at: Moment, mut job: OpenJob, output: &mut Output) {
        let mut heard = core::mem::take(&mut self.scratch.heard);
        for ((packet, claim), verdict) in job.packets.iter().zip(&job.sessions).zip(&job.verdicts) {
            let keys = job.keys.get(usize::from(packet.key));
            let genuine = self.accept(at.now, *claim, *verdict, keys, packet, &mut job.batch, &mut heard);
            if !genuine {
                job.batch.drop_packet(packet.slot as usize);
            }
        }
        let batch = self.spares.1.put(job);
        if batch.packets().next().is_some() {
            output.packets.push(batch);
        } else {
            self.recycle(batch);
        }
        for heard in heard.drain(..) {
            self.after_hearing(at, &heard, output);
        }
        self.scratch.heard = heard;
    }

    /// An authentic message counts once, its peer may roam, and its packet is checked. True if that is delivered.
    #[expect(clippy::too_many_arguments, reason = "what a job holds, in its parts")]
    fn accept(
        &mut self,
        now: Instant,
        claim: Claim,
        verdict: Verdict,
        keys: Option<&OpenKey>,
        packet: &Packet,
        batch: &mut Batch,
        heard: &mut alloc::vec::Vec<Heard>,
    ) -> bool {
        let (index, text) = (packet.slot as usize, packet.len as usize);
        let (id, home) = (claim.peer, claim.peer.slot);
        let Some(peer) = self.peer_mut(id) else {
            // The peer was removed while a helper had the job; its slot may be another's by now.
            self.counters.add(Event::NoSession, 1);
            return false;
        };
        if verdict == Verdict::Forged {
            self.count_peer(home, Event::AuthenticationFailed, 1);
            return false;
        }
        // Likewise the session may be gone, and its index may be another session's by now.
        let session = peer
            .conversation
            .session_mut(claim.index)
            .filter(|session| keys.is_some_and(|keys| Arc::ptr_eq(&keys.0, &session.keys)));
        let Some(session) = session else {
            self.count_peer(home, Event::NoSession, 1);
            return false;
        };
        if let Err(replay) = session.window.accept(packet.counter) {
            let event = match replay {
                Replay::Old => Event::ReplayOld,
                Replay::Duplicate => Event::ReplayDuplicate,
            };
            self.count_peer(home, event, 1);
            return false;
        }
        let Some(slot) = batch.slot_mut(index) else {
            return false;
        };
        let path = slot.path;
        (slot.start, slot.len) = (packet.start, packet.len);
        note(heard, claim, text > 0, (text + DATA_OVERHEAD) as u64, path);
        if text == 0 {
            return false;
        }
        let refusal = match IpHeader::parse(batch.packet(index)) {
            Err(Malformed::Version) => Event::InnerVersion,
            Err(Malformed::Length) => Event::InnerLength,
            Ok(header) if self.directory.allowed_ips.lookup(header.source) == Some(id) => {
                if let Some(slot) = batch.slot_mut(index) {
                    slot.len = header.len as u32;
                }
                return self.may_pass(now, id, batch.packet(index), Direction::FromPeer);
            }
            Ok(_) => Event::SourceNotAllowed,
        };
        self.count_peer(home, refusal, 1);
        false
    }

    /// Roaming, confirmation, timers and totals, once for each session of the batch.
    fn after_hearing(&mut self, at: Moment, heard: &Heard, output: &mut Output) {
        let slot = heard.claim.peer.slot;
        let Some(peer) = peer_at(&mut self.peers, slot) else {
            return;
        };
        peer.received_bytes += heard.bytes;
        if peer.heard_over(heard.path) {
            output.notices.push(Notice::EndpointChanged(key_of(peer)));
        }
        let kind = if heard.data {
            Received::Data
        } else {
            Received::Keepalive
        };
        let outcome = peer
            .conversation
            .received(at.now, heard.claim.index, kind, &mut self.retired);
        if outcome.confirmed {
            peer.last_handshake = Some(at.wall);
            output.notices.push(Notice::HandshakeCompleted(key_of(peer)));
            self.flush_staged(at, slot, output);
        }
        if outcome.handshake {
            self.begin_handshake(at, slot, Cause::Fresh, output);
        }
        self.settle(slot);
    }

    /// The shard that a datagram is for: the one that gave out its receiver index; ours if it carries none.
    fn home_of_receiver(&self, datagram: &[u8]) -> u8 {
        let receiver = match Message::parse(datagram) {
            Ok(Message::Data(header)) => header.receiver(),
            Ok(Message::Response(response)) => response.receiver(),
            Ok(Message::CookieReply(reply)) => reply.receiver(),
            _ => return self.id,
        };
        Some(Indices::shard_of(receiver))
            .filter(|shard| *shard < self.shards)
            .unwrap_or(self.id)
    }
}

/// Adds a message to what was heard; the newest path counts.
fn note(heard: &mut alloc::vec::Vec<Heard>, claim: Claim, data: bool, bytes: u64, path: Endpoint) {
    let known = heard
        .iter_mut()
        .rev()
        .find(|known| known.claim.peer == claim.peer && known.claim.index == claim.index);
    match known {
        Some(known) => {
            known.data |= data;
            known.bytes += bytes;
            known.path = path;
        }
        None => heard.push(Heard {
            claim,
            data,
            bytes,
            path,
        }),
    }
}
