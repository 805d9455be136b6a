//! Connections that follow each other between the same addresses and ports.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use common::{A4, A6, B4, B6, Pair, Stream, at, ip, packet_v4, pattern};
use wirewright_netstack::{CloseReason, ConnectionId, Event, ListenerId, Netstack, Read};

/// There and back on the link of `Pair::new`.
const ROUND_TRIP: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

struct Open {
    client: ConnectionId,
    server: ConnectionId,
    local: SocketAddr,
    /// How long it took the client to be connected.
    took: Duration,
}

/// A connection from A, from this port of it or one of its choice.
fn open(pair: &mut Pair, listener: ListenerId, (from, to): (&str, &str), port: u16) -> Open {
    let (begun, local) = (pair.now, Some(SocketAddr::new(ip(from), port)));
    let client = pair.a.stack.connect(begun, at(to, 80), local).unwrap();
    let mut server = None;
    pair.until(20 * SECOND, "handshake", |pair| {
        pair.a.events.contains(&Event::Connected(client))
    });
    let took = pair.now.saturating_since(begun);
    pair.until(20 * SECOND, "accept", |pair| {
        server = server.or_else(|| pair.b.stack.accept(listener));
        server.is_some()
    });
    let (server, _, remote) = server.unwrap();
    assert_eq!(pair.a.stack.addresses(client).unwrap().0, remote);
    Open {
        client,
        server,
        local: remote,
        took,
    }
}

/// B ends first, so that it is left with TIME-WAIT.
fn close(pair: &mut Pair, open: &Open) {
    pair.b.stack.release(open.server);
    until_ended(pair, open.client);
    pair.a.stack.release(open.client);
    pair.until(SECOND, "A has forgotten it", |pair| {
        pair.a.stack.connection_count() == 0
    });
    pair.a.events.clear();
    pair.b.events.clear();
}

fn until_ended(pair: &mut Pair, client: ConnectionId) {
    pair.until(SECOND, "end", |pair| {
        pair.a.stack.read(client, &mut [0]) == Read::End
    });
}

#[test]
fn the_same_ports_connect_in_one_round_trip_a_second_after_the_server_closed() {
    for ends in [(A4, B4), (A6, B6)] {
        let mut pair = Pair::new();
        let listener = pair.b.stack.listen(None, 80, 16).unwrap();
        for port in 40_000..40_020 {
            for _ in 0..3 {
                let connection = open(&mut pair, listener, ends, port);
                assert_eq!(connection.took, ROUND_TRIP, "port {port}");
                close(&mut pair, &connection);
                pair.pass(SECOND);
            }
        }
    }
}

#[test]
fn the_same_ports_connect_in_one_round_trip_at_once() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    for _ in 0..20 {
        let connection = open(&mut pair, listener, (A4, B4), 40_000);
        assert_eq!(connection.took, ROUND_TRIP);
        close(&mut pair, &connection);
    }
}

#[test]
fn two_thousand_short_connections_in_a_row_use_two_thousand_ports_and_none_stalls() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    let mut ports = HashSet::new();
    for _ in 0..2_000 {
        let connection = open(&mut pair, listener, (A4, B4), 0);
        assert_eq!(connection.took, ROUND_TRIP);
        assert!(ports.insert(connection.local.port()), "{}", connection.local);
        close(&mut pair, &connection);
    }
}

/// Sends more than the clock of sequence numbers counts meanwhile, and B ends.
fn outrun_the_clock(pair: &mut Pair, listener: ListenerId) -> Open {
    let connection = open(pair, listener, (A4, B4), 40_000);
    let begun = pair.now;
    let mut up = Stream::new(connection.client, pattern(5_000_000, 1));
    let mut down = Stream::new(connection.server, vec![]);
    up.shuts_down = false;
    pair.until(10 * SECOND, "transfer", |pair| {
        up.go(&mut pair.a.stack);
        down.take(&mut pair.b.stack);
        if down.read.len() == up.to_write.len() {
            down.give(&mut pair.b.stack, 0);
        }
        up.end.is_some()
    });
    let took = pair.now.saturating_since(begun);
    assert!(took.as_nanos() / 4_000 < 5_000_000, "the clock kept up: {took:?}");
    connection
}

#[test]
fn ports_whose_last_connection_outran_the_clock_connect_in_two_round_trips() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    let last = outrun_the_clock(&mut pair, listener);
    close(&mut pair, &last);
    pair.pass(SECOND);
    // The SYN is taken for an old one; what it gets for an answer is answered with a reset, and another SYN.
    let connection = open(&mut pair, listener, (A4, B4), 40_000);
    assert_eq!(connection.took, 2 * ROUND_TRIP);
}

#[test]
fn a_connection_that_its_user_still_holds_gives_its_ports_up_and_keeps_its_bytes() {
    for outruns in [false, true] {
        let mut pair = Pair::new();
        let listener = pair.b.stack.listen(None, 80, 16).unwrap();
        let held = if outruns {
            outrun_the_clock(&mut pair, listener)
        } else {
            let held = open(&mut pair, listener, (A4, B4), 40_000);
            pair.b.stack.shutdown(held.server);
            until_ended(&mut pair, held.client);
            pair.a.stack.write(held.client, b"the last words").unwrap();
            held
        };
        pair.a.stack.release(held.client);
        pair.until(SECOND, "A has forgotten it", |pair| {
            pair.a.stack.connection_count() == 0
        });

        let connection = open(&mut pair, listener, (A4, B4), 40_000);
        assert_eq!(connection.took, if outruns { 2 } else { 1 } * ROUND_TRIP);
        let mut buffer = [0; 64];
        if !outruns {
            assert_eq!(pair.b.stack.read(held.server, &mut buffer), Read::Data(14));
            assert_eq!(&buffer[..14], b"the last words");
        }
        assert_eq!(pair.b.stack.read(held.server, &mut buffer), Read::End);
        pair.b.stack.release(held.server);
        // What is left of the old one does not stand in the way of the new one.
        pair.pass(11 * SECOND);
        assert_eq!(pair.a.stack.write(connection.client, b"new"), Ok(3));
        pair.pass(SECOND);
        assert_eq!(pair.b.stack.read(connection.server, &mut buffer), Read::Data(3));
    }
}

#[test]
fn a_client_that_forgot_its_connection_connects_again_between_the_same_ports() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    let forgotten = open(&mut pair, listener, (A4, B4), 40_000);
    pair.pass(SECOND);
    pair.a.stack = Netstack::new(common::config(A4, A6), [77; 32]).unwrap();
    pair.a.events.clear();
    let connection = open(&mut pair, listener, (A4, B4), 40_000);
    assert_eq!(connection.took, 2 * ROUND_TRIP);
    let over = Event::Closed(forgotten.server, CloseReason::Reset);
    assert!(pair.b.events.contains(&over), "{:?}", pair.b.events);
}

#[test]
fn a_syn_is_answered_whatever_its_number_so_that_who_forgot_a_connection_learns_of_it() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    open(&mut pair, listener, (A4, B4), 40_000);
    for quarter in 0..4_u32 {
        pair.pass(SECOND);
        pair.wire = Some(vec![]);
        let mut syn = syn();
        syn[24..28].copy_from_slice(&(quarter << 30).to_be_bytes());
        common::fix_v4(&mut syn);
        pair.b.stack.receive(pair.now, &syn);
        pair.poll();
        let answered = pair.wire.iter().flatten().any(|(from_a, _)| !from_a);
        assert!(answered, "a number in quarter {quarter}");
    }
}

#[test]
fn an_old_syn_does_not_end_a_connection_in_time_wait() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    let last = open(&mut pair, listener, (A4, B4), 40_000);
    pair.wire = Some(vec![]);
    close(&mut pair, &last);
    pair.pass(SECOND);
    let offered = pair.b.stack.counters().connections_offered;
    let mut syn = syn();
    syn[24..28].copy_from_slice(&1u32.to_be_bytes());
    let expected = acknowledged_by_b(&pair);
    syn[24..28].copy_from_slice(&expected.wrapping_sub(1).to_be_bytes());
    common::fix_v4(&mut syn);
    pair.b.stack.receive(pair.now, &syn);
    pair.wire = Some(vec![]);
    pair.poll();
    assert_eq!(acknowledged_by_b(&pair), expected);
    assert_eq!(pair.b.stack.counters().connections_offered, offered);
}

#[test]
fn a_remote_side_that_acknowledges_what_nobody_sent_provokes_one_syn_and_a_reset_each_time() {
    let mut pair = Pair::new();
    pair.wire = Some(vec![]);
    pair.weather.cut = true;
    let local = Some(SocketAddr::new(ip(A4), 40_000));
    pair.a.stack.connect(pair.now, at(B4, 80), local).unwrap();
    pair.poll();
    assert_eq!(sent_by_a(&mut pair), [SYN]);
    let answer = challenge();
    let told = u32::from_be_bytes(answer[28..32].try_into().unwrap());
    let mut answered = || {
        pair.a.stack.receive(pair.now, &answer);
        pair.poll();
        assert_eq!(
            sequence(&pair.wire.as_ref().unwrap()[0].1),
            told,
            "the number of the reset"
        );
        sent_by_a(&mut pair)
    };
    assert_eq!(answered(), [RST, SYN]);
    assert_eq!(answered(), [RST]);
    assert_eq!(answered(), [RST]);
    // The attempt goes on as if nothing had come.
    pair.pass(10 * SECOND);
    assert!(sent_by_a(&mut pair).contains(&SYN));
}

#[test]
fn the_numbers_of_two_connections_at_once_tell_nothing_of_each_other() {
    let numbers = |seed: u8| -> Vec<u32> {
        let mut pair = Pair::new();
        pair.a.stack = Netstack::new(common::config(A4, A6), [seed; 32]).unwrap();
        pair.wire = Some(vec![]);
        for port in 1..=500 {
            pair.a.stack.connect(pair.now, at(B4, port), None).unwrap();
        }
        pair.poll();
        let wire = pair.wire.take().unwrap();
        wire.iter().map(|(_, packet)| sequence(packet)).collect()
    };
    let distances = |seed| -> Vec<u32> {
        numbers(seed)
            .windows(2)
            .map(|pair| pair[1].wrapping_sub(pair[0]))
            .collect()
    };
    let (mine, yours) = (distances(5), distances(6));
    assert_eq!(mine.len(), 499);
    for bit in 0..32 {
        let set = mine.iter().filter(|distance| **distance >> bit & 1 == 1).count();
        assert!((190..=310).contains(&set), "bit {bit}: {set}");
    }
    assert!(mine.iter().zip(&yours).all(|(mine, yours)| mine != yours));
}

const SYN: u8 = 2;
const RST: u8 = 4;

fn sequence(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[24..28].try_into().unwrap())
}

/// The flags of the segments that A has sent since last asked.
fn sent_by_a(pair: &mut Pair) -> Vec<u8> {
    let wire = pair.wire.replace(vec![]).unwrap();
    let of_a = wire.iter().filter(|(from_a, _)| *from_a);
    of_a.map(|(_, packet)| packet[33]).collect()
}

/// What B last said it expects.
fn acknowledged_by_b(pair: &Pair) -> u32 {
    let mut of_b = pair.wire.iter().flatten().filter(|(from_a, _)| !from_a);
    let (_, packet) = of_b.next_back().unwrap();
    u32::from_be_bytes(packet[28..32].try_into().unwrap())
}

/// A SYN from A's port 40000.
fn syn() -> Vec<u8> {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&40_000u16.to_be_bytes());
    segment[2..4].copy_from_slice(&80u16.to_be_bytes());
    (segment[12], segment[13]) = (5 << 4, SYN);
    packet_v4(6, &segment)
}

/// An acknowledgement to that port, of nothing that it sent.
fn challenge() -> Vec<u8> {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&80u16.to_be_bytes());
    segment[2..4].copy_from_slice(&40_000u16.to_be_bytes());
    segment[8..12].copy_from_slice(&0x1234_5678u32.to_be_bytes());
    (segment[12], segment[13]) = (5 << 4, 16);
    let mut packet = packet_v4(6, &segment);
    packet[12..16].copy_from_slice(&[10, 9, 0, 2]);
    packet[16..20].copy_from_slice(&[10, 9, 0, 1]);
    common::fix_v4(&mut packet);
    packet
}
