//! What a stack that forwards is told.

use core::net::IpAddr;
use core::time::Duration;

/// What may be reached, how much at once, and for how long.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// Networks outside, each an address and a prefix length. What is special is opened only by one that lies inside it.
    pub reach: Vec<(IpAddr, u8)>,
    /// Whether the host's own addresses are outside.
    pub host: bool,
    /// TCP connections of all peers.
    pub connections: usize,
    /// TCP connections of one peer.
    pub connections_per_peer: usize,
    /// UDP flows and pings of all peers.
    pub flows: usize,
    /// UDP flows and pings of one peer.
    pub flows_per_peer: usize,
    /// A destination that has not answered by then counts as unreachable.
    pub connect: Duration,
    /// A connection without a byte for so long is ended.
    pub connection_idle: Duration,
    /// An answered UDP flow without a datagram is forgotten.
    pub datagram_idle: Duration,
    /// The same of one without an answer.
    pub unanswered_idle: Duration,
    /// The same of a ping.
    pub echo_idle: Duration,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            reach: vec![
                (core::net::Ipv4Addr::UNSPECIFIED.into(), 0),
                (core::net::Ipv6Addr::UNSPECIFIED.into(), 0),
            ],
            host: false,
            connections: 4_096,
            connections_per_peer: 1_024,
            flows: 4_096,
            flows_per_peer: 1_024,
            connect: Duration::from_secs(30),
            // RFC 5382, REQ-5.
            connection_idle: Duration::from_secs(7_440),
            // RFC 4787, REQ-5.
            datagram_idle: Duration::from_secs(180),
            unanswered_idle: Duration::from_secs(30),
            echo_idle: Duration::from_secs(30),
        }
    }
}
