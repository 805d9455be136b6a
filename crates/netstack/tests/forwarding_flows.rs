//! Datagrams and pings that a stack carries for its peers, and what it does not carry.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::gateway::{Gateway, OUTSIDE, OUTSIDE6, SOON, closed, opened, segment};
use common::{A4, A6, MTU, at, fix_v4, ip, packet_v4, pattern};
use proptest::collection::vec;
use proptest::prelude::*;
use wirewright_netstack::{Event, Forwarding, Unreachable};
use wirewright_protocol::PublicKey;
use wirewright_runtime::outside::{Complaint, Failure, Kind, Order, Report};

#[test]
fn there_are_places_for_all_and_for_each_peer() {
    let mut gateway = Gateway::new(Forwarding {
        connections: 3,
        connections_per_peer: 2,
        flows: 3,
        flows_per_peer: 2,
        ..Forwarding::default()
    });
    let other = PublicKey::from_bytes([2; 32]);
    for port in 0..4 {
        gateway
            .pair
            .a
            .stack
            .connect(gateway.pair.now, at(OUTSIDE, 80 + port), None)
            .unwrap();
    }
    let socket = gateway.pair.a.stack.bind(None, 0).unwrap();
    for port in 0..4 {
        gateway
            .pair
            .a
            .stack
            .send_to(socket, Some(at(OUTSIDE, 53 + port)), b"?")
            .unwrap();
    }
    gateway.pass(SOON);
    assert_eq!(gateway.carried(), (2, 2));
    assert_eq!(gateway.count("connections_full_of_peer"), 2);
    assert_eq!(gateway.count("flows_full_of_peer"), 2);
    gateway.pair.owners = vec![(ip(A4), other), (ip(A6), other)];
    for port in 0..2 {
        gateway
            .pair
            .a
            .stack
            .connect(gateway.pair.now, at(OUTSIDE, 90 + port), None)
            .unwrap();
        gateway
            .pair
            .a
            .stack
            .send_to(socket, Some(at(OUTSIDE, 90 + port)), b"?")
            .unwrap();
    }
    gateway.pass(SOON);
    assert_eq!(gateway.carried(), (3, 3));
    assert_eq!(gateway.count("connections_full"), 1);
    assert_eq!(gateway.count("flows_full"), 1);
}

#[test]
fn datagrams_have_a_flow_each_and_answers_come_from_whom_was_asked() {
    for (from, to) in [(A4, OUTSIDE), (A6, OUTSIDE6)] {
        let mut gateway = Gateway::new(Forwarding::default());
        let socket = gateway.pair.a.stack.bind(Some(ip(from)), 5_000).unwrap();
        for bytes in [b"one", b"two"] {
            gateway
                .pair
                .a
                .stack
                .send_to(socket, Some(at(to, 53)), bytes)
                .unwrap();
        }
        gateway.pass(SOON);
        let orders = gateway.orders();
        let (name, kind, remote, own) = opened(&orders).unwrap();
        assert_eq!((kind, remote, own), (Kind::Datagram, at(to, 53), false));
        let sent = |bytes: &[u8]| {
            (
                Order::Send {
                    name,
                    len: 3,
                    hop_limit: 63,
                },
                bytes.to_vec(),
            )
        };
        assert_eq!(orders[1..], [sent(b"one"), sent(b"two")]);
        gateway.tell_bytes(name, b"answer");
        let mut buffer = [0; 100];
        let datagram = gateway.pair.a.stack.receive_from(socket, &mut buffer).unwrap();
        assert_eq!(
            (datagram.source, &buffer[..datagram.len]),
            (at(to, 53), &b"answer"[..])
        );
        assert_eq!(gateway.carried(), (0, 1));
    }
}

#[test]
fn a_flow_is_forgotten_sooner_without_an_answer() {
    let mut gateway = Gateway::new(Forwarding::default());
    let socket = gateway.pair.a.stack.bind(None, 0).unwrap();
    gateway
        .pair
        .a
        .stack
        .send_to(socket, Some(at(OUTSIDE, 53)), b"?")
        .unwrap();
    gateway.pass(Duration::from_secs(29));
    assert_eq!(gateway.carried(), (0, 1));
    gateway.pass(Duration::from_secs(2));
    assert_eq!(gateway.carried(), (0, 0));
    assert_eq!(closed(&gateway.orders()), Some(false));
    gateway
        .pair
        .a
        .stack
        .send_to(socket, Some(at(OUTSIDE, 53)), b"?")
        .unwrap();
    gateway.pass(SOON);
    let (name, ..) = opened(&gateway.orders()).unwrap();
    gateway.tell_bytes(name, b"!");
    gateway.pass(Duration::from_secs(178));
    assert_eq!(gateway.carried(), (0, 1));
    gateway.pass(Duration::from_secs(3));
    assert_eq!(gateway.carried(), (0, 0));
    assert_eq!(gateway.count("flows_expired"), 2);
}

#[test]
fn an_error_about_a_datagram_comes_back_from_who_said_it() {
    for (from, to, refused) in [(A4, OUTSIDE, (3, 3)), (A6, OUTSIDE6, (1, 4))] {
        let mut gateway = Gateway::new(Forwarding::default());
        let socket = gateway.pair.a.stack.bind(Some(ip(from)), 0).unwrap();
        gateway.pair.a.stack.connect_socket(socket, at(to, 53)).unwrap();
        gateway.pair.a.stack.send_to(socket, None, b"?").unwrap();
        gateway.pass(SOON);
        let (name, ..) = opened(&gateway.orders()).unwrap();
        let complaint = Complaint {
            kind: refused.0,
            code: refused.1,
            offender: None,
            sequence: None,
        };
        gateway.pair.wire = Some(vec![]);
        gateway.tell(name, Report::Complained(complaint));
        let told = Event::DatagramUnreachable(socket, Unreachable::Port);
        assert!(
            gateway.pair.a.events.contains(&told),
            "{:?}",
            gateway.pair.a.events
        );
        let wire = gateway.pair.wire.take().unwrap();
        let source = if from == A4 {
            &wire[0].1[12..16]
        } else {
            &wire[0].1[8..24]
        };
        let expected = match ip(to) {
            std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        assert_eq!(source, expected);
    }
}

#[test]
fn a_ping_goes_out_under_the_hosts_identifier_and_comes_back_under_the_peers() {
    for (to, request, reply) in [(OUTSIDE, 8, 0), (OUTSIDE6, 128, 129)] {
        let mut gateway = Gateway::new(Forwarding::default());
        let ping = gateway.pair.a.stack.ping(gateway.pair.now, ip(to), 20).unwrap();
        gateway.pass(SOON);
        let orders = gateway.orders();
        let (name, kind, remote, _) = opened(&orders).unwrap();
        assert_eq!((kind, remote), (Kind::Echo, at(to, 0)));
        let mut message = orders[1].1.clone();
        assert_eq!((message[0], message.len()), (request, 28));
        message[0] = reply;
        message[4..6].copy_from_slice(&[0xaa, 0xbb]);
        gateway.tell_bytes(name, &message);
        let pong = |event: &Event| matches!(event, Event::Pong { id, payload_len: 20, .. } if *id == ping);
        assert!(gateway.pair.a.events.iter().any(pong));
        assert_eq!(gateway.carried(), (0, 1));
        gateway.tell(name, Report::Failed(Failure::Prohibited));
        assert_eq!(gateway.count("echo_not_permitted"), 1);
    }
}

#[test]
fn what_has_no_hop_left_is_answered_by_the_gateway() {
    let mut gateway = Gateway::new(Forwarding::default());
    let mut probe = packet_v4(17, &[0x10, 0, 0x82, 0x9a, 0, 8, 0, 0]);
    probe[16..20].copy_from_slice(&[198, 51, 100, 7]);
    probe[8] = 1;
    fix_v4(&mut probe);
    gateway.pair.wire = Some(vec![]);
    gateway.pair.send(true, probe.clone());
    gateway.pass(SOON);
    let wire = gateway.pair.wire.take().unwrap();
    let (from_a, answer) = &wire[1];
    assert!(!from_a && answer[12..16] == [10, 9, 0, 2] && answer[20..22] == [11, 0]);
    assert_eq!(answer[28..56], probe[..28]);
    assert_eq!(gateway.carried(), (0, 0));
}

#[test]
fn what_may_not_be_reached_is_told_and_opens_nothing() {
    let mut gateway = Gateway::new(Forwarding {
        reach: vec![(ip("0.0.0.0"), 0), (ip("198.51.100.0"), 24)],
        ..Forwarding::default()
    });
    for hidden in ["127.0.0.1", "169.254.169.254", "0.0.0.1"] {
        let address: std::net::Ipv4Addr = hidden.parse().unwrap();
        for (protocol, body) in [
            (6, segment(4_000, 80, 1_000, 0x02)),
            (17, vec![0x10, 0, 0, 53, 0, 8, 0, 0]),
            (1, vec![8, 0, 0, 0, 0, 1, 0, 1]),
        ] {
            let before = gateway.count("denied");
            let mut packet = packet_v4(protocol, &body);
            packet[16..20].copy_from_slice(&address.octets());
            fix_v4(&mut packet);
            gateway.pair.wire = Some(vec![]);
            gateway.pair.send(true, packet);
            gateway.pass(SOON);
            assert_eq!(gateway.count("denied"), before + 1, "{hidden} {protocol}");
            let wire = gateway.pair.wire.take().unwrap();
            assert_eq!(wire[1].1[20..22], [3, 13], "{hidden} {protocol}");
        }
    }
    let client = gateway
        .pair
        .a
        .stack
        .connect(gateway.pair.now, at(OUTSIDE6, 80), None)
        .unwrap();
    gateway.pass(SOON);
    let prohibited = Event::ConnectionUnreachable(client, Unreachable::Prohibited);
    assert!(
        gateway.pair.a.events.contains(&prohibited),
        "no network of that family is named"
    );
    assert!(gateway.orders().is_empty());
}

#[test]
fn an_address_of_the_tunnels_network_that_nobody_has_is_not_looked_for_outside() {
    let mut gateway = Gateway::new(Forwarding::default());
    for inside in ["10.9.0.77", "fd09::77"] {
        let client = gateway
            .pair
            .a
            .stack
            .connect(gateway.pair.now, at(inside, 80), None)
            .unwrap();
        gateway.pass(SOON);
        let unreachable = Event::ConnectionUnreachable(client, Unreachable::Host);
        assert!(gateway.pair.a.events.contains(&unreachable), "{inside}");
    }
    assert!(gateway.orders().is_empty());
    assert_eq!(gateway.count("nobody_inside"), 2);
}

#[test]
fn an_answer_longer_than_the_tunnel_comes_in_pieces() {
    let mut gateway = Gateway::new(Forwarding::default());
    let socket = gateway.pair.a.stack.bind(None, 0).unwrap();
    gateway
        .pair
        .a
        .stack
        .send_to(socket, Some(at(OUTSIDE, 53)), b"?")
        .unwrap();
    gateway.pass(SOON);
    let (name, ..) = opened(&gateway.orders()).unwrap();
    gateway.pair.wire = Some(vec![]);
    gateway.tell_bytes(name, &pattern(4_000, 1));
    let wire = gateway.pair.wire.take().unwrap();
    assert_eq!(wire.len(), 3);
    assert!(wire.iter().all(|(_, packet)| packet.len() <= MTU));
}

#[test]
fn nobody_is_told_of_what_was_for_many() {
    let mut gateway = Gateway::new(Forwarding::default());
    for (hops, group) in [(1, [224, 0, 0, 251]), (64, [239, 255, 255, 250]), (64, [255; 4])] {
        let mut packet = packet_v4(17, &[0x10, 0, 0x14, 0xe9, 0, 8, 0, 0]);
        packet[16..20].copy_from_slice(&group);
        packet[8] = hops;
        fix_v4(&mut packet);
        gateway.pair.wire = Some(vec![]);
        gateway.pair.send(true, packet);
        gateway.pass(SOON);
        assert_eq!(gateway.pair.wire.take().unwrap().len(), 1, "{group:?}");
    }
}

/// A packet that leads outside or nearly so, with right checksums.
fn packet_outside() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![Just(1_u8), Just(6), Just(17), any::<u8>()];
    let place = prop_oneof![Just(0_u16), Just(0x2000), any::<u16>()];
    let to = prop_oneof![Just([198, 51, 100, 7]), any::<[u8; 4]>()];
    (kinds, place, to, any::<u8>(), vec(any::<u8>(), 0..100)).prop_map(|(kind, place, to, hops, body)| {
        let mut packet = packet_v4(kind, &body);
        packet[6..8].copy_from_slice(&place.to_be_bytes());
        packet[8] = hops;
        packet[16..20].copy_from_slice(&to);
        fix_v4(&mut packet);
        packet
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever peers send and the host says: no panic, and everything ends.
    #[test]
    fn nothing_that_peers_send_or_the_host_says_is_left_behind(
        packets in vec(packet_outside(), 1..60),
        reports in vec((0_u64..8, 0_u8..9, vec(any::<u8>(), 0..100)), 0..60),
    ) {
        let mut gateway = Gateway::new(Forwarding::default());
        let mut reports = reports.into_iter();
        for packet in packets {
            gateway.pair.send(true, packet);
            gateway.pass(SOON);
            let Some((name, kind, bytes)) = reports.next() else { continue };
            let offender = Some(ip("198.51.100.1"));
            let complaint = Complaint { kind: 3, code: 1, offender, sequence: Some(7) };
            match kind {
                0 => gateway.tell(name, Report::Opened),
                1 => gateway.tell(name, Report::Ended),
                2 => gateway.tell(name, Report::Sent(bytes.len())),
                3 => gateway.tell(name, Report::Failed(Failure::Refused)),
                4 => gateway.tell(name, Report::Failed(Failure::Exhausted)),
                5 => gateway.tell(name, Report::Complained(complaint)),
                6 => gateway.tell(name, Report::Lost),
                _ => gateway.tell_bytes(name, &bytes),
            }
        }
        gateway.pass(Duration::from_secs(8_000));
        prop_assert_eq!(gateway.carried(), (0, 0));
        prop_assert_eq!(gateway.pair.b.stack.connection_count(), 0);
    }
}
