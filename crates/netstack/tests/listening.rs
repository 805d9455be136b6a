//! Listeners: backlog, floods of SYNs, limits.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{A4, A6, B4, B6, Packets, Pair, Weather, at, config, fix_v4, ip, packet_v4};
use wirewright_netstack::{CloseReason, ConnectFailure, Event, ListenError};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_thousand_simultaneous_syns_all_become_connections() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 1_000).unwrap();
    let mut clients: HashSet<_> = (0..1_000)
        .map(|_| pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap())
        .collect();
    let mut accepted = 0;
    // Nobody accepts until all have arrived.
    pair.pass(Duration::from_millis(100));
    pair.until(Duration::from_secs(1), "handshakes", |pair| {
        while pair.b.stack.accept(listener).is_some() {
            accepted += 1;
        }
        for event in pair.a.events.drain(..) {
            if let Event::Connected(id) = event {
                clients.remove(&id);
            }
        }
        accepted == 1_000 && clients.is_empty()
    });
    let (_, b) = pair.counters();
    assert_eq!(
        (b.backlog_overflow, b.connections_overflow, b.connections_offered),
        (0, 0, 1_000)
    );
}

#[test]
fn syns_above_the_backlog_are_dropped_and_counted_and_get_in_later() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 10).unwrap();
    for _ in 0..25 {
        pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    }
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.counters().1.backlog_overflow, 15);
    let mut accepted = 0;
    pair.until(Duration::from_secs(29), "the rest", |pair| {
        while pair.b.stack.accept(listener).is_some() {
            accepted += 1;
        }
        accepted == 25
    });
}

#[test]
fn a_full_backlog_of_established_connections_is_as_full_as_one_of_half_open_ones() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 2).unwrap();
    for _ in 0..2 {
        pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    }
    pair.pass(Duration::from_secs(1));
    let third = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.pass(Duration::from_millis(500));
    assert!(!pair.a.events.contains(&Event::Connected(third)));
    assert!(pair.b.stack.accept(listener).is_some());
    pair.until(Duration::from_secs(5), "third", |pair| {
        pair.a.events.contains(&Event::Connected(third))
    });
}

#[test]
fn half_open_connections_are_forgotten_and_make_room() {
    let mut pair = Pair::new();
    pair.b.stack.listen(None, 80, 1).unwrap();
    // A SYN whose sender never answers.
    let client = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    let mut sink = Packets::default();
    pair.a.stack.poll(pair.now, &mut sink);
    for packet in sink.packets {
        pair.b.stack.receive(pair.now, &packet);
    }
    pair.weather.cut = true;
    pair.pass(Duration::from_secs(31));
    assert_eq!(pair.b.stack.connection_count(), 0);
    assert_eq!(pair.counters().1.half_open_dropped, 1);
    assert!(
        pair.a
            .events
            .contains(&Event::ConnectFailed(client, ConnectFailure::TimedOut))
    );

    pair.weather.cut = false;
    let next = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.until(LONG, "next", |pair| {
        pair.a.events.contains(&Event::Connected(next))
    });
}

#[test]
fn a_listener_on_an_address_does_not_answer_for_others_and_comes_before_one_on_all() {
    let mut pair = Pair::new();
    let all = pair.b.stack.listen(None, 80, 4).unwrap();
    let one = pair.b.stack.listen(Some(ip(B6)), 80, 4).unwrap();
    pair.a.stack.connect(pair.now, at(B6, 80), None).unwrap();
    pair.pass(Duration::from_millis(50));
    assert!(pair.b.stack.accept(all).is_none());
    assert!(pair.b.stack.accept(one).is_some());
    pair.b.stack.close_listener(all);
    let refused = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.pass(Duration::from_millis(50));
    assert!(
        pair.a
            .events
            .contains(&Event::ConnectFailed(refused, ConnectFailure::Refused))
    );
}

#[test]
fn closing_a_listener_resets_who_was_not_accepted_and_spares_who_was() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 4).unwrap();
    let (kept, _) = pair.connect_to(listener, A4, B4);
    let lost = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.pass(Duration::from_millis(50));
    pair.b.stack.close_listener(listener);
    pair.pass(Duration::from_millis(50));
    assert!(pair.a.events.contains(&Event::Closed(lost, CloseReason::Reset)));
    assert!(!pair.a.events.contains(&Event::Closed(kept, CloseReason::Reset)));
    assert_eq!(pair.b.stack.connection_count(), 1);
    assert!(pair.b.stack.accept(listener).is_none());
    pair.b.stack.listen(None, 80, 4).unwrap();
}

#[test]
fn accepted_is_told_once_until_asked_again() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 100).unwrap();
    for _ in 0..50 {
        pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    }
    let mut sink = Packets::default();
    pair.a.stack.poll(pair.now, &mut sink);
    for packet in &sink.packets {
        pair.b.stack.receive(pair.now, packet);
    }
    let mut back = Packets::default();
    pair.b.stack.poll(pair.now, &mut back);
    for packet in &back.packets {
        pair.a.stack.receive(pair.now, packet);
    }
    let mut sink = Packets::default();
    pair.a.stack.poll(pair.now, &mut sink);
    for packet in &sink.packets {
        pair.b.stack.receive(pair.now, packet);
    }
    let told: Vec<_> = pair.b.stack.events().collect();
    assert_eq!(told, [Event::Accepted(listener)]);
    assert_eq!(std::iter::from_fn(|| pair.b.stack.accept(listener)).count(), 50);
}

#[test]
fn data_that_came_before_accept_is_told_after_it() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 1).unwrap();
    let client = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.a.stack.write(client, b"early").unwrap();
    pair.until(LONG, "connected", |pair| {
        pair.a.events.contains(&Event::Connected(client))
    });
    pair.a.stack.write(client, b"early").unwrap();
    pair.pass(Duration::from_millis(50));
    assert!(
        !pair
            .b
            .events
            .iter()
            .any(|event| matches!(event, Event::Readable(_)))
    );
    let (server, local, remote) = pair.b.stack.accept(listener).unwrap();
    assert_eq!(pair.b.stack.next_event(), Some(Event::Readable(server)));
    assert_eq!(
        (local, Some(remote)),
        (at(B4, 80), pair.a.stack.addresses(client).map(|(local, _)| local))
    );
}

#[test]
fn the_number_of_connections_is_bounded() {
    let mut tight = config(B4, B6);
    tight.limits.connections = 3;
    let mut pair = Pair::with(config(A4, A6), tight);
    pair.b.stack.listen(None, 80, 100).unwrap();
    for _ in 0..5 {
        pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    }
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.b.stack.connection_count(), 3);
    assert_eq!(pair.counters().1.connections_overflow, 2);
}

#[test]
fn impossible_listeners_are_refused_at_once() {
    let mut tight = config(A4, A6);
    tight.limits.listeners = 3;
    tight.limits.ephemeral_ports = 40_000..=40_000;
    let mut pair = Pair::with(tight, config(B4, B6));
    let stack = &mut pair.a.stack;
    assert_eq!(
        stack.listen(Some(ip(B4)), 80, 1),
        Err(ListenError::NotOurAddress(ip(B4)))
    );
    let first = stack.listen(None, 0, 1).unwrap();
    assert_eq!(stack.listener_port(first), Some(40_000));
    assert_eq!(stack.listen(None, 0, 1), Err(ListenError::PortsExhausted));
    assert_eq!(stack.listen(None, 40_000, 1), Err(ListenError::AddressInUse));
    stack.listen(Some(ip(A4)), 40_000, 1).unwrap();
    stack.listen(Some(ip(A6)), 40_000, 1).unwrap();
    assert_eq!(stack.listen(None, 80, 1), Err(ListenError::TooManyListeners));
    stack.close_listener(first);
    stack.listen(None, 80, 1).unwrap();
}

#[test]
fn a_flood_of_syns_from_nowhere_costs_no_more_than_the_backlog() {
    let mut pair = Pair::with_weather(Weather {
        cut: true,
        ..Weather::default()
    });
    pair.b.stack.listen(None, 80, 16).unwrap();
    for _ in 0..2_000 {
        pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    }
    let mut sink = Packets::default();
    pair.a.stack.poll(pair.now, &mut sink);
    for packet in &sink.packets {
        pair.b.stack.receive(pair.now, packet);
    }
    assert_eq!(pair.b.stack.connection_count(), 16);
    assert_eq!(pair.counters().1.backlog_overflow, 1_984);
}

/// A SYN from a host that answers nothing.
fn syn_from(host: u8, port: u16) -> Vec<u8> {
    let mut body = port.to_be_bytes().to_vec();
    body.extend([0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]);
    let mut packet = packet_v4(6, &body);
    packet[15] = host;
    fix_v4(&mut packet);
    packet
}

#[test]
fn a_flood_of_syns_from_one_address_keeps_nobody_else_out() {
    let mut pair = Pair::new();
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    for port in 1..=1_000 {
        pair.b.stack.receive(pair.now, &syn_from(3, port));
    }
    let clients: Vec<_> = (0..8)
        .map(|_| pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap())
        .collect();
    pair.pass(Duration::from_millis(50));
    for client in clients {
        assert!(pair.a.events.contains(&Event::Connected(client)));
        assert!(pair.b.stack.accept(listener).is_some());
    }
    let b = pair.counters().1;
    assert_eq!((b.half_open_dropped, b.backlog_overflow), (8, 984));
}

#[test]
fn addresses_with_as_many_half_open_connections_do_not_drive_each_other_out() {
    let mut pair = Pair::new();
    pair.b.stack.listen(None, 80, 4).unwrap();
    for round in 0..10 {
        for host in 3..=6 {
            pair.b.stack.receive(pair.now, &syn_from(host, 100 + round));
        }
    }
    let b = pair.counters().1;
    assert_eq!((b.connections_offered, b.half_open_dropped), (4, 0));
}
