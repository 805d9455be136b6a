//! From batches to sockets.
//!
//! Datagrams of equal length that follow each other to one destination go as a train, which the kernel cuts apart as late
//! as it can (`UDP_SEGMENT`); all trains of a round go with as few calls as possible. The datagrams stay where the cipher
//! left them: a message names each as a piece.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirewright_engine::{Batch, Endpoint, Event, Slot};
use wirewright_offload::segments::{MAX_BYTES, Outgoing, runs};
use wirewright_protocol::Instant;
use wirewright_runtime::{Refusals, cause};

use super::message::{Address, Control, Writer};
use super::{Bound, Sockets};
use crate::sys;

/// Messages handed over with one call, and pieces of all of them together.
const MESSAGES: usize = 64;
const PIECES: usize = 1024;
/// How long a full send buffer is waited for before datagrams are dropped.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// The buffers of a thread that sends.
pub struct Sender {
    queue: Vec<Train>,
    pieces: Vec<libc::iovec>,
    /// Where each piece comes from: a batch, and a slot in it.
    origins: Vec<(usize, usize)>,
    unsent: Vec<(Slot, Event)>,
    headers: Vec<libc::mmsghdr>,
    addresses: Vec<Address>,
    controls: Vec<Control>,
    no_trains: Refusals,
    no_source: Refusals,
}

// SAFETY: the pointers in the buffers are set before each call and not followed after it.
unsafe impl Send for Sender {}

/// Datagrams that go with one message.
#[derive(Clone, Copy)]
struct Train {
    path: Endpoint,
    /// How many routers they may pass, if not as many as the system's others.
    hop_limit: Option<u8>,
    /// Length of each datagram, the last perhaps excepted.
    segment: u16,
    /// Its datagrams among the pieces.
    first: usize,
    count: usize,
    /// What the kernel may have refused at an earlier attempt, and this one does without.
    doubt: Doubt,
}

/// What a refusal may have been about. It is remembered only if the datagrams go without.
#[derive(Clone, Copy)]
enum Doubt {
    Nothing,
    /// That the datagrams were to go together.
    Train,
    /// The local address that they were to leave from.
    Source(IpAddr),
}

impl Sender {
    /// Buffers for one thread.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: Vec::with_capacity(MESSAGES),
            pieces: Vec::with_capacity(PIECES),
            origins: Vec::with_capacity(PIECES),
            unsent: Vec::new(),
            headers: Vec::with_capacity(MESSAGES),
            addresses: Vec::with_capacity(MESSAGES),
            controls: Vec::with_capacity(MESSAGES),
            no_trains: Refusals::default(),
            no_source: Refusals::default(),
        }
    }

    /// Sends all datagrams of the batches. Returns those that the kernel refused, with the cause.
    pub fn send(
        &mut self,
        now: Instant,
        sockets: &Sockets,
        batches: &[Batch],
    ) -> impl Iterator<Item = (Slot, Event)> + '_ {
        for (family, is_ipv6) in [(&sockets.v4, false), (&sockets.v6, true)] {
            for number in 0..batches.len() {
                self.add(now, family.as_ref(), is_ipv6, batches, number);
            }
            if let Some(bound) = family {
                self.flush(now, bound, batches);
            }
        }
        self.unsent.drain(..)
    }

    /// Queues the datagrams of one family in the batch `number`. Whatever is queued points into batches that outlive this call of
    /// [`Sender::send`], which ends with an empty queue.
    fn add(&mut self, now: Instant, bound: Option<&Bound>, is_ipv6: bool, batches: &[Batch], number: usize) {
        let Some(batch) = batches.get(number) else { return };
        let outgoing = |index: usize| {
            let slot = batch.slot(index).filter(|slot| slot.len > 0)?;
            (slot.path.remote.is_ipv6() == is_ipv6).then_some(Outgoing {
                destination: (slot.path, slot.hop_limit),
                len: slot.len as usize,
            })
        };
        for run in runs(batch.len(), MAX_BYTES, outgoing) {
            let Some(first) = batch.slot(run.start) else {
                continue;
            };
            let Some(bound) = bound else {
                // The machine does not have the family.
                let slots = run.filter_map(|index| batch.slot(index));
                self.unsent
                    .extend(slots.map(|slot| (*slot, Event::SendUnreachable)));
                continue;
            };
            if self.queue.len() + run.len() > MESSAGES || self.pieces.len() + run.len() > PIECES {
                self.flush(now, bound, batches);
            }
            let mut path = first.path;
            path.source = path.source.filter(|source| !self.no_source.foresee(*source, now));
            let alone = !bound.trains || self.no_trains.foresee(path.remote.ip(), now);
            let from = self.pieces.len();
            for index in run.clone() {
                let datagram = batch.packet(index);
                self.pieces.push(libc::iovec {
                    iov_base: datagram.as_ptr().cast_mut().cast(),
                    iov_len: datagram.len(),
                });
                self.origins.push((number, index));
            }
            let (segment, hop_limit) = (first.len as u16, first.hop_limit);
            if alone {
                self.queue.extend((from..self.pieces.len()).map(|first| Train {
                    path,
                    hop_limit,
                    segment,
                    first,
                    count: 1,
                    doubt: Doubt::Nothing,
                }));
            } else {
                self.queue.push(Train {
                    path,
                    hop_limit,
                    segment,
                    first: from,
                    count: run.len(),
                    doubt: Doubt::Nothing,
                });
            }
        }
    }

    /// Hands the queue to the kernel.
    fn flush(&mut self, now: Instant, bound: &Bound, batches: &[Batch]) {
        let mut next = 0;
        let mut patient = true;
        while next < self.queue.len() {
            match self.call(bound, next) {
                Ok(taken) => {
                    let end = next + taken.max(1);
                    (next..end).for_each(|at| self.learn(now, at));
                    next = end;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The system takes nothing more: to wait for each of the rest would keep receiving waiting.
                    if !(std::mem::take(&mut patient) && becomes_writable(bound)) {
                        for at in next..self.queue.len() {
                            self.refuse(at, Event::SendNoRoom, batches);
                        }
                        break;
                    }
                }
                Err(error) => {
                    if !self.adapt(next, &error) {
                        self.refuse(next, cause(&error), batches);
                        next += 1;
                    }
                }
            }
        }
        self.queue.clear();
        self.pieces.clear();
        self.origins.clear();
    }

    /// Notes the datagrams of the message `at` as not sent.
    fn refuse(&mut self, at: usize, event: Event, batches: &[Batch]) {
        let Some(train) = self.queue.get(at) else { return };
        let origins = self
            .origins
            .get(train.first..train.first + train.count)
            .unwrap_or(&[]);
        let slots = origins
            .iter()
            .filter_map(|(batch, slot)| batches.get(*batch)?.slot(*slot));
        self.unsent.extend(slots.map(|slot| (*slot, event)));
    }

    /// The kernel took the message `at`: what it did without was what had been refused.
    fn learn(&mut self, now: Instant, at: usize) {
        let Some(train) = self.queue.get(at) else { return };
        match train.doubt {
            Doubt::Nothing => (),
            Doubt::Train => self.no_trains.remember(train.path.remote.ip(), now),
            Doubt::Source(gone) => {
                self.no_source.remember(gone, now);
                for train in self.queue.iter_mut().skip(at) {
                    train.path.source = train.path.source.filter(|source| *source != gone);
                }
            }
        }
    }

    /// The kernel refused the message `at`. True if another attempt may succeed.
    fn adapt(&mut self, at: usize, error: &io::Error) -> bool {
        let Some(train) = self.queue.get_mut(at) else {
            return false;
        };
        let code = error.raw_os_error();
        // The local address that the peer wrote to may be gone (as the kernel's send4() finds out): let the system choose.
        if let Some(source) = train.path.source.take_if(|_| is_about_source(code)) {
            train.doubt = Doubt::Source(source);
            return true;
        }
        if train.count == 1 || !matches!(code, Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE)) {
            return false;
        }
        let mut train = *train;
        if let Doubt::Source(innocent) = train.doubt {
            train.path.source = Some(innocent);
        }
        let singles = (train.first..train.first + train.count).map(|first| Train {
            first,
            count: 1,
            doubt: Doubt::Train,
            ..train
        });
        self.queue.splice(at..=at, singles);
        true
    }

    /// One call for the messages from `from` on. Returns how many the kernel took.
    fn call(&mut self, bound: &Bound, from: usize) -> io::Result<usize> {
        self.headers.clear();
        self.addresses.clear();
        self.controls.clear();
        let trains = self.queue.iter().skip(from).take(MESSAGES);
        for train in trains.clone() {
            self.addresses.push(Address::new(train.path.remote).0);
            self.controls.push(Control::EMPTY);
        }
        // The vectors grow no more, so that pointers into them stay.
        for ((train, address), control) in trains.zip(&mut self.addresses).zip(&mut self.controls) {
            let (_, name_len) = Address::new(train.path.remote);
            let mut writer = Writer::new(control);
            if let Some(source) = train.path.source {
                writer.source(source);
            }
            if let Some(hops) = train.hop_limit {
                writer.hop_limit(hops, train.path.remote.is_ipv6());
            }
            if train.count > 1 {
                writer.segment(train.segment);
            }
            let control_len = writer.len();
            let Some(pieces) = self.pieces.get_mut(train.first..train.first + train.count) else {
                continue;
            };
            // SAFETY: a message header is made of numbers and pointers, which may be null.
            let mut header: libc::mmsghdr = unsafe { sys::zeroed() };
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = name_len;
            header.msg_hdr.msg_iov = pieces.as_mut_ptr();
            header.msg_hdr.msg_iovlen = pieces.len();
            if control_len > 0 {
                header.msg_hdr.msg_control = control.as_mut_ptr();
                header.msg_hdr.msg_controllen = control_len;
            }
            self.headers.push(header);
        }
        // SAFETY: the headers were just filled in with pointers into `self` and, by its pieces, into batches that are
        // borrowed for the whole of `send`; all live through the call, and the kernel only reads what they point to.
        let taken = unsafe {
            libc::sendmmsg(
                bound.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT,
            )
        };
        sys::outcome(taken).map(|taken| taken as usize)
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

/// What the kernel says of a source that no interface has, or that no way leads from. A lack of memory, or a filter that
/// forbids, says nothing of it.
fn is_about_source(code: Option<i32>) -> bool {
    matches!(
        code,
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENODEV)
    )
}

fn becomes_writable(bound: &Bound) -> bool {
    let mut fds = [PollFd::new(&bound.socket, PollFlags::OUT)];
    poll(&mut fds, Some(&PATIENCE)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests;
