//! Why a call was refused.

use core::fmt;
use core::net::IpAddr;

use crate::event::CloseReason;

/// Why a connection could not be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The remote address is not one to connect to: unspecified, multicast, broadcast, or port 0.
    InvalidRemote,
    /// The remote address is the tunnel's own: packets to it would leave and never return.
    OwnAddress,
    /// The tunnel has no address of the remote address's family.
    NoLocalAddress,
    /// The local address named is not the tunnel's, or of the other family.
    NotOurAddress(IpAddr),
    /// The local address and port named are already connected to that remote.
    AddressInUse,
    /// Every local port is connected to that remote.
    PortsExhausted,
    /// As many connections as [`crate::Limits::connections`] allows.
    TooManyConnections,
    /// The system gave no memory for the buffers.
    OutOfMemory,
}

/// Why listening was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// The local address named is not the tunnel's.
    NotOurAddress(IpAddr),
    /// Someone listens there.
    AddressInUse,
    /// Every ephemeral port has a listener.
    PortsExhausted,
    /// As many listeners as [`crate::Limits::listeners`] allows.
    TooManyListeners,
}

/// Why a datagram socket could not be bound or connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The local address named is not the tunnel's.
    NotOurAddress(IpAddr),
    /// Another socket has the address and port.
    AddressInUse,
    /// Every ephemeral port is bound.
    PortsExhausted,
    /// As many sockets as [`crate::Limits::datagram_sockets`] allows.
    TooManySockets,
    /// The remote address to connect to cannot be one.
    InvalidRemote,
    /// The tunnel has no address of the remote address's family.
    NoLocalAddress,
    /// The socket was closed.
    Closed,
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The payload does not fit into one packet, and packets are not fragmented.
    TooLong {
        /// Bytes of payload given.
        len: usize,
        /// Bytes that fit.
        most: usize,
    },
    /// The outbox is full: `Event::DatagramWritable` will say when it is not.
    Full,
    /// The remote address is not one to send to, or the socket is connected to another.
    InvalidRemote,
    /// The socket is not connected and no remote address was given.
    NotConnected,
    /// The tunnel has no address of the remote address's family.
    NoLocalAddress,
    /// The socket was closed.
    Closed,
}

/// Why nothing was written to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// `shutdown` was called before.
    ShutDown,
    /// The connection is over, for this reason.
    Closed(CloseReason),
}

/// Why an echo request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// The payload does not fit into one packet.
    TooLong {
        /// Bytes of payload asked for.
        len: usize,
        /// Bytes that fit.
        most: usize,
    },
    /// The outbox is full.
    Full,
    /// The destination is not one to send to.
    InvalidRemote,
    /// The tunnel has no address of the destination's family.
    NoLocalAddress,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRemote => f.write_str(INVALID_REMOTE),
            Self::OwnAddress => {
                f.write_str("the remote address is the tunnel's own: connect to it outside the tunnel")
            }
            Self::NoLocalAddress => f.write_str(NO_LOCAL_ADDRESS),
            Self::NotOurAddress(address) => not_ours(*address, f),
            Self::AddressInUse => {
                f.write_str("that local address and port are already connected to that remote")
            }
            Self::PortsExhausted => f.write_str("every local port is already connected to that remote"),
            Self::TooManyConnections => f.write_str("too many connections: close some or raise the limit"),
            Self::OutOfMemory => f.write_str("the system gave no memory for the connection's buffers"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurAddress(address) => not_ours(*address, f),
            Self::AddressInUse => f.write_str("there is already a listener on that address and port"),
            Self::PortsExhausted => f.write_str("every ephemeral port has a listener"),
            Self::TooManyListeners => f.write_str("too many listeners: close some or raise the limit"),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurAddress(address) => not_ours(*address, f),
            Self::AddressInUse => f.write_str("another datagram socket has that address and port"),
            Self::PortsExhausted => f.write_str("every ephemeral port is bound"),
            Self::TooManySockets => f.write_str("too many datagram sockets: close some or raise the limit"),
            Self::InvalidRemote => f.write_str(INVALID_REMOTE),
            Self::NoLocalAddress => f.write_str(NO_LOCAL_ADDRESS),
            Self::Closed => f.write_str(CLOSED),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, most } => too_long(*len, *most, f),
            Self::Full => f.write_str(FULL),
            Self::InvalidRemote => f.write_str(INVALID_REMOTE),
            Self::NotConnected => f.write_str("the socket is not connected: a destination is needed"),
            Self::NoLocalAddress => f.write_str(NO_LOCAL_ADDRESS),
            Self::Closed => f.write_str(CLOSED),
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown => f.write_str("the sending side of the connection was shut down before"),
            Self::Closed(reason) => write!(f, "the connection is over: {reason}"),
        }
    }
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, most } => too_long(*len, *most, f),
            Self::Full => f.write_str(FULL),
            Self::InvalidRemote => f.write_str(INVALID_REMOTE),
            Self::NoLocalAddress => f.write_str(NO_LOCAL_ADDRESS),
        }
    }
}

impl core::error::Error for ConnectError {}
impl core::error::Error for ListenError {}
impl core::error::Error for BindError {}
impl core::error::Error for SendError {}
impl core::error::Error for WriteError {}
impl core::error::Error for PingError {}

const INVALID_REMOTE: &str = "the remote address is not one host's address and port";
const NO_LOCAL_ADDRESS: &str =
    "the tunnel has no address of that family: add one to Address in the configuration";
const FULL: &str = "too much is waiting to be sent: try again after the next poll";
const CLOSED: &str = "the socket was closed";

fn not_ours(address: IpAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{address} is not an address of this tunnel")
}

fn too_long(len: usize, most: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "a payload of {len} bytes does not fit into one packet: at most {most} do"
    )
}
