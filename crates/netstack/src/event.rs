//! What the caller is told.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::slots::{ConnectionId, ListenerId, PingId, SocketId};

/// Something became possible or happened.
///
/// Events are edges, and one of a kind waits for each name: `Readable` comes again only after a read found
/// nothing more, `Writable` only after a write was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The connection is established and takes data.
    Connected(ConnectionId),
    /// The connection will not be established. The name is still to be released.
    ConnectFailed(ConnectionId, ConnectFailure),
    /// A read has something to tell: data, or the end of the stream.
    Readable(ConnectionId),
    /// A write was cut short and there is room again.
    Writable(ConnectionId),
    /// The connection is over in both directions. Received data may still be read. The name is still to be
    /// released.
    Closed(ConnectionId, CloseReason),
    /// After a release: everything written was acknowledged, the end of the stream included, or never will be.
    /// The name refers to nothing any more.
    Delivered(ConnectionId),
    /// An ICMP error reports that a connection still in its handshake gets nowhere. A soft error: the attempt goes
    /// on until its timeout unless the caller ends it (RFC 5461).
    ConnectionUnreachable(ConnectionId, Unreachable),
    /// At least one connection waits in `accept`.
    Accepted(ListenerId),
    /// At least one datagram waits.
    Datagram(SocketId),
    /// A `send_to` found no room, and there is room again.
    DatagramWritable(SocketId),
    /// An ICMP error answers a datagram of a connected socket.
    DatagramUnreachable(SocketId, Unreachable),
    /// An echo reply came.
    Pong {
        /// Which request it answers.
        id: PingId,
        /// Who answered.
        source: IpAddr,
        /// The sequence number on the wire.
        sequence: u16,
        /// Bytes of payload that came back.
        payload_len: usize,
        /// Time to live or hop limit left when the reply arrived.
        hop_limit: u8,
        /// Time between the call of `ping` and the call of `receive`.
        elapsed: Duration,
    },
    /// An ICMP error answers an echo request.
    PingUnreachable(PingId, Unreachable),
}

/// Why a connection was not established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The remote host answered with a reset: nobody listens.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No answer in time, and an ICMP error had come meanwhile.
    Unreachable(Unreachable),
    /// `abort` was called.
    Aborted,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides sent everything and said so.
    Finished,
    /// The remote side reset the connection.
    Reset,
    /// The remote side no longer answers.
    TimedOut,
    /// `abort` was called.
    Aborted,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// No way to the network or host.
    Host,
    /// The host is there, nobody listens on the port, or it does not speak the protocol.
    Port,
    /// A firewall or policy forbids it.
    Prohibited,
    /// The packet died on the way: its time to live ended.
    TimeExceeded,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "no route to the host",
            Self::Port => "nobody listens on the port",
            Self::Prohibited => "forbidden by a firewall",
            Self::TimeExceeded => "time to live exceeded on the way",
        })
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Unreachable(kind) => write!(f, "no answer in time; a router said: {kind}"),
            Self::Aborted => f.write_str("aborted"),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Reset => "reset by the remote side",
            Self::TimedOut => "the remote side no longer answers",
            Self::Aborted => "aborted",
        })
    }
}
