//! What happened, counted.

/// One number for each kind of event since the stack was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed to `receive`.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets handed to the sink.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,

    /// Not an IP packet, or lengths that contradict each other.
    pub dropped_malformed: u64,
    /// A wrong IPv4, TCP, UDP or ICMP checksum.
    pub dropped_checksum: u64,
    /// For an address that is not ours: nothing is forwarded.
    pub dropped_not_ours: u64,
    /// From an address no other host can have: multicast, unspecified, loopback, or our own.
    pub dropped_source: u64,
    /// A fragment: neither family is reassembled.
    pub dropped_fragment: u64,
    /// An IPv6 extension header, or neither TCP, UDP nor ICMP.
    pub dropped_protocol: u64,

    /// Connections begun by `connect`.
    pub connections_begun: u64,
    /// Connections a listener began after a SYN.
    pub connections_offered: u64,
    /// Handshakes completed, in either role.
    pub connections_established: u64,
    /// Connections of ours that were refused, timed out or failed otherwise before they were established.
    pub connections_failed: u64,
    /// Established connections the remote side reset.
    pub connections_reset: u64,
    /// Established connections given up because no answer came.
    pub connections_timed_out: u64,
    /// Handshakes with a listener that were not completed in time, were reset, or made room for another address.
    pub half_open_dropped: u64,
    /// SYNs dropped because the listener's backlog was full.
    pub backlog_overflow: u64,
    /// SYNs dropped because there were too many connections, or no memory for one more.
    pub connections_overflow: u64,
    /// Connections in TIME-WAIT forgotten before their time to make room.
    pub time_wait_evicted: u64,

    /// Segments for which there was neither a connection nor a listener, answered with a reset.
    pub resets_sent: u64,
    /// Resets and ICMP errors not sent because of the limit on their rate for each peer.
    pub error_replies_suppressed: u64,
    /// Replies dropped because the outbox was full.
    pub outbox_overflow: u64,

    /// Datagrams put into a socket's queue.
    pub datagrams_received: u64,
    /// Datagrams accepted from `send_to`.
    pub datagrams_sent: u64,
    /// Datagrams dropped because the socket's queue was full.
    pub datagram_queue_overflow: u64,
    /// Datagrams for a port nobody is bound to, or not from the remote address the socket is connected to.
    pub datagrams_unclaimed: u64,
    /// ICMP port unreachable messages sent.
    pub port_unreachables_sent: u64,

    /// Echo requests answered.
    pub echo_requests: u64,
    /// Echo requests not answered because the reply would be longer than the MTU.
    pub echo_requests_too_long: u64,
    /// Echo replies that belonged to a ping of ours.
    pub echo_replies: u64,
    /// Echo replies that did not.
    pub echo_replies_unmatched: u64,
    /// Pings forgotten without a reply.
    pub pings_expired: u64,
    /// ICMP errors that belonged to something of ours.
    pub icmp_errors: u64,
    /// ICMP errors that did not, or that report what this stack does not act upon.
    pub icmp_errors_unmatched: u64,

    /// How often a connection was looked at, for a packet, a poll or a deadline. Beside `packets_received` and
    /// `packets_sent` it shows that a packet's cost does not depend on the number of connections.
    pub connections_touched: u64,
}

impl Counters {
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
            packets_received,
            bytes_received,
            packets_sent,
            bytes_sent,
            dropped_malformed,
            dropped_checksum,
            dropped_not_ours,
            dropped_source,
            dropped_fragment,
            dropped_protocol,
            connections_begun,
            connections_offered,
            connections_established,
            connections_failed,
            connections_reset,
            connections_timed_out,
            half_open_dropped,
            backlog_overflow,
            connections_overflow,
            time_wait_evicted,
            resets_sent,
            error_replies_suppressed,
            outbox_overflow,
            datagrams_received,
            datagrams_sent,
            datagram_queue_overflow,
            datagrams_unclaimed,
            port_unreachables_sent,
            echo_requests,
            echo_requests_too_long,
            echo_replies,
            echo_replies_unmatched,
            pings_expired,
            icmp_errors,
            icmp_errors_unmatched,
            connections_touched,
        ]
        .into_iter()
    }
}
