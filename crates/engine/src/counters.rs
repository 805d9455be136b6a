//! One `u64` for every event that makes a packet or a handshake end early.
//!
//! The kernel lumps them into seven; whoever asks why a tunnel is silent needs them apart. Each is counted for
//! the shard and, where the peer is known, for the peer.

use core::fmt;

macro_rules! events {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Something that went wrong, or was refused, or was done instead of what was asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Event {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Event {
            /// All events, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in JSON, metrics and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

events! {
    // Parsing and handshakes.
    /// A datagram whose length fits no message of its type.
    BadLength = "bad_length",
    /// A datagram whose first four bytes are no message type.
    BadType = "bad_type",
    /// A handshake message whose mac1 is not made for our public key.
    BadMac1 = "bad_mac1",
    /// Under load, a handshake message without a valid mac2.
    MissingMac2 = "missing_mac2",
    /// A cookie reply was sent.
    CookieSent = "cookie_sent",
    /// Under load, a cookie reply was withheld, since datagrams had not paid for it.
    CookieWithheld = "cookie_withheld",
    /// A cookie reply was accepted.
    CookieReceived = "cookie_received",
    /// A cookie reply that does not decrypt, or that answers nothing we sent.
    BadCookie = "bad_cookie",
    /// Under load, a source sent more handshake messages than its token bucket holds.
    RateLimited = "rate_limited",
    /// The queue of handshake messages was full.
    HandshakeQueueFull = "handshake_queue_full",
    /// Under load, a handshake message was dropped unread, since datagrams had not paid for reading it; or it waited when the
    /// interface was set down.
    HandshakeUnread = "handshake_unread",
    /// A handshake message came while the interface has no private key.
    NoIdentity = "no_identity",
    /// An initiation that does not decrypt, or leads to an all-zero shared secret.
    InitiationInvalid = "initiation_invalid",
    /// An initiation from a public key that is no peer.
    UnknownPeer = "unknown_peer",
    /// An initiation whose timestamp is not newer than the newest seen.
    TimestampReplay = "timestamp_replay",
    /// An initiation within 20 ms of the last one accepted.
    InitiationFlood = "initiation_flood",
    /// A response whose receiver index or handshake state does not fit.
    ResponseUnexpected = "response_unexpected",
    /// A response that does not authenticate.
    ResponseInvalid = "response_invalid",
    /// An initiation could not be made: the peer's key is of low order.
    HandshakeImpossible = "handshake_impossible",
    /// A handshake was given up after all attempts.
    HandshakeGaveUp = "handshake_gave_up",
    // Receiving.
    /// A data message for a receiver index that holds no session.
    NoSession = "no_session",
    /// A data message for a session past its age or its counter limit.
    SessionExpired = "session_expired",
    /// A data message that does not authenticate.
    AuthenticationFailed = "authentication_failed",
    /// A counter behind the replay window.
    ReplayOld = "replay_old",
    /// A counter that was seen before.
    ReplayDuplicate = "replay_duplicate",
    /// An inner packet that is neither IPv4 nor IPv6.
    InnerVersion = "inner_version",
    /// An inner packet whose length field exceeds what came.
    InnerLength = "inner_length",
    /// An inner source address that is not among the peer's allowed IPs.
    SourceNotAllowed = "source_not_allowed",
    // The packet filter.
    /// A packet of a peer that no rule of it allows and that belongs to no flow.
    FilterDenied = "filter_denied",
    /// A packet for a peer that it did not ask for, and that nobody may send unasked.
    FilterUnasked = "filter_unasked",
    /// A fragment that does not follow a first one that passed.
    FilterFragment = "filter_fragment",
    /// A packet whose headers the filter cannot read, or that leads elsewhere than it says.
    FilterUnreadable = "filter_unreadable",
    /// A packet would begin a flow where the peer, or all peers together, have as many as they may.
    FilterFull = "filter_full",
    // Sending.
    /// An outgoing packet that is neither IPv4 nor IPv6, or is cut short.
    MalformedPacket = "malformed_packet",
    /// No peer's allowed IPs hold the destination.
    NoPeer = "no_peer",
    /// The peer that the packet is for has no endpoint yet.
    NoEndpoint = "no_endpoint",
    /// Packets that waited for a session gave way to newer ones.
    StagedOverflow = "staged_overflow",
    /// Packets that waited for a session were dropped with the handshake.
    StagedDropped = "staged_dropped",
    /// A message that we sealed was routed back into the interface, or went through so many tunnels in tunnels that its
    /// hops were used up.
    RoutingLoop = "routing_loop",
    /// A packet does not fit the batch that it has to go to.
    Oversize = "oversize",
    /// More batches were out at helpers than is allowed.
    JobsFull = "jobs_full",
    /// A batch was handed over for a peer or shard that is gone.
    HandoverStale = "handover_stale",
    /// Packets found that the session has no counters left, and wait for the next one.
    NonceExhausted = "nonce_exhausted",
    /// A batch was handed over to a shard that could not take more.
    HandoverRefused = "handover_refused",
    /// The operating system refused a datagram, for a cause that none of the following names.
    SendError = "send_error",
    /// A datagram was longer than the way to its destination takes.
    SendTooLong = "send_too_long",
    /// No route leads to a datagram's destination, or none from an address of this machine.
    SendUnreachable = "send_unreachable",
    /// A firewall or a policy of this machine forbade a datagram.
    SendForbidden = "send_forbidden",
    /// The operating system had no room for a datagram.
    SendNoRoom = "send_no_room",
    // The outer sockets.
    /// A socket failed to receive, for a cause that passes.
    ReceiveError = "receive_error",
    /// The interface refused a packet that came through the tunnel: it is down, or the system has no memory.
    InterfaceRefused = "interface_refused",
    /// The interface refused packets that were joined and took them one by one, as it gets their kind from then on.
    InterfaceUnjoined = "interface_unjoined",
    /// A packet could not be read from the interface, for a cause that passes.
    InterfaceUnread = "interface_unread",
}

/// A count for each [`Event`].
#[derive(Clone, PartialEq, Eq)]
pub struct Counters([u64; Event::ALL.len()]);

impl Counters {
    /// Adds `by` to the count of `event`, which stops at its maximum.
    pub fn add(&mut self, event: Event, by: u64) {
        if let Some(count) = self.0.get_mut(event as usize) {
            *count = count.saturating_add(by);
        }
    }

    /// How often `event` happened.
    #[must_use]
    pub fn get(&self, event: Event) -> u64 {
        self.0.get(event as usize).copied().unwrap_or(0)
    }

    /// Adds all counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (count, by) in self.0.iter_mut().zip(&other.0) {
            *count = count.saturating_add(*by);
        }
    }

    /// All events with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Event, u64)> + '_ {
        Event::ALL.iter().map(|event| (*event, self.get(*event)))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self([0; Event::ALL.len()])
    }
}

/// Shows only what happened.
impl fmt::Debug for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let happened = self
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(event, count)| (event.name(), count));
        formatter.debug_map().entries(happened).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Event::ALL.iter().map(|event| event.name()).collect();
        assert_eq!(names.len(), Event::ALL.len());
    }

    #[test]
    fn a_count_stops_at_its_maximum() {
        let mut counters = Counters::default();
        counters.add(Event::BadType, u64::MAX);
        counters.add(Event::BadType, 2);
        assert_eq!(counters.get(Event::BadType), u64::MAX);
        assert_eq!(counters.get(Event::BadLength), 0);
    }
}
