//! How a batch of datagrams leaves: in trains, where the way takes them, else one by one.

use std::io::{self, ErrorKind};
use std::ops::Range;

use rustix::io::Errno;
use wirewright_engine::{Batch, Endpoint, Event, Slot};
use wirewright_offload::segments::{MAX_BYTES, Outgoing, runs};
use wirewright_protocol::Instant;

use super::link::Link;
use crate::refusals::Refusals;

/// What the thread that sends keeps from batch to batch.
pub(crate) struct Sending {
    train: Vec<u8>,
    refusals: Refusals,
    /// Datagrams that were not sent, and why; whoever sends takes them out and has them counted.
    pub(crate) unsent: Vec<(Slot, Event)>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            train: Vec::with_capacity(MAX_BYTES),
            refusals: Refusals::default(),
            unsent: Vec::new(),
        }
    }
}

/// The system takes nothing more.
struct Full;

/// Sends all datagrams of a batch; those that were not taken stand in `sending` afterwards.
pub(super) fn send<L: Link>(links: &[L], batch: &Batch, sending: &mut Sending, now: Instant) {
    let mut departure = Departure { batch, sending, now };
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
            departure.keep(run, Event::SendUnreachable);
            continue;
        };
        if let Err((Full, next)) = departure.run(link, path, run, segment) {
            // To wait for each of the rest would keep receiving and timers waiting.
            departure.keep(next..batch.len(), Event::SendNoRoom);
            break;
        }
    }
}

struct Departure<'a> {
    batch: &'a Batch,
    sending: &'a mut Sending,
    now: Instant,
}

impl Departure<'_> {
    /// Remembers datagrams that were not sent.
    fn keep(&mut self, range: Range<usize>, event: Event) {
        let slots = range.filter_map(|index| self.batch.slot(index));
        let datagrams = slots.filter(|slot| slot.len > 0);
        self.sending
            .unsent
            .extend(datagrams.map(|datagram| (*datagram, event)));
    }

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
                    Err(error) => self.keep(start..end, cause(&error)),
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
                Err(error) => self.keep(index..index + 1, cause(&error)),
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
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| [Errno::IO, Errno::INVAL, Errno::MSGSIZE].contains(&errno))
}

/// Why the system refused a datagram, as far as a remedy depends on it.
#[must_use]
pub fn cause(error: &io::Error) -> Event {
    match Errno::from_io_error(error) {
        Some(Errno::MSGSIZE) => Event::SendTooLong,
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL) => {
            Event::SendUnreachable
        }
        Some(Errno::PERM | Errno::ACCESS) => Event::SendForbidden,
        Some(Errno::NOBUFS | Errno::NOMEM) => Event::SendNoRoom,
        _ => Event::SendError,
    }
}

#[cfg(test)]
mod tests;
