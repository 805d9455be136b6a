//! What an interface asks of the host's sockets, and what they tell: values, so that who decides does no I/O.
//!
//! Bytes lie one behind the other in one arena a round, so that nothing is allocated for each datagram.

use std::net::{IpAddr, SocketAddr};

/// The longest datagram.
const LONGEST: usize = 65_536;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP connection.
    Stream,
    /// UDP with one remote address.
    Datagram,
    /// Echo requests to one remote address, by a socket that takes no privilege. Contents are whole ICMP messages.
    Echo,
}

/// One thing to be done. The name is chosen by whoever orders; its low half is a small number, its high half tells one
/// socket with that number from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make a socket towards `remote`. Only a stream's success is reported.
    Open {
        /// Of the new socket.
        name: u64,
        /// What it is for.
        kind: Kind,
        /// Where it leads; a ping has no port.
        remote: SocketAddr,
        /// Whether `remote` may be an address of this host.
        own: bool,
    },
    /// Send the next `len` bytes of the arena.
    Send {
        /// Through which socket.
        name: u64,
        /// How many.
        len: usize,
        /// Of a datagram: how many routers it may pass.
        hop_limit: u8,
    },
    /// Read up to so many bytes more from a stream. A datagram socket is always read.
    Read {
        /// From which socket.
        name: u64,
        /// How many.
        more: usize,
    },
    /// End the sending side of a stream behind what is to be sent.
    Finish {
        /// Of which socket.
        name: u64,
    },
    /// Forget a socket. Nothing is reported of it any more.
    Close {
        /// Which.
        name: u64,
        /// Whether the remote side of a stream is to be told by a reset.
        abort: bool,
    },
}

/// Everything to be done after a round.
#[derive(Debug, Default)]
pub struct Orders {
    pub(super) list: Vec<Order>,
    pub(super) bytes: Vec<u8>,
}

impl Orders {
    /// Adds an order that has no bytes.
    pub fn push(&mut self, order: Order) {
        self.list.push(order);
    }

    /// Adds an order to send what `fill` appends as one datagram.
    pub fn send(&mut self, name: u64, hop_limit: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        fill(&mut self.bytes);
        let len = self.bytes.len().saturating_sub(before);
        self.list.push(Order::Send { name, len, hop_limit });
    }

    /// Adds an order to send some of `most` bytes of a stream: as many as `fill` says that it wrote. None make no order.
    pub fn send_some(&mut self, name: u64, most: usize, fill: impl FnOnce(&mut [u8]) -> usize) {
        let before = self.bytes.len();
        self.bytes.resize(before + most, 0);
        let len = fill(self.bytes.get_mut(before..).unwrap_or_default()).min(most);
        self.bytes.truncate(before + len);
        if len > 0 {
            self.list.push(Order::Send {
                name,
                len,
                hop_limit: 0,
            });
        }
    }

    /// How many bytes are to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each order, with the bytes that it is about.
    pub fn iter(&self) -> impl Iterator<Item = (Order, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.list.iter().map(move |order| {
            let len = match *order {
                Order::Send { len, .. } => len,
                _ => 0,
            };
            let (bytes, others) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = others;
            (*order, bytes)
        })
    }

    /// Forgets everything. The memory is kept for the next round.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }
}

/// Why a socket could not be made, or is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The remote host says that nobody listens.
    Refused,
    /// The remote host ended the connection.
    Reset,
    /// The host does not answer, or has no way to it.
    HostUnreachable,
    /// No route leads there.
    NetworkUnreachable,
    /// A rule of this host, or of a router, forbids it.
    Prohibited,
    /// It is an address of this host itself, or of no single host.
    Own,
    /// The remote host answers no more.
    TimedOut,
    /// This host has no descriptor, port or memory for it.
    Exhausted,
}

/// An ICMP error that a datagram of ours met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Type and code, of ICMP or ICMPv6 as the socket's family is.
    pub kind: u8,
    /// What of that kind.
    pub code: u8,
    /// Who says so, if that is known.
    pub offender: Option<IpAddr>,
    /// Of an echo request: the sequence number of the one that met it.
    pub sequence: Option<u16>,
}

/// What a socket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A stream is connected.
    Opened,
    /// The socket is gone.
    Failed(Failure),
    /// So many bytes came: all of a datagram, or some of a stream.
    Received(usize),
    /// The remote side of a stream will send nothing more.
    Ended,
    /// So many bytes of a stream were taken by the host.
    Sent(usize),
    /// A datagram came to nothing.
    Complained(Complaint),
    /// The host took a datagram no further, since it has too many.
    Lost,
}

/// Everything that sockets told since the last round.
#[derive(Debug)]
pub struct Reports {
    list: Vec<(u64, Report)>,
    bytes: Box<[u8]>,
    filled: usize,
}

impl Reports {
    /// With room for so many bytes, which bound what is read in a round.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self {
            list: Vec::new(),
            bytes: vec![0; room].into_boxed_slice(),
            filled: 0,
        }
    }

    /// Adds a report that has no bytes.
    pub fn push(&mut self, name: u64, report: Report) {
        self.list.push((name, report));
    }

    /// Reports bytes that lie elsewhere, as far as there is room for them.
    pub fn push_bytes(&mut self, name: u64, bytes: &[u8]) {
        let room = self.room();
        let len = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.received(name, len);
    }

    /// Whether a datagram of any length fits.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() - self.filled >= LONGEST
    }

    /// Where the next bytes are to be written.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// Reports `len` bytes that were written to [`Self::room`].
    pub(super) fn received(&mut self, name: u64, len: usize) {
        self.filled += len;
        self.list.push((name, Report::Received(len)));
    }

    /// Whether nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each report with the socket's name and the bytes that came.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Report, &[u8])> {
        let mut rest: &[u8] = &self.bytes;
        self.list.iter().map(move |&(name, report)| {
            let len = match report {
                Report::Received(len) => len,
                _ => 0,
            };
            let (bytes, others) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = others;
            (name, report, bytes)
        })
    }

    /// Forgets everything. The memory is kept for the next round.
    pub fn clear(&mut self) {
        self.list.clear();
        self.filled = 0;
    }
}

#[cfg(test)]
impl Reports {
    /// What was told of a socket, without bytes.
    pub(super) fn of(&self, name: u64) -> Vec<Report> {
        let own = self.list.iter().filter(|(whose, _)| *whose == name);
        own.map(|(_, report)| *report).collect()
    }
}
