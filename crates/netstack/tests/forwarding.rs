//! Connections that a stack carries for its peers, in virtual time: the host's sockets are played by the test.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::gateway::{Gateway, OUTSIDE, OUTSIDE6, SOON, closed, opened, read, segment};
use common::{A4, B4, B6, at, fix_v4, packet_v4, pattern};
use wirewright_netstack::{ConnectFailure, Event, Forwarding, Read, Unreachable};
use wirewright_protocol::PublicKey;
use wirewright_runtime::outside::{Failure, Order, Report, Reports};

#[test]
fn a_peer_is_answered_only_when_the_host_is_connected_and_then_bytes_go_both_ways() {
    for to in [OUTSIDE, OUTSIDE6] {
        let mut gateway = Gateway::new(Forwarding::default());
        let (client, name) = gateway.dial(to);
        gateway.pass(Duration::from_secs(5));
        assert!(
            gateway.pair.a.events.is_empty(),
            "nobody has answered outside yet"
        );
        assert_eq!(
            opened(&gateway.orders()),
            None,
            "the same SYN again is no other connection"
        );
        gateway.tell(name, Report::Opened);
        assert_eq!(gateway.pair.a.events, [Event::Connected(client)]);
        gateway.orders();
        gateway.pair.a.stack.write(client, b"question").unwrap();
        gateway.pass(SOON);
        assert_eq!(gateway.sent(name), b"question");
        gateway.tell_bytes(name, b"answer");
        assert_eq!(read(&mut gateway, client), (b"answer".to_vec(), Read::Nothing));
        assert_eq!((gateway.count("bytes_out"), gateway.count("bytes_in")), (8, 6));
    }
}

#[test]
fn what_the_host_says_of_an_attempt_is_what_the_peer_learns() {
    let unreachable = |kind| vec![ConnectFailure::Unreachable(kind)];
    for (failure, counter, expected) in [
        (
            Failure::Refused,
            "connections_refused",
            vec![ConnectFailure::Refused],
        ),
        (
            Failure::HostUnreachable,
            "connections_unreachable",
            unreachable(Unreachable::Host),
        ),
        (
            Failure::NetworkUnreachable,
            "connections_unreachable",
            unreachable(Unreachable::Host),
        ),
        (
            Failure::Prohibited,
            "connections_unreachable",
            unreachable(Unreachable::Prohibited),
        ),
        (Failure::Own, "denied_own", unreachable(Unreachable::Prohibited)),
        (Failure::Exhausted, "exhausted", vec![]),
    ] {
        for to in [OUTSIDE, OUTSIDE6] {
            let mut gateway = Gateway::new(Forwarding::default());
            let (client, name) = gateway.dial(to);
            gateway.tell(name, Report::Failed(failure));
            assert_eq!(gateway.count(counter), 1, "{failure:?}");
            assert_eq!(gateway.carried(), (0, 0));
            let told: Vec<_> = gateway
                .pair
                .a
                .events
                .iter()
                .filter_map(|event| match *event {
                    Event::ConnectFailed(id, failure) if id == client => Some(failure),
                    Event::ConnectionUnreachable(id, kind) if id == client => {
                        Some(ConnectFailure::Unreachable(kind))
                    }
                    // That there is nothing to read.
                    _ => None,
                })
                .collect();
            assert_eq!(told, expected, "{failure:?} {to}");
        }
    }
}

#[test]
fn who_never_answers_is_unreachable_after_the_time_for_that() {
    let mut gateway = Gateway::new(Forwarding {
        connect: Duration::from_secs(3),
        ..Forwarding::default()
    });
    let (client, _) = gateway.dial(OUTSIDE);
    gateway.pass(Duration::from_secs(4));
    assert_eq!(closed(&gateway.orders()), Some(true));
    let unreachable = Event::ConnectionUnreachable(client, Unreachable::Host);
    assert!(gateway.pair.a.events.contains(&unreachable));
}

#[test]
fn a_peer_that_gives_up_takes_the_attempt_with_it() {
    let mut gateway = Gateway::new(Forwarding::default());
    let mut syn = packet_v4(6, &segment(4_000, 80, 1_000, 0x02));
    syn[16..20].copy_from_slice(&[198, 51, 100, 7]);
    fix_v4(&mut syn);
    gateway.pair.send(true, syn.clone());
    gateway.pass(SOON);
    assert_eq!(gateway.carried(), (1, 0));
    for (sequence, left) in [(5_000, 1), (1_001, 0)] {
        let mut rst = packet_v4(6, &segment(4_000, 80, sequence, 0x04));
        rst[16..20].copy_from_slice(&[198, 51, 100, 7]);
        fix_v4(&mut rst);
        gateway.pair.send(true, rst);
        gateway.pass(SOON);
        assert_eq!(gateway.carried(), (left, 0), "only who knows the number may");
    }
    assert_eq!(closed(&gateway.orders()), Some(true));
}

#[test]
fn each_direction_ends_by_itself() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, name, _) = gateway.joined(OUTSIDE);
    gateway.pair.a.stack.write(client, b"all").unwrap();
    gateway.pair.a.stack.shutdown(client);
    gateway.pass(SOON);
    let orders = gateway.orders();
    assert_eq!(orders.last().unwrap().0, Order::Finish { name });
    gateway.tell(name, Report::Sent(3));
    assert_eq!(gateway.carried(), (1, 0));
    gateway.tell_bytes(name, b"still there");
    gateway.tell(name, Report::Ended);
    assert_eq!(read(&mut gateway, client), (b"still there".to_vec(), Read::End));
    assert_eq!(closed(&gateway.orders()), Some(false));
    assert_eq!(gateway.carried(), (0, 0));
    gateway.pass(Duration::from_secs(1));
    assert!(
        gateway
            .pair
            .a
            .events
            .iter()
            .any(|event| matches!(event, Event::Closed(..)))
    );
}

#[test]
fn the_hosts_end_comes_first_and_the_peer_may_go_on() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, name, _) = gateway.joined(OUTSIDE);
    gateway.tell(name, Report::Ended);
    assert_eq!(read(&mut gateway, client), (vec![], Read::End));
    gateway.pair.a.stack.write(client, b"more").unwrap();
    gateway.pair.a.stack.shutdown(client);
    gateway.pass(SOON);
    assert_eq!(gateway.carried(), (1, 0), "four bytes are not sent yet");
    assert_eq!(gateway.sent(name), b"more");
    gateway.tell(name, Report::Sent(4));
    assert_eq!(closed(&gateway.orders()), Some(false));
}

#[test]
fn a_half_that_breaks_breaks_the_other() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, name, _) = gateway.joined(OUTSIDE);
    gateway.tell(name, Report::Failed(Failure::Reset));
    assert!(matches!(read(&mut gateway, client).1, Read::Failed(_)));
    let (client, _, _) = gateway.joined(OUTSIDE);
    gateway.pair.a.stack.abort(client);
    gateway.pass(SOON);
    assert_eq!(closed(&gateway.orders()), Some(true));
    assert_eq!(gateway.carried(), (0, 0));
    assert_eq!(gateway.count("connections_broken"), 2);
}

#[test]
fn a_host_that_breaks_off_before_the_peer_has_acknowledged_leaves_nothing_behind() {
    let mut gateway = Gateway::new(Forwarding::default());
    let mut syn = packet_v4(6, &segment(4_000, 80, 1_000, 0x02));
    syn[16..20].copy_from_slice(&[198, 51, 100, 7]);
    fix_v4(&mut syn);
    gateway.pair.send(true, syn);
    gateway.pass(SOON);
    let (name, ..) = opened(&gateway.orders()).unwrap();
    // Both in one round, so that no answer of the peer comes between them.
    let mut reports = Reports::new(0);
    reports.push(name, Report::Opened);
    reports.push(name, Report::Failed(Failure::Reset));
    gateway.pair.b.stack.reported(gateway.pair.now, &reports);
    gateway.pass(Duration::from_secs(60));
    assert_eq!(gateway.carried(), (0, 0));
    assert_eq!(gateway.pair.b.stack.connection_count(), 0);
}

#[test]
fn a_host_that_takes_nothing_stops_the_peer() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, name, _) = gateway.joined(OUTSIDE);
    let bytes = pattern(4 << 20, 1);
    let mut written = 0;
    for _ in 0..200 {
        written += gateway.pair.a.stack.write(client, &bytes[written..]).unwrap();
        gateway.pass(SOON);
    }
    let first = gateway.sent(name);
    assert!(first.len() <= 128 << 10, "{} bytes are ordered", first.len());
    let mut all = first.clone();
    let mut unsent = first.len();
    while all.len() < written {
        gateway.tell(name, Report::Sent(unsent));
        gateway.pass(Duration::from_millis(300));
        let next = gateway.sent(name);
        assert!(!next.is_empty() && next.len() <= 128 << 10);
        unsent = next.len();
        all.extend(next);
    }
    assert!(all == bytes[..written], "it arrives whole");
}

#[test]
fn what_is_ordered_in_one_round_is_bounded_and_nothing_is_forgotten() {
    let mut gateway = Gateway::new(Forwarding::default());
    let mut joined: Vec<_> = (0..12)
        .map(|_| (gateway.joined(OUTSIDE), Vec::<u8>::new()))
        .collect();
    let bytes = pattern(256 << 10, 1);
    for ((client, ..), _) in &joined {
        assert_eq!(gateway.pair.a.stack.write(*client, &bytes), Ok(bytes.len()));
    }
    gateway.pass(Duration::from_secs(5));
    // The host takes from all of them at once.
    while joined.iter().any(|(_, all)| all.len() < bytes.len()) {
        let orders = gateway.orders();
        let mut reports = Reports::new(0);
        for ((_, name, _), all) in &mut joined {
            let before = all.len();
            for (order, bytes) in &orders {
                if matches!(order, Order::Send { name: whose, .. } if whose == name) {
                    all.extend(bytes);
                }
            }
            reports.push(*name, Report::Sent(all.len() - before));
        }
        assert!(!orders.is_empty(), "something is forgotten");
        gateway.pair.b.stack.reported(gateway.pair.now, &reports);
        gateway.pass(Duration::from_secs(1));
    }
    assert!(joined.iter().all(|(_, all)| *all == bytes));
    let most = gateway.pair.most_ordered;
    assert!(((1 << 20)..=(1 << 20) + (64 << 10)).contains(&most), "{most}");
}

#[test]
fn a_peer_that_reads_nothing_stops_the_host() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, name, granted) = gateway.joined(OUTSIDE);
    let bytes = pattern(16 << 20, 1);
    let (mut told, mut allowed) = (0, granted);
    while allowed > 0 {
        gateway.tell_bytes(name, &bytes[told..told + allowed]);
        told += allowed;
        gateway.pass(Duration::from_secs(1));
        allowed = gateway.granted(name);
        assert!(told < 8 << 20, "it goes on for ever");
    }
    let mut all = vec![];
    while all.len() < told {
        let (some, end) = read(&mut gateway, client);
        assert_eq!(end, Read::Nothing);
        all.extend(some);
        gateway.pass(Duration::from_secs(1));
    }
    assert!(all == bytes[..told]);
    assert!(gateway.granted(name) > 0, "who reads again is sent more");
}

#[test]
fn the_gateways_own_address_is_its_own() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, server, _) = gateway.pair.connected(A4, B4);
    gateway.pair.a.stack.write(client, b"inside").unwrap();
    gateway.pass(SOON);
    let mut buffer = [0; 100];
    assert_eq!(gateway.pair.b.stack.read(server, &mut buffer), Read::Data(6));
    let refused = gateway
        .pair
        .a
        .stack
        .connect(gateway.pair.now, at(B6, 81), None)
        .unwrap();
    gateway.pass(SOON);
    assert!(
        gateway
            .pair
            .a
            .events
            .contains(&Event::ConnectFailed(refused, ConnectFailure::Refused))
    );
    assert!(gateway.orders().is_empty());
    assert_eq!(
        gateway.pair.b.stack.held().connections,
        1,
        "carried ones are not the user's"
    );
}

#[test]
fn what_was_carried_for_an_address_ends_when_it_belongs_to_another() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, _, _) = gateway.joined(OUTSIDE);
    let socket = gateway.pair.a.stack.bind(None, 0).unwrap();
    gateway
        .pair
        .a
        .stack
        .send_to(socket, Some(at(OUTSIDE, 53)), b"?")
        .unwrap();
    gateway.pass(SOON);
    let peer = PublicKey::from_bytes([1; 32]);
    gateway.pair.b.stack.recheck(&|_| Some(peer));
    assert_eq!(gateway.carried(), (1, 1));
    let other = PublicKey::from_bytes([9; 32]);
    gateway.pair.b.stack.recheck(&|_| Some(other));
    gateway.pass(SOON);
    assert_eq!(gateway.carried(), (0, 0));
    assert!(matches!(read(&mut gateway, client).1, Read::Failed(_)));
    assert_eq!(gateway.count("cut"), 2);
}

#[test]
fn an_idle_connection_is_ended() {
    let mut gateway = Gateway::new(Forwarding {
        connection_idle: Duration::from_secs(100),
        ..Forwarding::default()
    });
    let (client, name, _) = gateway.joined(OUTSIDE);
    gateway.pass(Duration::from_secs(80));
    gateway.tell_bytes(name, b"a sign of life");
    gateway.pass(Duration::from_secs(80));
    assert_eq!(gateway.carried(), (1, 0));
    read(&mut gateway, client);
    gateway.pass(Duration::from_secs(30));
    assert_eq!(gateway.carried(), (0, 0));
    assert!(matches!(read(&mut gateway, client).1, Read::Failed(_)));
    assert_eq!(gateway.count("connections_idle"), 1);
}
