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

impl Forwarding {
    /// The same where the host has only so many sockets: all bounds shrink alike, so that one peer still cannot have more
    /// than its share, nor flows what is there for connections.
    #[must_use]
    pub fn within(self, places: usize) -> Self {
        let wanted = self.connections.saturating_add(self.flows);
        if places >= wanted {
            return self;
        }
        // At least one of what there was to be any of.
        let share = |most: usize| (most.saturating_mul(places) / wanted).max(most.min(1));
        Self {
            connections: share(self.connections),
            connections_per_peer: share(self.connections_per_peer.min(self.connections)),
            flows: share(self.flows),
            flows_per_peer: share(self.flows_per_peer.min(self.flows)),
            ..self
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(forwarding: &Forwarding) -> [usize; 4] {
        [
            forwarding.connections,
            forwarding.connections_per_peer,
            forwarding.flows,
            forwarding.flows_per_peer,
        ]
    }

    #[test]
    fn where_there_are_fewer_sockets_everybodys_share_gets_smaller_alike() {
        let asked = Forwarding::default;
        assert_eq!(bounds(&asked().within(8_192)), bounds(&asked()));
        assert_eq!(bounds(&asked().within(960)), [480, 120, 480, 120]);
        assert_eq!(bounds(&asked().within(0)), [1; 4]);
        let uneven = Forwarding {
            connections: 300,
            connections_per_peer: 1_024,
            flows: 0,
            ..asked()
        };
        assert_eq!(bounds(&uneven.within(100)), [100, 100, 0, 0]);
    }
}
