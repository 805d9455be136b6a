//! What is sent, and what answers it.

use crate::demux::Segment;

/// A segment to send: offsets in the stream, SYN and FIN counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A segment whose acknowledgement may be believed.
pub(super) struct Answer<'a> {
    pub(super) ack: u64,
    pub(super) sequence: u64,
    pub(super) segment: &'a Segment,
}

impl Piece {
    pub(super) fn of((start, end): (u64, u64)) -> Self {
        Self { start, end }
    }
}
