//! Packets that wait for the next poll: replies to what `receive` saw, and what `send_to` and `ping` sent.

use std::collections::VecDeque;

use crate::device::{PacketSink, Sent};

pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Where the first waiting packet begins.
    start: usize,
    lengths: VecDeque<usize>,
    limit: usize,
    mtu: usize,
    /// Takes what does not fit, when the writer cannot be told to wait.
    spill: Vec<u8>,
    /// Packets lost to the limit.
    pub(crate) overflow: u64,
}

impl Outbox {
    pub(crate) fn new(limit: usize, mtu: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            lengths: VecDeque::new(),
            limit,
            mtu,
            spill: Vec::new(),
            overflow: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Datagrams and pings may fill the outbox to three quarters: the rest is for replies, so that a program that
    /// sends without measure does not silence acknowledgements.
    pub(crate) fn has_room_for_sender(&self, len: usize) -> bool {
        self.waiting() + len <= self.limit / 4 * 3
    }

    /// Hands out packets, oldest first, until there are none or the sink has no room.
    pub(crate) fn flush(&mut self, sink: &mut impl PacketSink) -> Sent {
        let mut sent = Sent::default();
        while sink.has_room() {
            let Some(len) = self.lengths.pop_front() else {
                break;
            };
            let end = self.start + len;
            if let Some(packet) = self.bytes.get(self.start..end) {
                sink.packet(len, |room| room.copy_from_slice(packet));
                sent.packets += 1;
                sent.bytes += len as u64;
            }
            self.start = end;
        }
        if self.lengths.is_empty() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > self.limit {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        sent
    }

    fn waiting(&self) -> usize {
        self.bytes.len() - self.start
    }
}

impl PacketSink for Outbox {
    fn has_room(&self) -> bool {
        self.waiting() + self.mtu <= self.limit
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let (room, begin) = if self.waiting() + len <= self.limit {
            self.lengths.push_back(len);
            let begin = self.bytes.len();
            (&mut self.bytes, begin)
        } else {
            self.overflow += 1;
            self.spill.clear();
            (&mut self.spill, 0)
        };
        room.resize(begin + len, 0);
        let (_, packet) = room.split_at_mut(begin);
        fill(packet)
    }
}
