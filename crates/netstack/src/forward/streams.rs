//! One connection that is carried: what is known of both its halves.
//!
//! # Theory
//!
//! Bytes are never kept here. From the peer they wait in the receive buffer of its connection until the host's socket takes
//! them: at most [`MOST_UNSENT`] are ordered and not yet sent, and while they are, the buffer fills and its window closes.
//! From the host they are read only by permission: *granted* is what the socket may read and has not yet, which is never more than
//! the transmit buffer has room for, so that whatever comes fits.
//!
//! Each direction ends by itself: the peer's end is passed on when all before it was sent ([`Order::Finish`]), the
//! host's when it was read. Once both have ended, the host's socket is let go. What the peer has not acknowledged by then
//! still waits for it in the connection's buffer, so the place is given back when the connection leaves the stack, and not
//! before: else a peer that opens no window would have more of them than places.
//!
//! [`Order::Finish`]: wirewright_runtime::outside::Order::Finish

use core::time::Duration;

use wirewright_protocol::{Instant, PublicKey};

use super::quote::Quote;
use crate::demux::{Segment, Tuple};
use crate::slots::ConnectionId;

/// Bytes that are ordered and not taken by the host's socket.
pub(crate) const MOST_UNSENT: usize = 128 << 10;

pub(crate) struct Stream {
    /// The address outside, and the peer's.
    pub(crate) tuple: Tuple,
    pub(crate) peer: PublicKey,
    pub(crate) phase: Phase,
    pub(crate) last: Instant,
    /// When the table of deadlines looks at it.
    pub(crate) deadline: Option<Instant>,
    /// Whether it stands among those that may have bytes for the host.
    pub(crate) pumped: bool,
}

pub(crate) enum Phase {
    /// The host connects; the SYN waits for its answer.
    Dialing {
        syn: Segment,
        quote: Quote,
    },
    Joined(Joined),
    /// Both directions have ended, and the peer has not acknowledged all of it.
    Leaving(ConnectionId),
}

pub(crate) struct Joined {
    pub(crate) connection: ConnectionId,
    /// What the host's socket may read and has not.
    pub(crate) granted: usize,
    /// What it was told to send and has not.
    pub(crate) unsent: usize,
    /// The peer has sent everything, and the host's socket was told.
    pub(crate) peer_ended: bool,
    /// The host has sent everything, and the peer was told.
    pub(crate) host_ended: bool,
}

impl Joined {
    pub(crate) fn new(connection: ConnectionId) -> Self {
        Self {
            connection,
            granted: 0,
            unsent: 0,
            peer_ended: false,
            host_ended: false,
        }
    }

    /// How much more the host's socket may read where the transmit buffer has `room`, of `capacity`. Not in
    /// crumbs, each of which would cost a system call.
    pub(crate) fn more(&mut self, room: usize, capacity: usize) -> usize {
        let more = room.saturating_sub(self.granted);
        if self.host_ended || more < capacity / 4 {
            return 0;
        }
        self.granted += more;
        more
    }

    pub(crate) fn is_over(&self) -> bool {
        self.peer_ended && self.host_ended && self.unsent == 0
    }
}

impl Stream {
    pub(crate) fn joined(&mut self) -> Option<&mut Joined> {
        match &mut self.phase {
            Phase::Joined(joined) => Some(joined),
            Phase::Dialing { .. } | Phase::Leaving(_) => None,
        }
    }

    /// When it is given up unless something comes.
    pub(crate) fn until(&self, connect: Duration, idle: Duration) -> Instant {
        match self.phase {
            Phase::Dialing { .. } => self.last + connect,
            Phase::Joined(_) | Phase::Leaving(_) => self.last + idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_to_read_never_add_up_to_more_than_there_is_room_for() {
        let mut joined = Joined::new(ConnectionId::from_bits(0));
        assert_eq!(joined.more(1_000, 1_000), 1_000);
        assert_eq!(joined.more(1_000, 1_000), 0);
        // 600 came, of which 500 left since.
        joined.granted -= 600;
        assert_eq!(joined.more(900, 1_000), 500);
        assert_eq!(joined.granted, 900);
        joined.granted -= 100;
        assert_eq!(joined.more(800, 1_000), 0);
        joined.host_ended = true;
        assert_eq!(joined.more(1_000, 1_000), 0);
    }
}
