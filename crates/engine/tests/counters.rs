//! Every event has a scenario that provokes it exactly once, and is counted where it belongs.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "counters/data.rs"]
mod data;
#[path = "counters/filter.rs"]
mod filter;
#[path = "counters/handshakes.rs"]
mod handshakes;
#[path = "counters/packets.rs"]
mod packets;
mod support;

use support::Network;
use support::author::Author;
use wirewright_engine::Event;
use wirewright_protocol::PublicKey;

/// How often an event was counted by node 0 as a whole, and for the peer if that is known.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    peer: Option<u64>,
}

const DEVICE: Seen = Seen {
    device: 1,
    peer: None,
};
const PEER: Seen = Seen {
    device: 1,
    peer: Some(1),
};

/// Provokes an event once at node 0, which has this number of shards.
type Provoke = fn(Event, u8) -> Seen;

/// What provokes an event, and who can be told of it. Without a wildcard: a new event does not
/// compile before it has a scenario.
fn scenario(event: Event) -> (Provoke, Seen) {
    match event {
        Event::BadLength => (handshakes::a_truncated_initiation, DEVICE),
        Event::BadType => (handshakes::a_datagram_of_another_protocol, DEVICE),
        Event::BadMac1 => (handshakes::a_message_for_another_key, DEVICE),
        Event::MissingMac2 | Event::CookieSent => (handshakes::an_initiation_without_mac2_under_load, DEVICE),
        Event::CookieWithheld => (handshakes::an_initiation_that_no_cookie_is_left_for, DEVICE),
        Event::CookieReceived => (handshakes::a_peer_under_load, PEER),
        Event::BadCookie => (handshakes::a_cookie_that_does_not_decrypt, PEER),
        Event::RateLimited => (handshakes::six_proven_initiations_from_one_address, DEVICE),
        Event::HandshakeQueueFull => (handshakes::two_initiations_for_a_queue_of_one, DEVICE),
        Event::HandshakeUnread => (handshakes::an_initiation_that_no_check_is_left_for, DEVICE),
        Event::NoIdentity => (handshakes::an_initiation_without_a_private_key, DEVICE),
        Event::InitiationInvalid => (handshakes::an_initiation_with_a_flipped_bit, DEVICE),
        Event::UnknownPeer => (handshakes::an_initiation_of_a_stranger, DEVICE),
        Event::TimestampReplay => (handshakes::a_replayed_initiation, PEER),
        Event::InitiationFlood => (handshakes::two_initiations_at_once, PEER),
        Event::ResponseUnexpected => (handshakes::a_replayed_response, PEER),
        Event::ResponseInvalid => (handshakes::another_preshared_key, PEER),
        Event::HandshakeImpossible => (handshakes::a_peer_key_of_low_order, PEER),
        Event::HandshakeGaveUp | Event::StagedDropped => (handshakes::a_silent_peer, PEER),
        Event::NoSession => (data::data_for_an_index_that_nobody_has, DEVICE),
        Event::SessionExpired => (data::data_that_came_three_minutes_late, PEER),
        Event::AuthenticationFailed => (data::data_with_a_flipped_bit, PEER),
        Event::ReplayOld => (data::data_from_behind_the_window, PEER),
        Event::ReplayDuplicate => (data::data_that_came_twice, PEER),
        Event::InnerVersion => (|event, shards| data::sealed(event, shards, &[0x50; 32]), PEER),
        Event::InnerLength => (|event, shards| data::sealed(event, shards, &[0x45; 16]), PEER),
        Event::SourceNotAllowed => (data::an_inner_source_of_somebody_else, PEER),
        Event::FilterDenied => (filter::a_packet_that_no_rule_allows, PEER),
        Event::FilterUnasked => (filter::a_packet_that_nobody_asked_for, PEER),
        Event::FilterFragment => (filter::a_later_fragment_without_its_first, PEER),
        Event::FilterUnreadable => (filter::a_header_that_is_cut_short, PEER),
        Event::FilterFull => (filter::one_flow_more_than_a_peer_may_have, PEER),
        Event::MalformedPacket => (|event, shards| packets::sent(event, shards, &[0x45; 19]), DEVICE),
        Event::NoPeer => (packets::a_packet_to_nobody, DEVICE),
        Event::NoEndpoint => (packets::a_packet_to_a_peer_that_was_never_heard, PEER),
        Event::StagedOverflow => (packets::one_packet_more_than_may_wait, PEER),
        Event::RoutingLoop => (packets::a_message_that_comes_back_into_the_interface, PEER),
        Event::Oversize => (packets::a_waiting_packet_longer_than_the_mtu, PEER),
        Event::JobsFull => (packets::a_packet_when_no_job_may_be_out, DEVICE),
        Event::HandoverStale => (
            handshakes::an_initiation_handed_over_for_a_peer_that_is_gone,
            DEVICE,
        ),
        Event::ReceiveError
        | Event::HandoverRefused
        | Event::InterfaceRefused
        | Event::InterfaceUnjoined
        | Event::InterfaceUnread => (packets::what_only_the_shell_sees, DEVICE),
        Event::NonceExhausted => (packets::a_packet_for_a_session_without_counters, PEER),
        Event::SendError
        | Event::SendTooLong
        | Event::SendUnreachable
        | Event::SendForbidden
        | Event::SendNoRoom => (packets::an_initiation_that_the_system_refused, PEER),
    }
}

/// Events that can be blamed on a peer or on nobody, in the other way than in [`scenario`].
const OTHERWISE: [(Event, Provoke, Seen); 6] = [
    (
        Event::NoIdentity,
        packets::a_packet_to_a_peer_without_a_private_key,
        PEER,
    ),
    (
        Event::InitiationInvalid,
        handshakes::a_peers_initiation_with_a_forged_timestamp,
        PEER,
    ),
    (
        Event::BadCookie,
        handshakes::a_cookie_for_an_index_that_nobody_has,
        DEVICE,
    ),
    (
        Event::ResponseUnexpected,
        handshakes::a_response_for_an_index_that_nobody_has,
        DEVICE,
    ),
    (Event::JobsFull, data::a_datagram_when_no_job_may_be_out, DEVICE),
    (
        Event::NoEndpoint,
        handshakes::a_handshake_with_a_peer_that_was_never_heard,
        PEER,
    ),
];

with_one_and_four_shards! {
    fn every_event_is_counted_once_and_in_its_place(shards) {
        for event in Event::ALL {
            let (provoke, expected) = scenario(*event);
            assert_eq!(provoke(*event, shards), expected, "{}", event.name());
        }
        for (event, provoke, expected) in OTHERWISE {
            assert_eq!(provoke(event, shards), expected, "{} in another place", event.name());
        }
    }

    fn peers_and_device_agree_about_what_peers_did(shards) {
        let mut network = Network::new(1, shards);
        let mut authors: Vec<Author> = (0..4).map(|number| Author::connected(&mut network, 0, 90 + number)).collect();
        for (count, author) in (1..).zip(&mut authors) {
            for _ in 0..count {
                let mut data = author.seal(&[]);
                data[20] ^= 1;
                network.inject(0, author.address, &data);
            }
        }
        for (count, author) in (1..).zip(&authors) {
            assert_eq!(network.status(0, &author.key).counters.get(Event::AuthenticationFailed), count);
        }
        assert_eq!(network.counter(0, Event::AuthenticationFailed), 1 + 2 + 3 + 4);
    }
}

fn at_device(network: &Network, event: Event) -> Seen {
    Seen {
        device: network.counter(0, event),
        peer: None,
    }
}

fn at_peer(network: &Network, event: Event, peer: &PublicKey) -> Seen {
    Seen {
        device: network.counter(0, event),
        peer: Some(network.status(0, peer).counters.get(event)),
    }
}

fn at_node_1(network: &Network, event: Event) -> Seen {
    at_peer(network, event, &network.nodes[1].key)
}
