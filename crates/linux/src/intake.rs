//! From the TUN into sealed batches.
//!
//! # Theory
//!
//! What is read is a packet or a super-packet, behind a header that says what is left to be done. A super-packet is cut into
//! the slots of a batch, with the only copy there is. What the kernel made one goes as one train: if the batch has not room for
//! all of it, but an empty one has, the batch is sealed first. A round takes a bounded number of reads, and of batches, since a
//! read may be 64 KiB.
//!
//! The header is as hostile as whoever hands packets to this host, such as a virtual machine in it. What it asks for and
//! cannot be done is counted as malformed.

use std::io;

use wirewright_engine::{Batch, Event, Moment, Output, Shard};
use wirewright_offload::split::Split;
use wirewright_offload::virtio::{HEADER_LEN, Header};
use wirewright_protocol::Instant;
use wirewright_runtime::{OsRandom, Rest};

use crate::tun::{self, Queue};

/// Bytes of the largest super-packet with its header.
const SUPER_PACKET: usize = HEADER_LEN + 65_535;
/// Packets, super-packets among them, that a round reads from the TUN.
const READS: usize = 64;
/// Batches that a round seals: what is read is bounded in bytes, too.
const BATCHES: usize = 4;
/// Packets that a super-packet may be cut into. The kernel's own has at most 128 datagrams of UDP, and of TCP, were it not asked
/// for fewer, as many as the smallest segments need (36 bytes). But who hands a super-packet to the host, such as a virtual
/// machine in it, may ask for segments of one byte.
const MOST_SEGMENTS: usize = 2048;

/// Reads from one queue.
pub(crate) struct Intake {
    /// The errors of reading it.
    rest: Rest,
    super_packet: Box<[u8]>,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self {
            rest: Rest::default(),
            super_packet: vec![0; SUPER_PACKET].into_boxed_slice(),
        }
    }

    /// When a queue that fails is to be tried again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rest.deadline()
    }

    /// Whether it may be read before that.
    pub(crate) fn is_awake(&self) -> bool {
        self.rest.is_awake()
    }

    /// Reads packets and seals them. True if there are more.
    ///
    /// # Errors
    /// That of a queue that cannot be read any more.
    pub(crate) fn collect(
        &mut self,
        at: Moment,
        queue: &Queue,
        shard: &mut Shard<OsRandom>,
        output: &mut Output,
    ) -> io::Result<bool> {
        let mut batch = shard.batch();
        let mut sealing = Sealing {
            at,
            shard,
            output,
            sealed: 0,
        };
        let mut more = true;
        for _ in 0..READS {
            let len = match queue.read(&mut self.super_packet) {
                Ok(Some(len)) => len,
                Ok(None) => {
                    self.rest.succeeded();
                    more = false;
                    break;
                }
                Err(error) if tun::is_final(&error) => return Err(error),
                Err(_) => {
                    sealing.shard.count(Event::InterfaceUnread, 1);
                    self.rest.failed(at.now);
                    more = false;
                    break;
                }
            };
            self.rest.succeeded();
            let read = self.super_packet.get_mut(..len);
            let Some((header, packet)) = read.and_then(<[u8]>::split_first_chunk_mut) else {
                continue;
            };
            batch = sealing.add(header, packet, batch);
            if sealing.sealed >= BATCHES {
                break;
            }
        }
        sealing.finish(batch);
        Ok(more)
    }
}

/// Where batches go when they are full.
struct Sealing<'a> {
    at: Moment,
    shard: &'a mut Shard<OsRandom>,
    output: &'a mut Output,
    /// How many have gone.
    sealed: usize,
}

impl Sealing<'_> {
    /// Adds what was read to the batch; a full one is sealed and another goes on.
    fn add(&mut self, header: &[u8; HEADER_LEN], packet: &mut [u8], mut batch: Batch) -> Batch {
        let Some(header) = Header::parse(header) else {
            self.shard.count(Event::MalformedPacket, 1);
            return batch;
        };
        let Some((kind, segment)) = header.segments else {
            let complete = header.checksum.is_none_or(|checksum| checksum.complete(packet));
            if !complete {
                self.shard.count(Event::MalformedPacket, 1);
                return batch;
            }
            batch = self.with_room(batch);
            if !batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)) {
                self.shard.count(Event::Oversize, 1);
            }
            return batch;
        };
        let split = Split::asked(packet, kind, segment.into(), header.checksum);
        let Some(split) = split.ok().filter(|split| split.count() <= MOST_SEGMENTS) else {
            self.shard.count(Event::MalformedPacket, 1);
            return batch;
        };
        // What the kernel made one shall go as one train, which no batch's end may cut.
        if split.count() > batch.room() && split.count() <= batch.capacity() {
            batch = self.seal(batch);
        }
        for index in 0..split.count() {
            batch = self.with_room(batch);
            let pushed = batch.push_plaintext(split.packet_len(index), |bytes| {
                split.write(index, bytes);
            });
            if !pushed {
                self.shard.count(Event::Oversize, 1);
            }
        }
        batch
    }

    fn with_room(&mut self, batch: Batch) -> Batch {
        if batch.is_full() {
            return self.seal(batch);
        }
        batch
    }

    /// Seals a batch; returns an empty one.
    fn seal(&mut self, batch: Batch) -> Batch {
        self.sealed += 1;
        self.shard.send_now(self.at, batch, self.output);
        self.shard.batch()
    }

    /// Seals the last batch, if there is anything in it.
    fn finish(self, batch: Batch) {
        if batch.is_empty() {
            self.shard.recycle(batch);
        } else {
            self.shard.send_now(self.at, batch, self.output);
        }
    }
}

#[cfg(test)]
mod tests {
    use wirewright_engine::{Engine, Limits};
    use wirewright_offload::virtio::{Kind, Partial};
    use wirewright_runtime::clock;

    use super::*;

    fn shard() -> Shard<OsRandom> {
        let engine = Engine::new([OsRandom::new()], &Limits::default(), 1420);
        engine.into_parts().1.into_iter().next().unwrap()
    }

    /// How many packets of a batch a packet becomes, and how many were counted as malformed.
    fn taken(header: [u8; HEADER_LEN], packet: &[u8]) -> (usize, u64) {
        let (mut shard, mut output) = (shard(), Output::default());
        let batch = shard.batch();
        let mut sealing = Sealing {
            at: clock::now(),
            shard: &mut shard,
            output: &mut output,
            sealed: 0,
        };
        let batch = sealing.add(&header, &mut packet.to_vec(), batch);
        (batch.len(), shard.counters().get(Event::MalformedPacket))
    }

    fn asking(start: u16, segment: u16) -> [u8; HEADER_LEN] {
        let header = Header {
            checksum: Some(Partial { start, offset: 16 }),
            segments: Some((Kind::Tcp6, segment)),
        };
        header.write(0)
    }

    /// TCP over IPv6 with 16 bytes of destination options and 3000 bytes of payload.
    fn super_packet() -> Vec<u8> {
        let mut packet = vec![0; 40 + 16 + 20 + 3000];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(16 + 20 + 3000_u16).to_be_bytes());
        (packet[6], packet[40], packet[41]) = (60, 6, 1);
        (packet[56 + 12], packet[56 + 13]) = (0x50, 0x10);
        packet
    }

    #[test]
    fn a_super_packet_with_extension_headers_is_cut() {
        assert_eq!(taken(asking(56, 1000), &super_packet()), (3, 0));
    }

    #[test]
    fn a_super_packet_whose_checksum_begins_elsewhere_is_refused_and_counted() {
        // In a header, at the edges of extension headers, in the payload, at the end and beyond it.
        for start in [0, 6, 39, 40, 48, 55, 57, 64, 76, 3076, 3077, u16::MAX] {
            assert_eq!(taken(asking(start, 1000), &super_packet()), (0, 1), "{start}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_counted() {
        assert_eq!(taken(asking(56, 0), &super_packet()), (0, 1));
        assert_eq!(
            taken(asking(56, 1), &super_packet()),
            (0, 1),
            "more parts than there may be"
        );
        assert_eq!(taken([0x7f; HEADER_LEN], &super_packet()), (0, 1));
        for len in 0..76 {
            assert_eq!(
                taken(asking(56, 1000), &super_packet()[..len]),
                (0, 1),
                "{len} bytes"
            );
        }
        let checksum = Header {
            checksum: Some(Partial {
                start: 3000,
                offset: 75,
            }),
            segments: None,
        };
        assert_eq!(taken(checksum.write(0), &super_packet()), (0, 1));
    }
}
