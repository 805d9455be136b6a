//! What a stack carries for its peers, in virtual time: the host's sockets are played by the test.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, MTU, Pair, at, fix_v4, ip, packet_v4, pattern};
use wirewright_netstack::{ConnectFailure, ConnectionId, Event, Forwarding, Read, Unreachable};
use wirewright_protocol::PublicKey;
use wirewright_runtime::outside::{Complaint, Failure, Kind, Order, Orders, Report, Reports};

const OUTSIDE: &str = "198.51.100.7";
const OUTSIDE6: &str = "2001:db8::7";
const SOON: Duration = Duration::from_millis(20);

/// A peer (a), a gateway (b), and what the gateway ordered.
struct Gateway {
    pair: Pair,
    done: Vec<(Order, Vec<u8>)>,
}

impl Gateway {
    fn new(settings: Forwarding) -> Self {
        let mut pair = Pair::new();
        pair.b.stack.forward(settings);
        let peer = PublicKey::from_bytes([1; 32]);
        pair.owners = vec![(ip(A4), peer), (ip(A6), peer)];
        Self { pair, done: vec![] }
    }

    /// Lets time pass, and keeps what was ordered meanwhile.
    fn pass(&mut self, time: Duration) {
        self.pair.pass(time);
        let mut orders = Orders::default();
        self.pair.b.stack.order(&mut orders);
        self.done
            .extend(orders.iter().map(|(order, bytes)| (order, bytes.to_vec())));
    }

    fn orders(&mut self) -> Vec<(Order, Vec<u8>)> {
        std::mem::take(&mut self.done)
    }

    fn tell(&mut self, name: u64, report: Report) {
        let mut reports = Reports::new(0);
        reports.push(name, report);
        self.pair.b.stack.reported(self.pair.now, &reports);
        self.pass(SOON);
    }

    fn tell_bytes(&mut self, name: u64, bytes: &[u8]) {
        let mut reports = Reports::new(bytes.len());
        reports.push_bytes(name, bytes);
        self.pair.b.stack.reported(self.pair.now, &reports);
        self.pass(SOON);
    }

    fn count(&self, name: &str) -> u64 {
        let forwarded = self.pair.b.stack.forwarded().unwrap();
        let mut counters = forwarded.counters.iter();
        counters.find(|(known, _)| *known == name).unwrap().1
    }

    fn carried(&self) -> (usize, usize) {
        let forwarded = self.pair.b.stack.forwarded().unwrap();
        (forwarded.connections, forwarded.flows)
    }

    /// A peer's attempt to connect, and the name of the socket that was ordered for it.
    fn dial(&mut self, to: &str) -> (ConnectionId, u64) {
        let now = self.pair.now;
        let client = self.pair.a.stack.connect(now, at(to, 80), None).unwrap();
        self.pass(SOON);
        let (name, kind, remote, _) = opened(&self.orders()).unwrap();
        assert_eq!((kind, remote), (Kind::Stream, at(to, 80)));
        (client, name)
    }

    /// A connection that the host has established.
    fn joined(&mut self, to: &str) -> (ConnectionId, u64, usize) {
        let (client, name) = self.dial(to);
        self.tell(name, Report::Opened);
        assert!(self.pair.a.events.contains(&Event::Connected(client)));
        let granted = self.granted(name);
        (client, name, granted)
    }

    /// What the host's socket may read, since it was asked last.
    fn granted(&mut self, name: u64) -> usize {
        let orders = self.orders();
        let granted = orders.iter().filter_map(|(order, _)| match order {
            Order::Read { name: whose, more } if *whose == name => Some(*more),
            _ => None,
        });
        granted.sum()
    }

    /// What was ordered to be sent.
    fn sent(&mut self, name: u64) -> Vec<u8> {
        let orders = self.orders();
        let sent = orders
            .iter()
            .filter(|(order, _)| matches!(order, Order::Send { name: whose, .. } if *whose == name));
        sent.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn opened(orders: &[(Order, Vec<u8>)]) -> Option<(u64, Kind, std::net::SocketAddr, bool)> {
    orders.iter().find_map(|(order, _)| match *order {
        Order::Open {
            name,
            kind,
            remote,
            own,
        } => Some((name, kind, remote, own)),
        _ => None,
    })
}

fn closed(orders: &[(Order, Vec<u8>)]) -> Option<bool> {
    orders.iter().find_map(|(order, _)| match *order {
        Order::Close { abort, .. } => Some(abort),
        _ => None,
    })
}

fn read(gateway: &mut Gateway, client: ConnectionId) -> (Vec<u8>, Read) {
    let (mut bytes, mut buffer) = (vec![], vec![0; 65_536]);
    loop {
        match gateway.pair.a.stack.read(client, &mut buffer) {
            Read::Data(len) => bytes.extend(&buffer[..len]),
            end => return (bytes, end),
        }
    }
}

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

/// A TCP header without options.
fn segment(from: u16, to: u16, sequence: u32, flags: u8) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
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
