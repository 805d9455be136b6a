//! How datagrams arrive: from each socket in turn, but from those that rest after errors ([`crate::rest`]).

use std::io::{self, ErrorKind};

use wirewright_engine::Batch;
use wirewright_protocol::Instant;

use super::link::Link;
use crate::rest::{Rest, is_final};

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
        self.rests.iter().filter_map(Rest::deadline).min()
    }

    /// Whether a socket is waited for.
    pub(super) fn is_awake(&self, socket: usize) -> bool {
        self.rests.get(socket).is_none_or(Rest::is_awake)
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
                rest.succeeded();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                rest.succeeded();
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

#[cfg(test)]
mod tests;
