//! From sockets into batches.
//!
//! A train that the kernel joined (`UDP_GRO`) fills a batch of its own, which goes on without a copy. Datagrams that come
//! alone are collected in one batch, since what follows is paid by the batch: to copy one costs less.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use rand_core::CryptoRng;
use wirewright_engine::{Batch, Endpoint, Shard};
use wirewright_protocol::Instant;
use wirewright_runtime::{Rest, is_final};

use super::message::{Address, Arrival, Control};
use super::{Bound, Sockets};
use crate::sys;

/// Messages asked for with one call.
const MESSAGES: usize = 16;
/// Bytes that any message fits.
const MESSAGE: usize = 65_536;

/// What a round of receiving brought, but for the batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// More may wait.
    pub more: bool,
    /// Errors that pass.
    pub errors: u64,
}

/// Where empty batches come from.
pub trait Batches {
    /// One of many slots, each for a packet of the interface's MTU and what the protocol adds.
    fn slots(&mut self) -> Batch;
    /// One of a single slot of `bytes` bytes.
    fn whole(&mut self, bytes: usize) -> Batch;
}

impl<R: CryptoRng> Batches for Shard<R> {
    fn slots(&mut self) -> Batch {
        self.batch()
    }

    fn whole(&mut self, bytes: usize) -> Batch {
        self.receive_batch(bytes)
    }
}

/// The buffers of a thread that receives.
pub struct Receiver {
    /// What the kernel writes to.
    buffers: Vec<Batch>,
    addresses: [Address; MESSAGES],
    controls: [Control; MESSAGES],
    lengths: [libc::mmsghdr; MESSAGES],
    /// Counts calls, to be fair to both families.
    turn: usize,
    /// The errors of both sockets, IPv4's first.
    rests: [Rest; 2],
}

// SAFETY: the pointers in `lengths` are set before each call and not followed after it.
unsafe impl Send for Receiver {}

impl Receiver {
    /// Buffers for one thread.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: Vec::with_capacity(MESSAGES),
            addresses: [Address::empty(); MESSAGES],
            controls: [Control::EMPTY; MESSAGES],
            // SAFETY: message headers are made of numbers and pointers, which may be null.
            lengths: unsafe { sys::zeroed() },
            turn: 0,
            rests: [Rest::default(); 2],
        }
    }

    /// When a socket that rests after errors is to be tried again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.rests.iter().filter_map(Rest::deadline).min()
    }

    /// Forgets the errors of sockets that were replaced.
    pub fn begin_anew(&mut self) {
        self.rests = [Rest::default(); 2];
    }

    /// The descriptors to wait for, IPv4's first: not those of sockets that rest after errors.
    pub fn awake<'a>(&self, sockets: &'a Sockets) -> [Option<BorrowedFd<'a>>; 2] {
        let [v4, v6] = &self.rests;
        [(&sockets.v4, v4), (&sockets.v6, v6)].map(|(bound, rest)| {
            bound
                .as_ref()
                .filter(|_| rest.is_awake())
                .map(|bound| bound.socket.as_fd())
        })
    }

    /// Receives what waits, up to a bound, and appends it to `received` in the order in which it came. `ready` says of each
    /// socket, IPv4's first, whether something may wait there; others are not asked, unless they rested long enough.
    ///
    /// # Errors
    /// What the operating system says, where no later call can succeed. Other errors are counted, and the socket is
    /// left alone for a while if they go on.
    pub fn receive(
        &mut self,
        now: Instant,
        ready: [bool; 2],
        sockets: &Sockets,
        batches: &mut impl Batches,
        received: &mut Vec<Batch>,
    ) -> io::Result<Received> {
        let [v4, v6] = ready;
        // Each in turn is the first, lest a flood of one family keep the other out.
        let mut families = [(0, v4, &sockets.v4), (1, v6, &sockets.v6)];
        self.turn = self.turn.wrapping_add(1);
        if self.turn % 2 == 1 {
            families.reverse();
        }
        let mut outcome = Received::default();
        for (number, is_ready, bound) in families {
            let (Some(bound), Some(rest)) = (bound, self.rests.get(number)) else {
                continue;
            };
            let is_asked = rest.deadline().map_or(is_ready, |until| until <= now);
            if !is_asked {
                continue;
            }
            let called = self.call(bound, batches, received);
            let Some(rest) = self.rests.get_mut(number) else {
                continue;
            };
            match called {
                Ok(more) => {
                    outcome.more |= more;
                    rest.succeeded();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    rest.succeeded()
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => {
                    outcome.errors += 1;
                    rest.failed(now);
                }
            }
        }
        Ok(outcome)
    }

    /// One call of the kernel. True if it filled all buffers.
    fn call(
        &mut self,
        bound: &Bound,
        batches: &mut impl Batches,
        received: &mut Vec<Batch>,
    ) -> io::Result<bool> {
        while self.buffers.len() < MESSAGES {
            self.buffers.push(batches.whole(MESSAGE));
        }
        let count = self.ask(bound)?;
        let mut singles: Option<Batch> = None;
        for index in 0..count {
            let (Some(header), Some(address)) = (self.lengths.get(index), self.addresses.get(index)) else {
                break;
            };
            // SAFETY: the kernel filled in this message, and its control buffer is in `self`.
            let arrival = unsafe { Arrival::read(&header.msg_hdr) };
            let len = header.msg_len as usize;
            let Some(remote) = address.read() else { continue };
            let mut path = Endpoint::new(remote);
            path.source = arrival.destination;
            let Some(buffer) = self.buffers.get_mut(index) else {
                break;
            };
            let segment = arrival.segment.unwrap_or(len).max(1);
            if len <= segment && collect(&mut singles, batches, received, buffer, len, path) {
                continue;
            }
            received.extend(singles.take());
            let mut train = std::mem::replace(buffer, batches.whole(MESSAGE));
            train.set_received(len, segment, path);
            received.push(train);
        }
        received.extend(singles);
        Ok(count == MESSAGES)
    }

    fn ask(&mut self, bound: &Bound) -> io::Result<usize> {
        let mut pieces: [libc::iovec; MESSAGES] = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; MESSAGES];
        let rows = self
            .lengths
            .iter_mut()
            .zip(&mut pieces)
            .zip(self.addresses.iter_mut().zip(&mut self.controls))
            .zip(&mut self.buffers);
        for (((header, piece), (address, control)), buffer) in rows {
            let bytes = buffer.buffer_mut();
            *piece = libc::iovec {
                iov_base: bytes.as_mut_ptr().cast(),
                iov_len: bytes.len(),
            };
            *address = Address::empty();
            header.msg_len = 0;
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = size_of::<Address>() as libc::socklen_t;
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr();
            header.msg_hdr.msg_controllen = Control::len();
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: every header was just filled in with pointers to memory of the given lengths, in `self` and in
        // `pieces`, all of which live through the call and are borrowed by nobody else.
        let count = unsafe {
            libc::recvmmsg(
                bound.socket.as_raw_fd(),
                self.lengths.as_mut_ptr(),
                MESSAGES as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        sys::outcome(count).map(|count| count as usize)
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies a datagram that came alone to the others. False if it is too long for their slots.
fn collect(
    singles: &mut Option<Batch>,
    batches: &mut impl Batches,
    received: &mut Vec<Batch>,
    buffer: &mut Batch,
    len: usize,
    path: Endpoint,
) -> bool {
    if singles.as_ref().is_some_and(Batch::is_full) {
        received.extend(singles.take());
    }
    let batch = singles.get_or_insert_with(|| batches.slots());
    let Some(datagram) = buffer.buffer_mut().get(..len) else {
        return false;
    };
    batch.push_datagram(path, len, |bytes| bytes.copy_from_slice(datagram))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::time::{Duration, Instant};

    use wirewright_runtime::clock;

    use super::*;
    use crate::udp::fresh::Fresh;
    use crate::udp::{UdpConfig, UdpOffloads, bind};

    #[test]
    fn only_a_socket_that_is_ready_is_asked() {
        let config = UdpConfig {
            port: 0,
            mark: 0,
            offloads: UdpOffloads {
                send: false,
                receive: false,
            },
        };
        let (sockets, port, _) = bind(config, 1).unwrap();
        let sockets = &sockets[0];
        let (v4, v6) = (
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap(),
        );
        v4.send_to(b"4", (Ipv4Addr::LOCALHOST, port)).unwrap();
        v6.send_to(b"6", (Ipv6Addr::LOCALHOST, port)).unwrap();
        let mut receiver = Receiver::new();
        for (ready, expected) in [([false, true], b"6"), ([true, false], b"4")] {
            let deadline = Instant::now() + Duration::from_secs(20);
            let mut received = vec![];
            while received.is_empty() {
                assert!(Instant::now() < deadline);
                receiver
                    .receive(clock::now().now, ready, sockets, &mut Fresh, &mut received)
                    .unwrap();
            }
            let datagrams = received.iter().flat_map(Batch::packets);
            let datagrams: Vec<&[u8]> = datagrams.map(|(_, datagram)| datagram).collect();
            assert_eq!(datagrams, [expected]);
        }
    }
}
