//! What a stack is told when it is made, and the bounds it keeps.

use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

/// The smallest packet size every IPv4 host must take whole or in fragments (RFC 791 3.2).
const MIN_MTU_V4: usize = 576;
/// The smallest MTU of an IPv6 link (RFC 8200 5).
const MIN_MTU_V6: usize = 1280;
/// Own addresses are compared one by one for each packet, so there must be few.
const MAX_ADDRESSES: usize = 64;
/// No scale tells a larger window (RFC 7323 2.3).
const MAX_BUFFER: usize = 1 << 30;
const MIN_BUFFER: usize = 4096;

/// What a stack needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The tunnel's own addresses with their prefix lengths. The prefixes matter only for choosing the source
    /// address of a new connection: everything else goes into the tunnel whatever they say.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest IP packet to send, in bytes. Received packets may be larger, up to 65535 bytes.
    pub mtu: usize,
    /// How a connection finds out how much it may send.
    pub control: Control,
    /// Bounds on memory and work.
    pub limits: Limits,
    /// How long to wait for what.
    pub timing: Timing,
}

impl Config {
    /// A configuration with the default limits and timing.
    #[must_use]
    pub fn new(addresses: Vec<(IpAddr, u8)>, mtu: usize) -> Self {
        Self {
            addresses,
            mtu,
            control: Control::default(),
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.is_empty() || self.addresses.len() > MAX_ADDRESSES {
            return Err(ConfigError::AddressCount(self.addresses.len()));
        }
        for &(address, prefix) in &self.addresses {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            if prefix > bits || !crate::address::is_host(address) {
                return Err(ConfigError::Address(address, prefix));
            }
        }
        let has_v6 = self.addresses.iter().any(|(address, _)| address.is_ipv6());
        let smallest = if has_v6 { MIN_MTU_V6 } else { MIN_MTU_V4 };
        if !(smallest..=65_535).contains(&self.mtu) {
            return Err(ConfigError::Mtu {
                mtu: self.mtu,
                smallest,
            });
        }
        self.limits.check(self.mtu)
    }
}

/// Congestion control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// CUBIC that asks the queue whether a loss was its doing, so that a few losses by chance cost little.
    #[default]
    Queue,
    /// CUBIC alone (RFC 9438), to compare with.
    Cubic,
}

/// Bounds on what the stack holds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections in any state, but for released ones in TIME-WAIT, of which a quarter as many are remembered.
    pub connections: usize,
    /// Bytes a connection holds for its reader, and so its receive window, as long as that is wide enough for the path.
    pub receive_buffer: usize,
    /// Bytes a connection holds until the remote side acknowledges them, as long as they fill the path.
    pub transmit_buffer: usize,
    /// What each of the two may grow to if the path could carry more.
    pub largest_window: usize,
    /// What all connections may add to their windows together.
    pub window_growth: usize,
    /// Listening TCP sockets.
    pub listeners: usize,
    /// Datagram sockets.
    pub datagram_sockets: usize,
    /// Bytes of received datagrams waiting in one socket, an allowance for each datagram's header included.
    pub datagram_queue: usize,
    /// Bytes of packets waiting for the next poll: replies without a connection, and sent datagrams.
    pub outbox: usize,
    /// Echo requests without a reply.
    pub pings: usize,
    /// Resets and ICMP errors a second for each peer, and as many in one burst. The rest is dropped (RFC 4443 2.4f,
    /// RFC 5961 7).
    pub error_replies: u32,
    /// Local ports to choose from when the caller names none.
    pub ephemeral_ports: RangeInclusive<u16>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            receive_buffer: 1 << 20,
            transmit_buffer: 1 << 20,
            largest_window: 4 << 20,
            window_growth: 256 << 20,
            listeners: 1_024,
            datagram_sockets: 4_096,
            datagram_queue: 256 << 10,
            outbox: 1 << 20,
            pings: 1_024,
            error_replies: 1_000,
            // RFC 6056 3.2 asks for as large a range as possible; below 32768 live the ports people listen on.
            ephemeral_ports: 32_768..=65_535,
        }
    }
}

impl Limits {
    fn check(&self, mtu: usize) -> Result<(), ConfigError> {
        let buffers = MIN_BUFFER..=MAX_BUFFER;
        let fault = if !buffers.contains(&self.receive_buffer) {
            Some("receive_buffer must be between 4 KiB and 1 GiB")
        } else if !buffers.contains(&self.transmit_buffer) {
            Some("transmit_buffer must be between 4 KiB and 1 GiB")
        } else if self.largest_window > MAX_BUFFER {
            Some("largest_window must be at most 1 GiB")
        } else if self.outbox < 4 * mtu {
            Some("outbox must hold at least four packets of the MTU")
        } else if self.connections == 0 || self.connections > 1 << 24 {
            Some("connections must be between 1 and 16777216")
        } else if self.ephemeral_ports.is_empty() || *self.ephemeral_ports.start() == 0 {
            Some("ephemeral_ports must be a range that is not empty and does not hold port 0")
        } else {
            None
        };
        fault.map_or(Ok(()), |text| Err(ConfigError::Limit(text)))
    }
}

/// How long the stack waits.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From `connect` to giving up.
    pub connect: Duration,
    /// From a received SYN to giving up on the handshake.
    pub accept: Duration,
    /// Without any answer while something of ours is unacknowledged (RFC 1122 4.2.3.5 wants at least 100 s).
    pub unanswered: Duration,
    /// A released connection waits so long for the remote side's FIN.
    pub fin_wait: Duration,
    /// An acknowledgement of a single segment waits so long for company (RFC 9293 3.8.6.3 allows 500 ms).
    pub ack_delay: Duration,
    /// Probes on idle connections; none by default (RFC 1122 4.2.3.6).
    pub keepalive: Option<Keepalive>,
    /// An echo request is forgotten after so long.
    pub ping: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            accept: Duration::from_secs(30),
            unanswered: Duration::from_secs(120),
            fin_wait: Duration::from_secs(60),
            ack_delay: Duration::from_millis(10),
            keepalive: None,
            ping: Duration::from_secs(60),
        }
    }
}

/// Probing of idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe and between probes.
    pub interval: Duration,
    /// The connection is given up after so many probes without an answer.
    pub probes: u32,
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No address, or more than 64.
    AddressCount(usize),
    /// Not a unicast address, or a prefix too long for its family.
    Address(IpAddr, u8),
    /// An MTU no tunnel can have.
    Mtu {
        /// What was asked for.
        mtu: usize,
        /// The least the addresses' families allow.
        smallest: usize,
    },
    /// A limit that cannot work; the text says which.
    Limit(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressCount(count) => {
                write!(
                    f,
                    "a tunnel needs between 1 and {MAX_ADDRESSES} addresses, found {count}"
                )
            }
            Self::Address(address, prefix) => write!(
                f,
                "{address}/{prefix} is no address a host can have: expected a unicast address and a prefix \
                 of at most 32 (IPv4) or 128 (IPv6)"
            ),
            Self::Mtu { mtu, smallest } => {
                write!(
                    f,
                    "an MTU of {mtu} is impossible here: expected {smallest} to 65535"
                )
            }
            Self::Limit(text) => f.write_str(text),
        }
    }
}

impl core::error::Error for ConfigError {}
