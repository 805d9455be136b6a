//! How datagrams arrive, and what becomes of a socket that fails to receive.
//!
//! # Theory
//!
//! An error of receiving tells of something that happened to the machine or to an earlier datagram: a device went down,
//! memory was short, an ICMP message came. It passes, and the tunnel outlives it; only where the descriptor is no socket
//! any more, or the call itself is wrong, can no later call succeed. A socket is
//!
//! - **awake**: it is waited for and read. An error makes it try again at once, [`TRIES`] times in a row; one more
//!   puts it to rest.
//! - **at rest**: it is neither waited for nor read until a deadline, twice as far away after each error, a second at
//!   most. Then it is awake for one try.
//!
//! Whatever is no error, be it that nothing waits, ends the row.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;
use wirewright_engine::Batch;
use wirewright_protocol::Instant;

use super::link::Link;

/// Errors in a row that do not put a socket to rest.
const TRIES: u32 = 4;
/// The first rest, and the longest.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What the thread that receives keeps from round to round.
#[derive(Default)]
pub(crate) struct Receiving {
    /// Counts rounds, to be fair to all sockets.
    turn: usize,
    rests: Vec<Rest>,
}

/// What a round of receiving brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// How many batches were filled.
    pub(crate) batches: usize,
    /// Errors that pass.
    pub(crate) errors: u64,
}

impl Receiving {
    /// When a socket that rests is to be tried again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rests.iter().filter_map(|rest| rest.until).min()
    }

    /// Whether a socket is waited for.
    pub(super) fn is_awake(&self, socket: usize) -> bool {
        self.rests.get(socket).is_none_or(|rest| rest.until.is_none())
    }
}

/// Fills as many of `batches` as there are trains waiting. The clock is read only where something fails.
///
/// # Errors
/// What cannot pass.
pub(super) fn receive<L: Link>(
    links: &[L],
    batches: &mut [Batch],
    receiving: &mut Receiving,
    clock: impl Fn() -> Instant,
) -> io::Result<Received> {
    receiving.rests.resize_with(links.len(), Rest::default);
    // Each in turn is the first, lest a flood of one family keep the other out.
    receiving.turn = receiving.turn.wrapping_add(1);
    let mut received = Received::default();
    for offset in 0..links.len() {
        let socket = receiving.turn.wrapping_add(offset) % links.len();
        let (Some(link), Some(rest)) = (links.get(socket), receiving.rests.get_mut(socket)) else {
            continue;
        };
        let free = batches.get_mut(received.batches..).unwrap_or(&mut []);
        if free.is_empty() || !rest.is_over(&clock) {
            continue;
        }
        match link.receive(free) {
            Ok(filled) => {
                received.batches += filled;
                *rest = Rest::default();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                *rest = Rest::default();
            }
            Err(error) if is_final(&error) => return Err(error),
            Err(_) => {
                received.errors += 1;
                rest.failed(clock());
            }
        }
    }
    Ok(received)
}

/// Whether no later call can succeed: the descriptor is closed or no socket, or the call is one that the system does not
/// have. What is not known is taken to pass: the pauses make that cheap.
fn is_final(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::FAULT | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}

/// The errors of one socket.
#[derive(Default)]
struct Rest {
    /// In a row.
    failures: u32,
    until: Option<Instant>,
}

impl Rest {
    fn is_over(&self, clock: impl Fn() -> Instant) -> bool {
        self.until.is_none_or(|until| until <= clock())
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.until = self.failures.checked_sub(TRIES + 1).map(|more| {
            let rest = FIRST_REST.saturating_mul(1_u32.checked_shl(more).unwrap_or(u32::MAX));
            now + rest.min(LONGEST_REST)
        });
    }
}

#[cfg(test)]
mod tests;
