//! Datagram sockets: addresses and a bounded queue, no state machine.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use crate::event::Unreachable;
use crate::slots::{Handle, Slots};

/// What a queued datagram costs of the queue's budget besides its bytes.
const HEADER_ALLOWANCE: usize = 96;

/// Where a received datagram came from and how long it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub source: SocketAddr,
    /// The own address it was sent to, which a reply should come from.
    pub destination: IpAddr,
    /// Its length in bytes. If the buffer was shorter, the rest is lost.
    pub len: usize,
}

pub(crate) struct DatagramSocket {
    pub(crate) local: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) remote: Option<SocketAddr>,
    queue: VecDeque<Datagram>,
    /// The payloads of the queue one after another: no allocation for each datagram.
    bytes: VecDeque<u8>,
    limit: usize,
    /// A receive found nothing: the next datagram is an event.
    wants_receive: bool,
    /// A send found no room.
    pub(crate) wants_send: bool,
    pub(crate) pending: Pending,
    /// Whether it stands in the queue of events.
    pub(crate) listed: bool,
}

/// Events that wait to be told.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pending {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) unreachable: Option<Unreachable>,
}

impl Pending {
    pub(crate) fn any(&self) -> bool {
        self.readable || self.writable || self.unreachable.is_some()
    }
}

impl DatagramSocket {
    /// Queues a datagram; `false` if it does not fit.
    pub(crate) fn push(&mut self, source: SocketAddr, destination: IpAddr, payload: &[u8]) -> bool {
        let used = self.bytes.len() + self.queue.len() * HEADER_ALLOWANCE;
        if used + payload.len() + HEADER_ALLOWANCE > self.limit {
            return false;
        }
        self.queue.push_back(Datagram {
            source,
            destination,
            len: payload.len(),
        });
        self.bytes.extend(payload);
        if self.wants_receive {
            self.wants_receive = false;
            self.pending.readable = true;
        }
        true
    }

    /// The oldest datagram, its payload copied into `buffer` as far as it fits.
    pub(crate) fn pop(&mut self, buffer: &mut [u8]) -> Option<Datagram> {
        let Some(datagram) = self.queue.pop_front() else {
            self.wants_receive = true;
            return None;
        };
        let (front, back) = self.bytes.as_slices();
        let len = datagram.len.min(buffer.len());
        let mut room = buffer.get_mut(..len).unwrap_or_default();
        for part in [front, back] {
            let len = part.len().min(room.len());
            let (target, rest) = room.split_at_mut(len);
            if let Some(part) = part.get(..len) {
                target.copy_from_slice(part);
            }
            room = rest;
        }
        self.bytes.drain(..datagram.len.min(self.bytes.len()));
        if self.queue.is_empty() {
            // A burst should not hold its memory for the socket's life.
            self.bytes.shrink_to(HEADER_ALLOWANCE);
        }
        Some(datagram)
    }

    /// Whether a datagram from there is meant for this socket.
    pub(crate) fn admits(&self, source: SocketAddr) -> bool {
        self.remote.is_none_or(|remote| remote == source)
    }
}

/// All datagram sockets.
pub(crate) struct DatagramSockets {
    slots: Slots<DatagramSocket>,
    by_address: BTreeMap<(u16, Option<IpAddr>), Handle>,
    queue_limit: usize,
}

impl DatagramSockets {
    pub(crate) fn new(limit: usize, queue_limit: usize) -> Self {
        Self {
            slots: Slots::new(limit),
            by_address: BTreeMap::new(),
            queue_limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.is_full()
    }

    pub(crate) fn is_taken(&self, local: Option<IpAddr>, port: u16) -> bool {
        self.by_address.contains_key(&(port, local))
    }

    pub(crate) fn insert(&mut self, local: Option<IpAddr>, port: u16) -> Option<Handle> {
        let handle = self.slots.insert(DatagramSocket {
            local,
            port,
            remote: None,
            queue: VecDeque::new(),
            bytes: VecDeque::new(),
            limit: self.queue_limit,
            wants_receive: true,
            wants_send: false,
            pending: Pending::default(),
            listed: false,
        })?;
        self.by_address.insert((port, local), handle);
        Some(handle)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<DatagramSocket> {
        let socket = self.slots.remove(handle)?;
        self.by_address.remove(&(socket.port, socket.local));
        Some(socket)
    }

    /// The socket for a datagram: one on the very address before one on all addresses.
    pub(crate) fn find(&self, local: IpAddr, port: u16) -> Option<Handle> {
        let exact = self.by_address.get(&(port, Some(local)));
        exact.or_else(|| self.by_address.get(&(port, None))).copied()
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&DatagramSocket> {
        self.slots.get(handle)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut DatagramSocket> {
        self.slots.get_mut(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(limit: usize) -> (DatagramSockets, Handle) {
        let mut sockets = DatagramSockets::new(1, limit);
        let handle = sockets.insert(None, 53).unwrap();
        (sockets, handle)
    }

    fn source(port: u16) -> SocketAddr {
        SocketAddr::new([10, 0, 0, 2].into(), port)
    }

    #[test]
    fn a_queue_takes_no_more_than_its_budget() {
        let (mut sockets, handle) = socket(1_000);
        let socket = sockets.get_mut(handle).unwrap();
        let taken = (0..100)
            .filter(|port| socket.push(source(*port), [10, 0, 0, 1].into(), &[7; 104]))
            .count();
        assert_eq!(taken, 5);
        let empty = (0..100)
            .filter(|port| socket.push(source(*port), [10, 0, 0, 1].into(), &[]))
            .count();
        assert_eq!(empty, 0);
    }

    #[test]
    fn datagrams_come_out_in_order_and_whole_and_a_short_buffer_loses_only_the_rest() {
        let (mut sockets, handle) = socket(10_000);
        let socket = sockets.get_mut(handle).unwrap();
        assert!(socket.push(source(1), [10, 0, 0, 1].into(), b"first one"));
        assert!(socket.push(source(2), [10, 0, 0, 1].into(), b"second"));
        let mut buffer = [0; 5];
        let first = socket.pop(&mut buffer).unwrap();
        assert_eq!((first.source.port(), first.len, &buffer), (1, 9, b"first"));
        let mut buffer = [0; 16];
        let second = socket.pop(&mut buffer).unwrap();
        assert_eq!((second.source.port(), &buffer[..second.len]), (2, &b"second"[..]));
        assert_eq!(socket.pop(&mut buffer), None);
    }
}
