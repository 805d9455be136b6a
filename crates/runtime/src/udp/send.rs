//! How a batch of datagrams leaves: in trains, where the way takes them, else one by one.

use std::io::{self, ErrorKind};
use std::ops::{AddAssign, Range};

use rustix::io::Errno;
use wirewright_engine::{Batch, Endpoint};
use wirewright_offload::segments::{MAX_BYTES, Outgoing, runs};
use wirewright_protocol::Instant;

use super::link::Link;
use super::refusals::Refusals;

/// What the thread that sends keeps from batch to batch.
pub(crate) struct Sending {
    train: Vec<u8>,
    refusals: Refusals,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            train: Vec::with_capacity(MAX_BYTES),
            refusals: Refusals::default(),
        }
    }
}

/// Datagrams that were not sent, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// Longer than the way to their destination takes.
    pub(crate) too_long: u64,
    /// Refused for any other cause.
    pub(crate) refused: u64,
}

impl Unsent {
    /// Whether all were sent.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for Unsent {
    fn add_assign(&mut self, more: Self) {
        self.too_long += more.too_long;
        self.refused += more.refused;
    }
}

/// The system takes nothing more.
struct Full;

/// Sends all datagrams of a batch.
pub(super) fn send<L: Link>(links: &[L], batch: &Batch, sending: &mut Sending, now: Instant) -> Unsent {
    let mut departure = Departure {
        batch,
        sending,
        now,
        unsent: Unsent::default(),
    };
    let outgoing = |index: usize| {
        let slot = batch.slot(index).filter(|slot| slot.len > 0)?;
        Some(Outgoing {
            destination: slot.path,
            len: slot.len as usize,
        })
    };
    for run in runs(batch.len(), MAX_BYTES, outgoing) {
        let Some(first) = batch.slot(run.start) else {
            continue;
        };
        let (path, segment) = (first.path, first.len as usize);
        let wants_ipv6 = path.remote.is_ipv6();
        let Some(link) = links.iter().find(|link| link.is_ipv6() == wants_ipv6) else {
            departure.unsent.refused += run.len() as u64;
            continue;
        };
        if let Err((Full, next)) = departure.run(link, path, run, segment) {
            // To wait for each of the rest would keep receiving and timers waiting.
            let rest = (next..batch.len()).filter(|index| !batch.packet(*index).is_empty());
            departure.unsent.refused += rest.count() as u64;
            break;
        }
    }
    departure.unsent
}

struct Departure<'a> {
    batch: &'a Batch,
    sending: &'a mut Sending,
    now: Instant,
    unsent: Unsent,
}

impl Departure<'_> {
    /// Sends datagrams of `segment` bytes that go the same way. If the system is full, gives the first that was not sent.
    fn run<L: Link>(
        &mut self,
        link: &L,
        path: Endpoint,
        run: Range<usize>,
        segment: usize,
    ) -> Result<(), (Full, usize)> {
        let mut start = run.start;
        while start < run.end {
            let end = run.end.min(start + link.most().max(1));
            let destination = path.remote.ip();
            if end - start == 1 || self.sending.refusals.foresee(destination, self.now) {
                self.singly(link, path, start..end)?;
            } else {
                self.sending.train.clear();
                for index in start..end {
                    self.sending.train.extend_from_slice(self.batch.packet(index));
                }
                match on_path(link, path, &self.sending.train, segment) {
                    Ok(()) => (),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Err((Full, start)),
                    // If they do not go singly either, it was not the train that was refused.
                    Err(error) if refuses_trains(&error) => {
                        if self.singly(link, path, start..end)? > 0 {
                            self.sending.refusals.remember(destination, self.now);
                        }
                    }
                    Err(_) => self.unsent.refused += (end - start) as u64,
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Sends datagrams one by one; returns how many were taken.
    fn singly<L: Link>(
        &mut self,
        link: &L,
        path: Endpoint,
        range: Range<usize>,
    ) -> Result<usize, (Full, usize)> {
        let mut taken = 0;
        for index in range {
            let datagram = self.batch.packet(index);
            match on_path(link, path, datagram, datagram.len()) {
                Ok(()) => taken += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err((Full, index)),
                Err(error) if is(&error, Errno::MSGSIZE) => self.unsent.too_long += 1,
                Err(_) => self.unsent.refused += 1,
            }
        }
        Ok(taken)
    }
}

fn on_path<L: Link>(link: &L, path: Endpoint, contents: &[u8], segment: usize) -> io::Result<()> {
    match link.send(path, contents, segment) {
        // The local address that the peer wrote to may be gone (as the kernel's send4() finds out): let the system
        // choose another.
        Err(error) if path.source.is_some() && error.kind() != ErrorKind::WouldBlock => {
            link.send(Endpoint::new(path.remote), contents, segment)
        }
        outcome => outcome,
    }
}

/// What Linux says of a train that it cannot cut: `EIO` or `EINVAL` where the device computes no checksums, `EMSGSIZE` where
/// its datagrams are longer than the route's MTU (udp_send_skb()).
fn refuses_trains(error: &io::Error) -> bool {
    [Errno::IO, Errno::INVAL, Errno::MSGSIZE]
        .into_iter()
        .any(|errno| is(error, errno))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

#[cfg(test)]
mod tests;
