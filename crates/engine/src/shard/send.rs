//! Outwards: from plaintext packets to sealed datagrams.
//!
//! # Theory
//!
//! Three passes over a batch. The first finds each packet's peer and counts the packets of each; the second
//! reserves for each peer one contiguous range of nonces (or finds that there is no session); the third writes the
//! headers. After that, nothing about the conversation can change what is sent: the sealing is a value that
//! may be done anywhere. Flow queues (fq_codel) belong between the first and the second pass, so that what they
//! drop or reorder has not got a nonce yet.

use rand_core::CryptoRng;
use wirewright_aead::Packet;
use wirewright_protocol::{Cause, DataHeader, Instant, Sent};

use super::loops::Course;
use super::{Moment, Shard, peer_at};
use crate::batch::Batch;
use crate::counters::Event;
use crate::directory::PeerRef;
use crate::filter::Direction;
use crate::job::{SealJob, SealKey};
use crate::output::{HandedOver, Handover, Output};
use crate::packet::IpHeader;
use crate::peer::Endpoint;

/// The packets of one peer in a batch.
pub(super) struct Group {
    slot: u32,
    packets: u32,
    /// Of what is sealed, as it leaves.
    bytes: u64,
    sending: Option<Sending>,
}

/// The nonce range reserved for a group.
struct Sending {
    key: u16,
    counter: u64,
    remote_index: u32,
    path: Endpoint,
    peer: PeerRef,
}

/// What a data message adds to its packet: header and tag.
const OVERHEAD: usize = wirewright_protocol::wire::DATA_OVERHEAD;

/// Marks a packet that belongs to no group.
const NONE: u32 = u32::MAX;

impl<R: CryptoRng> Shard<R> {
    /// Takes a batch of plaintext packets. What can be sealed comes back as a job, to be [run](SealJob::run) and
    /// given to [`Shard::sealed`]; packets for other shards' peers are handed over; packets without a session are
    /// staged while a handshake is begun.
    pub fn send(&mut self, at: Moment, mut batch: Batch, output: &mut Output) -> Option<SealJob> {
        if self.sealing.in_flight() >= self.limits.jobs_in_flight {
            self.counters.add(Event::JobsFull, batch.packets().count() as u64);
            self.recycle(batch);
            return None;
        }
        if self.shards > 1 {
            let count = |counts: &mut HandedOver, foreign| counts.packets += foreign;
            batch =
                self.hand_over_foreign(batch, output, Self::home_of_destination, Handover::Send, count)?;
        }
        let mut groups = core::mem::take(&mut self.scratch.groups);
        let mut group_of = core::mem::take(&mut self.scratch.slots);
        self.route(at.now, &mut batch, &mut groups, &mut group_of);

        let mut job = self.spares.0.take(batch);
        for group in &mut groups {
            group.sending = self.reserve(at, group, &mut job);
        }
        for (index, group) in group_of.iter().enumerate() {
            if let Some(group) = groups.get_mut(*group as usize) {
                self.seal_or_stage(index, group, &mut job);
            }
        }
        for group in &groups {
            self.after_sending(at, group, output);
        }

        groups.clear();
        group_of.clear();
        (self.scratch.groups, self.scratch.slots) = (groups, group_of);
        if job.packets.is_empty() {
            let batch = self.spares.0.put(job);
            self.recycle(batch);
            return None;
        }
        job.number = self.sealing.issue();
        Some(job)
    }

    /// Takes a sealed job back. Its datagrams go out when all jobs with lower numbers are back, too.
    pub fn sealed(&mut self, job: SealJob, output: &mut Output) {
        self.sealing.put(job.number, job);
        while let Some(mut job) = self.sealing.take() {
            job.keep_sealed();
            output.datagrams.push(self.spares.0.put(job));
        }
    }

    /// Sends an empty message: a keepalive, or the confirmation of a new session.
    pub(super) fn send_keepalive(&mut self, at: Moment, slot: u32, output: &mut Output) {
        let Some(peer) = peer_at(&mut self.peers, slot) else {
            return;
        };
        let Some(path) = peer.endpoint else {
            self.count_peer(slot, Event::NoEndpoint, 1);
            return;
        };
        let Some(reservation) = peer.conversation.reserve(at.now, 1) else {
            self.count_exhausted(at, slot, 1);
            self.begin_handshake(at, slot, Cause::Fresh, output);
            return;
        };
        let mut message = [0; OVERHEAD];
        if let Some((header, tag)) = message.split_first_chunk_mut::<{ Batch::HEADROOM }>() {
            header.copy_from_slice(
                DataHeader::new(reservation.remote_index, reservation.first_counter).as_bytes(),
            );
            wirewright_aead::seal_one(&reservation.keys.seal, reservation.first_counter, &[], tag);
        }
        peer.sent_bytes += message.len() as u64;
        let wants = peer.conversation.sent(at.now, &mut self.rng, Sent::Keepalive);
        output.signal_to(peer.id, path, &message);
        if wants.handshake {
            self.begin_handshake(at, slot, Cause::Fresh, output);
        }
        self.settle(slot);
    }

    /// Sends what waited for a session. The packets take the ordinary way again, since an address may belong to
    /// another peer by now.
    pub(super) fn flush_staged(&mut self, at: Moment, slot: u32, output: &mut Output) {
        // Each packet gets one chance: if the session is too old already, it is staged again.
        let mut left = peer_at(&mut self.peers, slot).map_or(0, |peer| peer.staged.len());
        loop {
            let mut batch = self.batch();
            while left > 0 && !batch.is_full() {
                left -= 1;
                let Some(peer) = peer_at(&mut self.peers, slot) else {
                    break;
                };
                let Some(packet) = peer.staged.pop(&mut self.staged_bytes) else {
                    break;
                };
                if !batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet)) {
                    self.count_peer(slot, Event::Oversize, 1);
                }
            }
            if batch.is_empty() {
                self.recycle(batch);
                return;
            }
            self.send_now(at, batch, output);
        }
    }

    /// The first pass: whose is each packet, and may it pass?
    fn route(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        groups: &mut alloc::vec::Vec<Group>,
        group_of: &mut alloc::vec::Vec<u32>,
    ) {
        for index in 0..batch.len() {
            group_of.push(NONE);
            let packet = batch.packet(index);
            if packet.is_empty() {
                continue;
            }
            let Ok(header) = IpHeader::parse(packet) else {
                self.counters.add(Event::MalformedPacket, 1);
                batch.drop_packet(index);
                continue;
            };
            let peer = self.directory.allowed_ips.lookup(header.destination);
            let Some(peer) = peer.filter(|peer| self.peer(*peer).is_some()) else {
                self.counters.add(Event::NoPeer, 1);
                batch.drop_packet(index);
                continue;
            };
            if self.has_filter() {
                let packet = packet.get(..header.len).unwrap_or(packet);
                if !self.may_pass(now, peer, packet, Direction::ToPeer) {
                    batch.drop_packet(index);
                    continue;
                }
            }
            // A batch mostly holds packets of one or two peers, the last one first of all.
            let position = groups
                .iter()
                .rposition(|group| group.slot == peer.slot)
                .unwrap_or_else(|| {
                    groups.push(Group {
                        slot: peer.slot,
                        packets: 0,
                        bytes: 0,
                        sending: None,
                    });
                    groups.len() - 1
                });
            if let (Some(group), Some(place)) = (groups.get_mut(position), group_of.last_mut()) {
                group.packets += 1;
                *place = position as u32;
            }
        }
    }

    /// The second pass: nonces for all packets of a peer.
    fn reserve(&mut self, at: Moment, group: &Group, job: &mut SealJob) -> Option<Sending> {
        let peer = peer_at(&mut self.peers, group.slot)?;
        let path = peer.endpoint?;
        let Some(reservation) = peer.conversation.reserve(at.now, group.packets) else {
            self.count_exhausted(at, group.slot, group.packets);
            return None;
        };
        let peer = peer.id;
        self.loops.note(reservation.remote_index);
        job.keys.push(SealKey(reservation.keys));
        Some(Sending {
            key: (job.keys.len() - 1) as u16,
            counter: reservation.first_counter,
            remote_index: reservation.remote_index,
            path,
            peer,
        })
    }

    /// After a reservation was refused: counts the packets if the session has no counters left for them.
    fn count_exhausted(&mut self, at: Moment, slot: u32, packets: u32) {
        if peer_at(&mut self.peers, slot).is_some_and(|peer| peer.conversation.is_exhausted(at.now, packets))
        {
            self.count_peer(slot, Event::NonceExhausted, packets.into());
        }
    }

    /// The third pass: a header before the packet, or the packet to those that wait.
    fn seal_or_stage(&mut self, index: usize, group: &mut Group, job: &mut SealJob) {
        let Some(sending) = &mut group.sending else {
            self.stage(index, group.slot, &mut job.batch);
            return;
        };
        let hop_limit = match self.loops.course(job.batch.packet(index), self.mtu) {
            Course::Free => None,
            Course::Limited(hops) => Some(hops),
            Course::Loop => {
                self.count_peer(group.slot, Event::RoutingLoop, 1);
                job.batch.drop_packet(index);
                return;
            }
        };
        let (len, mtu, stride) = (job.batch.packet(index).len(), self.mtu, job.batch.stride());
        // Padded to 16 bytes, but never beyond the MTU (the paper's section 5.4.6; the kernel's calculate_skb_padding).
        let padded = len
            .next_multiple_of(16)
            .min(mtu.max(len))
            .min(stride.saturating_sub(OVERHEAD));
        if padded < len {
            self.count_peer(group.slot, Event::Oversize, 1);
            job.batch.drop_packet(index);
            return;
        }
        let bytes = job.batch.slot_bytes_mut(index);
        if let Some(padding) = bytes.get_mut(Batch::HEADROOM + len..Batch::HEADROOM + padded) {
            padding.fill(0);
        }
        if let Some(header) = bytes.first_chunk_mut::<{ Batch::HEADROOM }>() {
            header.copy_from_slice(DataHeader::new(sending.remote_index, sending.counter).as_bytes());
        }
        job.packets.push(Packet {
            key: sending.key,
            slot: index as u32,
            start: Batch::HEADROOM as u32,
            len: padded as u32,
            counter: sending.counter,
        });
        sending.counter += 1;
        if let Some(slot) = job.batch.slot_mut(index) {
            slot.start = 0;
            slot.len = (padded + OVERHEAD) as u32;
            slot.path = sending.path;
            slot.peer = Some(sending.peer);
            slot.hop_limit = hop_limit;
        }
        group.bytes += (padded + OVERHEAD) as u64;
    }

    fn stage(&mut self, index: usize, slot: u32, batch: &mut Batch) {
        if let Some(peer) = peer_at(&mut self.peers, slot) {
            let dropped = if peer.endpoint.is_some() {
                (
                    Event::StagedOverflow,
                    peer.staged
                        .push(batch.packet(index), &self.limits, &mut self.staged_bytes),
                )
            } else {
                (Event::NoEndpoint, 1)
            };
            self.count_peer(slot, dropped.0, dropped.1);
        }
        batch.drop_packet(index);
    }

    /// Timers and totals, once for each peer of the batch.
    fn after_sending(&mut self, at: Moment, group: &Group, output: &mut Output) {
        let Some(peer) = peer_at(&mut self.peers, group.slot) else {
            return;
        };
        let handshake = match group.sending {
            // All were dropped.
            Some(_) if group.bytes == 0 => false,
            Some(_) => {
                peer.sent_bytes += group.bytes;
                peer.conversation
                    .sent(at.now, &mut self.rng, Sent::Data)
                    .handshake
            }
            None => peer.endpoint.is_some(),
        };
        if handshake {
            self.begin_handshake(at, group.slot, Cause::Fresh, output);
        }
        self.settle(group.slot);
    }

    /// The home shard of a packet's peer; our own number if there is none, so that it is counted here.
    fn home_of_destination(&self, packet: &[u8]) -> u8 {
        let Ok(header) = IpHeader::parse(packet) else {
            return self.id;
        };
        self.directory
            .allowed_ips
            .lookup(header.destination)
            .map_or(self.id, |peer| peer.shard)
    }
}
