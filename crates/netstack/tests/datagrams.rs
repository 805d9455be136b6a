//! UDP, ping and ICMP errors.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, MTU, Packets, Pair, Weather, at, config, fix_v4, ip, packet_v4, pattern};
use wirewright_netstack::{BindError, ConnectFailure, Event, PingError, SendError, Unreachable};

#[test]
fn a_datagram_and_its_answer_arrive_over_both_families() {
    for (from, to, most) in [(A4, B4, MTU - 28), (A6, B6, MTU - 48)] {
        let mut pair = Pair::new();
        let server = pair.b.stack.bind(None, 53).unwrap();
        let client = pair.a.stack.bind(Some(ip(from)), 0).unwrap();
        let (_, port, _) = pair.a.stack.socket_addresses(client).unwrap();
        let question = pattern(most, 1);
        pair.a.stack.send_to(client, Some(at(to, 53)), &question).unwrap();
        pair.pass(Duration::from_millis(10));
        assert!(pair.b.events.contains(&Event::Datagram(server)));
        let mut buffer = vec![0; 2_000];
        let datagram = pair.b.stack.receive_from(server, &mut buffer).unwrap();
        assert_eq!((datagram.source, datagram.destination), (at(from, port), ip(to)));
        assert!(buffer[..datagram.len] == question);
        pair.b.stack.send_to(server, Some(datagram.source), b"").unwrap();
        pair.pass(Duration::from_millis(10));
        let answer = pair.a.stack.receive_from(client, &mut buffer).unwrap();
        assert_eq!((answer.source, answer.len), (at(to, 53), 0));
        assert_eq!(pair.a.stack.receive_from(client, &mut buffer), None);
    }
}

#[test]
fn impossible_datagrams_are_refused_with_the_reason() {
    let mut pair = Pair::new();
    let a = &mut pair.a.stack;
    let socket = a.bind(None, 0).unwrap();
    let too_long = SendError::TooLong {
        len: MTU - 27,
        most: MTU - 28,
    };
    assert_eq!(
        a.send_to(socket, Some(at(B4, 53)), &vec![0; MTU - 27]),
        Err(too_long)
    );
    assert_eq!(a.send_to(socket, None, b""), Err(SendError::NotConnected));
    assert_eq!(
        a.send_to(socket, Some(at("255.255.255.255", 53)), b""),
        Err(SendError::InvalidRemote)
    );
    assert_eq!(
        a.send_to(socket, Some(at(B4, 0)), b""),
        Err(SendError::InvalidRemote)
    );
    a.connect_socket(socket, at(B4, 53)).unwrap();
    assert_eq!(
        a.send_to(socket, Some(at(B4, 54)), b""),
        Err(SendError::InvalidRemote)
    );
    let narrow = a.bind(Some(ip(A6)), 0).unwrap();
    assert_eq!(
        a.send_to(narrow, Some(at(B4, 53)), b""),
        Err(SendError::NoLocalAddress)
    );
    a.close_socket(narrow);
    assert_eq!(a.send_to(narrow, Some(at(B6, 53)), b""), Err(SendError::Closed));
}

#[test]
fn impossible_sockets_are_refused_with_the_reason() {
    let mut tight = config(A4, A6);
    tight.limits.datagram_sockets = 2;
    tight.limits.ephemeral_ports = 40_000..=40_000;
    let mut pair = Pair::with(tight, config(B4, B6));
    let a = &mut pair.a.stack;
    assert_eq!(a.bind(Some(ip(B4)), 0), Err(BindError::NotOurAddress(ip(B4))));
    let first = a.bind(None, 0).unwrap();
    assert_eq!(a.bind(None, 0), Err(BindError::PortsExhausted));
    assert_eq!(a.bind(None, 40_000), Err(BindError::AddressInUse));
    assert_eq!(
        a.connect_socket(first, at("0.0.0.0", 53)),
        Err(BindError::InvalidRemote)
    );
    a.bind(None, 53).unwrap();
    assert_eq!(a.bind(None, 54), Err(BindError::TooManySockets));
}

#[test]
fn a_full_queue_drops_and_counts_and_keeps_what_it_has() {
    let mut pair = Pair::new();
    let server = pair.b.stack.bind(None, 53).unwrap();
    let client = pair.a.stack.bind(None, 0).unwrap();
    for number in 0..1_000_u32 {
        let mut payload = vec![7; 1_000];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        pair.a.stack.send_to(client, Some(at(B4, 53)), &payload).unwrap();
        pair.pass(Duration::from_millis(1));
    }
    pair.pass(Duration::from_millis(10));
    let (_, b) = pair.counters();
    // 256 KiB, less 96 bytes a datagram.
    assert_eq!((b.datagrams_received, b.datagram_queue_overflow), (239, 761));
    let mut buffer = [0; 1_000];
    for number in 0..239_u32 {
        pair.b.stack.receive_from(server, &mut buffer).unwrap();
        assert_eq!(buffer[..4], number.to_be_bytes());
    }
    assert_eq!(pair.b.stack.receive_from(server, &mut buffer), None);
}

#[test]
fn a_sender_without_measure_is_told_to_wait_and_when_to_go_on() {
    let mut pair = Pair::new();
    let client = pair.a.stack.bind(None, 0).unwrap();
    let sent = (0..10_000)
        .take_while(|_| pair.a.stack.send_to(client, Some(at(B4, 53)), &[0; 1_000]) != Err(SendError::Full))
        .count();
    assert!((500..1_000).contains(&sent), "{sent}");
    // Replies still find room.
    pair.a.stack.ping(pair.now, ip(B4), 8).unwrap_err();
    let mut other = Pair::new();
    other.b.stack.ping(other.now, ip(A4), 8).unwrap();
    let mut request = Packets::default();
    other.b.stack.poll(other.now, &mut request);
    pair.a.stack.receive(pair.now, &request.packets[0]);
    assert_eq!(
        (pair.counters().0.echo_requests, pair.counters().0.outbox_overflow),
        (1, 0)
    );

    pair.poll();
    assert_eq!(pair.a.events, [Event::DatagramWritable(client)]);
    pair.a
        .stack
        .send_to(client, Some(at(B4, 53)), &[0; 1_000])
        .unwrap();
}

#[test]
fn a_connected_socket_hears_from_its_remote_only() {
    let mut pair = Pair::new();
    let client = pair.a.stack.bind(None, 1_000).unwrap();
    pair.a.stack.connect_socket(client, at(B4, 53)).unwrap();
    let other = pair.b.stack.bind(None, 54).unwrap();
    pair.b
        .stack
        .send_to(other, Some(at(A4, 1_000)), b"forged")
        .unwrap();
    pair.pass(Duration::from_millis(10));
    assert_eq!(pair.a.stack.receive_from(client, &mut [0; 10]), None);
    assert_eq!(pair.counters().0.datagrams_unclaimed, 1);
    let right = pair.b.stack.bind(None, 53).unwrap();
    pair.b
        .stack
        .send_to(right, Some(at(A4, 1_000)), b"right")
        .unwrap();
    pair.pass(Duration::from_millis(10));
    assert_eq!(pair.a.stack.receive_from(client, &mut [0; 10]).unwrap().len, 5);
}

#[test]
fn a_closed_port_is_reported_to_a_connected_socket() {
    for (from, to) in [(A4, B4), (A6, B6)] {
        let mut pair = Pair::new();
        let client = pair.a.stack.bind(Some(ip(from)), 0).unwrap();
        pair.a.stack.connect_socket(client, at(to, 53)).unwrap();
        // Long enough to be quoted in part only.
        pair.a.stack.send_to(client, None, &[1; 1_300]).unwrap();
        pair.pass(Duration::from_millis(10));
        assert_eq!(
            pair.a.events,
            [Event::DatagramUnreachable(client, Unreachable::Port)]
        );
        assert_eq!(pair.counters().0.icmp_errors, 1);
        assert_eq!(pair.counters().1.port_unreachables_sent, 1);
    }
}

#[test]
fn errors_about_closed_ports_are_limited() {
    let mut scarce = config(B4, B6);
    scarce.limits.error_replies = 10;
    let mut pair = Pair::with(config(A4, A6), scarce);
    let client = pair.a.stack.bind(None, 0).unwrap();
    for port in 1..=100 {
        pair.a.stack.send_to(client, Some(at(B4, port)), b"?").unwrap();
    }
    pair.pass(Duration::from_millis(10));
    let (_, b) = pair.counters();
    assert_eq!(
        (
            b.port_unreachables_sent,
            b.error_replies_suppressed,
            b.datagrams_unclaimed
        ),
        (10, 90, 100)
    );
}

#[test]
fn an_error_about_a_syn_is_told_and_the_attempt_goes_on() {
    let mut pair = Pair::with_weather(Weather {
        cut: true,
        ..Weather::default()
    });
    pair.wire = Some(vec![]);
    let id = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.poll();
    let (_, syn) = pair.wire.as_ref().unwrap()[0].clone();
    let mut wrong = syn.clone();
    wrong[24] ^= 1; // another sequence number: somebody who guesses
    pair.a.stack.receive(pair.now, &host_unreachable(&wrong));
    assert_eq!(pair.a.stack.next_event(), None);
    pair.a.stack.receive(pair.now, &host_unreachable(&syn));
    assert_eq!(
        pair.a.stack.next_event(),
        Some(Event::ConnectionUnreachable(id, Unreachable::Host))
    );
    let a = pair.counters().0;
    assert_eq!((a.icmp_errors, a.icmp_errors_unmatched), (1, 1));

    pair.pass(Duration::from_secs(31));
    let why = ConnectFailure::Unreachable(Unreachable::Host);
    assert!(pair.a.events.contains(&Event::ConnectFailed(id, why)));
}

#[test]
fn an_error_about_an_established_connection_is_ignored() {
    let mut pair = Pair::new();
    pair.wire = Some(vec![]);
    let (client, _, _) = pair.connected(A4, B4);
    pair.a.stack.write(client, b"x").unwrap();
    pair.poll();
    let (_, segment) = pair.wire.as_ref().unwrap().last().unwrap().clone();
    pair.a.stack.receive(pair.now, &host_unreachable(&segment));
    assert_eq!(pair.counters().0.icmp_errors_unmatched, 1);
    assert_eq!(pair.a.stack.next_event(), None);
}

#[test]
fn pings_are_answered_and_measured() {
    for to in [B4, B6] {
        let mut pair = Pair::with_weather(Weather {
            delay: Duration::from_millis(7),
            ..Weather::default()
        });
        for (sequence, payload_len) in [(0, 0), (1, 5), (2, 56), (3, 1_300)] {
            let id = pair.a.stack.ping(pair.now, ip(to), payload_len).unwrap();
            pair.pass(Duration::from_millis(20));
            let source = ip(to);
            let elapsed = Duration::from_millis(14);
            let pong = Event::Pong {
                id,
                source,
                sequence,
                payload_len,
                hop_limit: 64,
                elapsed,
            };
            assert_eq!(pair.a.events, [pong]);
            pair.a.events.clear();
        }
        assert_eq!(
            (pair.counters().0.echo_replies, pair.counters().1.echo_requests),
            (4, 4)
        );
    }
}

#[test]
fn a_ping_that_is_too_long_or_goes_nowhere_is_refused() {
    let mut pair = Pair::new();
    let too_long = PingError::TooLong {
        len: MTU - 27,
        most: MTU - 28,
    };
    assert_eq!(pair.a.stack.ping(pair.now, ip(B4), MTU - 27), Err(too_long));
    assert_eq!(
        pair.a.stack.ping(pair.now, ip("0.0.0.0"), 8),
        Err(PingError::InvalidRemote)
    );
}

#[test]
fn a_lost_ping_is_forgotten_and_a_repeated_reply_is_told_once() {
    let mut pair = Pair::new();
    pair.wire = Some(vec![]);
    pair.a.stack.ping(pair.now, ip(B4), 8).unwrap();
    pair.pass(Duration::from_millis(10));
    let (_, reply) = pair.wire.as_ref().unwrap().last().unwrap().clone();
    pair.a.stack.receive(pair.now, &reply);
    assert_eq!(pair.a.events.len(), 1);
    assert_eq!(pair.counters().0.echo_replies_unmatched, 1);

    pair.weather.cut = true;
    pair.a.stack.ping(pair.now, ip(B4), 8).unwrap();
    pair.pass(Duration::from_secs(61));
    pair.poll();
    assert_eq!(pair.counters().0.pings_expired, 1);
}

#[test]
fn an_error_about_a_ping_is_told_once() {
    let mut pair = Pair::with_weather(Weather {
        cut: true,
        ..Weather::default()
    });
    pair.wire = Some(vec![]);
    let id = pair.a.stack.ping(pair.now, ip(B4), 8).unwrap();
    pair.poll();
    let error = host_unreachable(&pair.wire.as_ref().unwrap()[0].1.clone());
    for _ in 0..3 {
        pair.a.stack.receive(pair.now, &error);
    }
    let told: Vec<_> = pair.a.stack.events().collect();
    assert_eq!(told, [Event::PingUnreachable(id, Unreachable::Host)]);
}

/// ICMP destination unreachable, host unreachable, from a router to the source of an IPv4 packet.
fn host_unreachable(about: &[u8]) -> Vec<u8> {
    let quote = &about[..28.min(about.len())];
    let mut packet = vec![0x45, 0, 0, 28 + 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 9, 0, 200];
    packet.extend(&about[12..16]);
    packet.extend([3, 1, 0, 0, 0, 0, 0, 0]);
    packet.extend(quote);
    fix_v4(&mut packet);
    packet
}

#[test]
fn an_echo_request_whose_reply_would_be_too_long_is_counted() {
    let mut pair = Pair::new();
    for (payload, answered) in [(MTU - 28, 1), (MTU - 27, 0)] {
        let mut request = vec![8, 0, 0, 0, 0, 0, 0, 0];
        request.resize(8 + payload, 7);
        pair.b.stack.receive(pair.now, &packet_v4(1, &request));
        let counters = pair.counters().1;
        let counts = (counters.echo_requests, counters.echo_requests_too_long);
        assert_eq!(counts, (1, 1 - answered));
    }
}
