//! What was carried, counted.

/// One number for each kind of event since the stack began to forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardCounters {
    /// Connections that peers began.
    pub connections_begun: u64,
    /// Those that the host established, which were then answered.
    pub connections_joined: u64,
    /// Those that the destination refused, which were answered by a reset.
    pub connections_refused: u64,
    /// Those that found no way, or no answer in time.
    pub connections_unreachable: u64,
    /// Those that a peer gave up before they were there.
    pub connections_abandoned: u64,
    /// Established ones that either side broke.
    pub connections_broken: u64,
    /// Established ones that were ended because they were idle.
    pub connections_idle: u64,
    /// SYNs dropped because all peers have as many connections as there may be.
    pub connections_full: u64,
    /// SYNs dropped because the peer has as many as one may have.
    pub connections_full_of_peer: u64,
    /// Bytes of connections from peers to the host.
    pub bytes_out: u64,
    /// Bytes of connections from the host to peers.
    pub bytes_in: u64,

    /// UDP flows and pings that peers began.
    pub flows_begun: u64,
    /// Those that were forgotten because they were idle.
    pub flows_expired: u64,
    /// Datagrams and echo requests dropped because all peers have as many flows as there may be.
    pub flows_full: u64,
    /// The same because the peer has as many as one may have.
    pub flows_full_of_peer: u64,
    /// Datagrams from peers.
    pub datagrams_out: u64,
    /// Datagrams for peers.
    pub datagrams_in: u64,
    /// Echo requests of peers.
    pub echo_requests_out: u64,
    /// Their replies.
    pub echo_replies_in: u64,
    /// Datagrams and echo requests that the host did not take, since it had no room.
    pub datagrams_lost: u64,
    /// Datagrams for peers dropped because too much waits to be sent to peers.
    pub answers_lost: u64,
    /// Answers of the host's echo sockets that are no echo replies.
    pub answers_ignored: u64,
    /// Echo requests that the host lets nobody send without privilege (`net.ipv4.ping_group_range`).
    pub echo_not_permitted: u64,

    /// Packets for destinations that are not to be reached.
    pub denied: u64,
    /// Packets for addresses of the host's own, which are not to be reached, or for no single host.
    pub denied_own: u64,
    /// Packets for addresses of the tunnel's networks that no peer has.
    pub nobody_inside: u64,
    /// What could not be carried because the host had no descriptor, port or memory.
    pub exhausted: u64,
    /// Packets that had no hop left.
    pub hops_exceeded: u64,
    /// ICMP errors of the outside that were passed on to peers.
    pub errors_passed: u64,
    /// ICMP errors of the outside that are nothing to peers, such as of a path's MTU.
    pub errors_ignored: u64,
    /// ICMP messages of peers to the outside that are no echo requests.
    pub messages_ignored: u64,
    /// Fragments of packets that did not become whole.
    pub fragments_lost: u64,
    /// What ended because its peer left, or its address went to another.
    pub cut: u64,

    /// Packets of one peer for another.
    pub between_peers: u64,
    /// The same, dropped because they are malformed or from no host.
    pub between_peers_refused: u64,
    /// The same, dropped because they are longer than the MTU and must not be cut.
    pub between_peers_too_long: u64,
    /// The same, dropped because too much waits.
    pub between_peers_full: u64,
}

impl ForwardCounters {
    /// All counts with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        macro_rules! named {
            ($($field:ident),* $(,)?) => {{
                // Taken apart, so that a new counter cannot be forgotten here.
                let Self { $($field),* } = *self;
                [$((stringify!($field), $field)),*]
            }};
        }
        named![
            connections_begun,
            connections_joined,
            connections_refused,
            connections_unreachable,
            connections_abandoned,
            connections_broken,
            connections_idle,
            connections_full,
            connections_full_of_peer,
            bytes_out,
            bytes_in,
            flows_begun,
            flows_expired,
            flows_full,
            flows_full_of_peer,
            datagrams_out,
            datagrams_in,
            echo_requests_out,
            echo_replies_in,
            datagrams_lost,
            answers_lost,
            answers_ignored,
            echo_not_permitted,
            denied,
            denied_own,
            nobody_inside,
            exhausted,
            hops_exceeded,
            errors_passed,
            errors_ignored,
            messages_ignored,
            fragments_lost,
            cut,
            between_peers,
            between_peers_refused,
            between_peers_too_long,
            between_peers_full,
        ]
        .into_iter()
    }
}
