//! Connections: established, used, closed in every way.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, Pair, Stream, Weather, at, config, ip, pattern, transfer};
use wirewright_netstack::{
    CloseReason, Config, ConnectError, ConnectFailure, Event, Keepalive, Read, WriteError,
};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn data_arrives_whole_in_both_directions_over_ipv4() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    transfer(&mut pair, (client, server), 3_000_000, 2_000_000, LONG);
}

#[test]
fn data_arrives_whole_in_both_directions_over_ipv6() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A6, B6);
    transfer(&mut pair, (client, server), 3_000_000, 2_000_000, LONG);
}

#[test]
fn data_arrives_whole_over_a_slow_and_lossy_path() {
    let weather = Weather {
        delay: Duration::from_millis(25),
        loss: 10,
        ..Weather::default()
    };
    let mut pair = Pair::with_weather(weather);
    let (client, server, _) = pair.connected(A4, B4);
    transfer(&mut pair, (client, server), 1_000_000, 1_000_000, LONG);
}

#[test]
fn data_arrives_whole_when_packets_overtake_each_other_and_many_are_lost() {
    let weather = Weather {
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(3),
        loss: 50,
        ..Weather::default()
    };
    let mut pair = Pair::with_weather(weather);
    let (client, server, _) = pair.connected(A6, B6);
    transfer(&mut pair, (client, server), 300_000, 300_000, LONG);
}

#[test]
fn one_direction_may_end_long_before_the_other() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    pair.a.stack.write(client, b"question").unwrap();
    pair.a.stack.shutdown(client);
    let mut question = Stream::new(server, vec![]);
    question.shuts_down = false;
    pair.until(LONG, "question", |pair| {
        question.go(&mut pair.b.stack);
        question.end.is_some()
    });
    assert_eq!(
        (&question.read[..], question.end),
        (&b"question"[..], Some(Read::End))
    );
    assert_eq!(pair.a.stack.write(client, b"more"), Err(WriteError::ShutDown));

    pair.pass(Duration::from_secs(300));
    let answer = pattern(500_000, 7);
    let mut other = Stream::new(server, answer.clone());
    let mut one = Stream::new(client, vec![]);
    pair.until(LONG, "answer", |pair| {
        other.go(&mut pair.b.stack);
        one.go(&mut pair.a.stack);
        one.end.is_some()
    });
    assert!(one.read == answer);
    pair.until(LONG, "both closed", |pair| {
        pair.a
            .events
            .contains(&Event::Closed(client, CloseReason::Finished))
            && pair
                .b
                .events
                .contains(&Event::Closed(server, CloseReason::Finished))
    });
}

#[test]
fn an_aborted_connection_is_reset_for_the_other_side() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    pair.a.stack.abort(client);
    pair.until(LONG, "reset", |pair| {
        pair.b.events.contains(&Event::Closed(server, CloseReason::Reset))
    });
    assert_eq!(
        pair.b.stack.read(server, &mut [0; 8]),
        Read::Failed(CloseReason::Reset)
    );
    assert_eq!(
        pair.b.stack.write(server, b"x"),
        Err(WriteError::Closed(CloseReason::Reset))
    );
    assert_eq!(
        pair.a.stack.read(client, &mut [0; 8]),
        Read::Failed(CloseReason::Aborted)
    );
    assert_eq!(pair.counters().1.connections_reset, 1);
}

#[test]
fn a_reset_that_only_hits_the_window_is_questioned_and_an_exact_one_believed() {
    let mut pair = Pair::new();
    pair.wire = Some(vec![]);
    let (client, server, _) = pair.connected(A4, B4);
    pair.a.stack.write(client, b"something").unwrap();
    pair.pass(Duration::from_millis(100));
    let (_, last) = pair
        .wire
        .as_ref()
        .unwrap()
        .iter()
        .rfind(|(from_a, _)| *from_a)
        .unwrap()
        .clone();
    let reset = |offset: u32| {
        let mut packet = last[..40].to_vec();
        let next = u32::from_be_bytes(last[24..28].try_into().unwrap()) + 9 + offset;
        packet[24..28].copy_from_slice(&next.to_be_bytes());
        (packet[32], packet[33]) = (5 << 4, 4);
        common::fix_v4(&mut packet);
        packet
    };
    for offset in [1, 1_000, 500_000] {
        pair.b.stack.receive(pair.now, &reset(offset));
    }
    let mut questions = common::Packets::default();
    pair.b.stack.poll(pair.now, &mut questions);
    assert_eq!(questions.packets.len(), 1, "one a second");
    assert_eq!(pair.b.stack.read(server, &mut [0; 16]), Read::Data(9));
    assert_eq!(pair.b.stack.read(server, &mut [0; 16]), Read::Nothing);
    pair.b.stack.receive(pair.now, &reset(0));
    assert_eq!(
        pair.b.stack.read(server, &mut [0; 16]),
        Read::Failed(CloseReason::Reset)
    );
}

#[test]
fn a_closed_port_refuses() {
    for (from, to) in [(A4, B4), (A6, B6)] {
        let mut pair = Pair::new();
        let id = pair
            .a
            .stack
            .connect(pair.now, at(to, 81), Some(at(from, 0)))
            .unwrap();
        pair.until(LONG, "refusal", |pair| {
            pair.a
                .events
                .contains(&Event::ConnectFailed(id, ConnectFailure::Refused))
        });
        assert_eq!(pair.counters().1.resets_sent, 1);
        assert_eq!(pair.counters().0.connections_failed, 1);
        pair.a.stack.release(id);
        pair.pass(Duration::from_secs(1));
        assert_eq!(pair.a.stack.connection_count(), 0);
    }
}

#[test]
fn silence_is_given_up_after_the_connect_timeout() {
    let mut pair = Pair::with_weather(Weather {
        cut: true,
        ..Weather::default()
    });
    let start = pair.now;
    let id = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.until(Duration::from_secs(31), "timeout", |pair| {
        pair.a
            .events
            .contains(&Event::ConnectFailed(id, ConnectFailure::TimedOut))
    });
    assert_eq!(pair.now.saturating_since(start), Duration::from_secs(30));
}

#[test]
fn a_lost_syn_is_sent_again() {
    let mut pair = Pair::with_weather(Weather {
        cut: true,
        ..Weather::default()
    });
    pair.b.stack.listen(None, 80, 1).unwrap();
    let id = pair.a.stack.connect(pair.now, at(B6, 80), None).unwrap();
    pair.pass(Duration::from_millis(500));
    pair.weather.cut = false;
    pair.until(Duration::from_secs(2), "second SYN", |pair| {
        pair.a.events.contains(&Event::Connected(id))
    });
}

#[test]
fn an_aborted_attempt_ends_as_aborted() {
    let mut pair = Pair::with_weather(Weather {
        cut: true,
        ..Weather::default()
    });
    let id = pair.a.stack.connect(pair.now, at(B4, 80), None).unwrap();
    pair.pass(Duration::from_secs(1));
    pair.a.stack.abort(id);
    pair.pass(Duration::from_secs(1));
    assert!(
        pair.a
            .events
            .contains(&Event::ConnectFailed(id, ConnectFailure::Aborted))
    );
    pair.a.stack.release(id);
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.a.stack.connection_count(), 0);
}

#[test]
fn a_reader_that_stops_closes_the_window_and_opens_it_again() {
    let mut small = config(B4, B6);
    (small.limits.receive_buffer, small.limits.largest_window) = (64 << 10, 64 << 10);
    let mut pair = Pair::with(config(A4, A6), small);
    let (client, server, _) = pair.connected(A4, B4);
    let mut one = Stream::new(client, pattern(4_000_000, 1));
    for _ in 0..100 {
        one.go(&mut pair.a.stack);
        pair.pass(Duration::from_secs(1));
    }
    // The receiver's 64 KiB and the sender's 1 MiB are full, and not a byte more was taken.
    assert_eq!(one.written, (64 << 10) + (1 << 20));
    assert!(!pair.a.events.contains(&Event::Writable(client)));

    let mut other = Stream::new(server, vec![]);
    pair.until(LONG, "the rest", |pair| {
        // Only the event makes the writer write again, so it must come each time.
        if pair.a.events.contains(&Event::Writable(client)) {
            pair.a.events.clear();
            one.go(&mut pair.a.stack);
        }
        other.go(&mut pair.b.stack);
        other.end.is_some()
    });
    assert!(other.read == one.to_write);
}

#[test]
fn a_peer_that_vanishes_is_given_up_when_it_owes_an_answer_and_not_before() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    pair.weather.cut = true;
    pair.pass(Duration::from_secs(100_000));
    assert!(
        !pair
            .a
            .events
            .iter()
            .any(|event| matches!(event, Event::Closed(..)))
    );
    let start = pair.now;
    pair.a.stack.write(client, b"anybody?").unwrap();
    pair.until(LONG, "giving up", |pair| {
        pair.a
            .events
            .contains(&Event::Closed(client, CloseReason::TimedOut))
    });
    assert_eq!(pair.now.saturating_since(start), Duration::from_secs(120));
    assert!(
        !pair
            .b
            .events
            .iter()
            .any(|event| matches!(event, Event::Closed(..))),
        "{server:?}"
    );
    let timed_out = Read::Failed(CloseReason::TimedOut);
    assert_eq!(pair.a.stack.read(client, &mut [0; 8]), timed_out);
    // What comes too late changes nothing: the remote side answers our reset, or has one of its own.
    pair.weather.cut = false;
    pair.b.stack.abort(server);
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.a.stack.read(client, &mut [0; 8]), timed_out);
}

#[test]
fn keepalives_find_out_that_a_peer_has_vanished() {
    let mut probing = config(A4, A6);
    probing.timing.keepalive = Some(Keepalive {
        interval: Duration::from_secs(10),
        probes: 3,
    });
    let mut pair = Pair::with(probing, config(B4, B6));
    let (client, _, _) = pair.connected(A4, B4);
    pair.pass(Duration::from_secs(1_000));
    assert!(
        !pair
            .a
            .events
            .iter()
            .any(|event| matches!(event, Event::Closed(..)))
    );
    pair.weather.cut = true;
    pair.until(Duration::from_secs(51), "giving up", |pair| {
        pair.a
            .events
            .contains(&Event::Closed(client, CloseReason::TimedOut))
    });
}

#[test]
fn a_released_connection_delivers_what_was_written_and_disappears() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    let bytes = pattern(800_000, 3);
    assert_eq!(pair.a.stack.write(client, &bytes), Ok(bytes.len()));
    pair.a.stack.release(client);
    let mut other = Stream::new(server, vec![]);
    pair.until(LONG, "delivery", |pair| {
        other.go(&mut pair.b.stack);
        other.end.is_some()
    });
    assert!(other.read == bytes);
    pair.b.stack.release(server);
    pair.pass(Duration::from_secs(11));
    assert_eq!(
        (pair.a.stack.connection_count(), pair.b.stack.connection_count()),
        (0, 0)
    );
    assert_eq!(
        pair.a.stack.read(client, &mut [0; 1]),
        Read::Failed(CloseReason::Aborted)
    );
}

#[test]
fn releasing_with_unread_data_resets() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    pair.b.stack.write(server, b"nobody reads this").unwrap();
    pair.pass(Duration::from_millis(100));
    pair.a.stack.release(client);
    pair.until(LONG, "reset", |pair| {
        pair.b.events.contains(&Event::Closed(server, CloseReason::Reset))
    });
}

#[test]
fn data_for_a_released_connection_resets() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    pair.a.stack.release(client);
    pair.pass(Duration::from_millis(100));
    pair.b.stack.write(server, b"nobody reads this").unwrap();
    pair.until(LONG, "reset", |pair| {
        pair.b.events.contains(&Event::Closed(server, CloseReason::Reset))
    });
}

#[test]
fn a_released_connection_does_not_wait_for_ever_for_the_other_sides_end() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    pair.a.stack.release(client);
    pair.pass(Duration::from_secs(59));
    assert_eq!(pair.a.stack.connection_count(), 1);
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.a.stack.connection_count(), 0);
    assert!(pair.b.events.contains(&Event::Closed(server, CloseReason::Reset)));
}

#[test]
fn what_was_not_read_in_time_wait_is_still_there_afterwards() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    let bytes = pattern(100_000, 5);
    pair.a.stack.shutdown(client);
    pair.b.stack.write(server, &bytes).unwrap();
    pair.b.stack.shutdown(server);
    pair.pass(Duration::from_secs(60));
    assert!(
        pair.a
            .events
            .contains(&Event::Closed(client, CloseReason::Finished))
    );
    let mut one = Stream::new(client, vec![]);
    one.go(&mut pair.a.stack);
    assert_eq!(one.end, Some(Read::End));
    assert!(one.read == bytes);
}

/// a closes first and then b, whose FIN arrives while the acknowledgement of it is lost.
fn lost_last_acknowledgement(pair: &mut Pair) {
    let (client, server, _) = pair.connected(A4, B4);
    pair.a.stack.release(client);
    pair.pass(Duration::from_millis(100));
    pair.b.stack.release(server);
    let mut fin = common::Packets::default();
    pair.b.stack.poll(pair.now, &mut fin);
    assert_eq!(fin.packets.len(), 1);
    pair.a.stack.receive(pair.now, &fin.packets[0]);
    pair.a.stack.poll(pair.now, &mut common::Packets::default());
}

#[test]
fn time_wait_needs_no_connection_to_acknowledge_a_repeated_fin() {
    let mut pair = Pair::new();
    lost_last_acknowledgement(&mut pair);
    pair.pass(Duration::from_millis(50));
    assert_eq!(
        (pair.a.stack.connection_count(), pair.b.stack.connection_count()),
        (0, 1)
    );
    pair.pass(Duration::from_secs(5));
    assert_eq!(pair.b.stack.connection_count(), 0);
    assert_eq!(
        (pair.counters().0.resets_sent, pair.counters().1.connections_reset),
        (0, 0)
    );
}

#[test]
fn connections_in_time_wait_are_bounded_and_the_oldest_goes_first() {
    let mut tight = config(A4, A6);
    tight.limits.connections = 8;
    let mut pair = Pair::with(tight, config(B4, B6));
    let listener = pair.b.stack.listen(None, 80, 16).unwrap();
    for _ in 0..5 {
        let (client, server) = pair.connect_to(listener, A4, B4);
        pair.a.stack.release(client);
        pair.pass(Duration::from_millis(10));
        pair.b.stack.release(server);
        pair.pass(Duration::from_millis(100));
        pair.a.events.clear();
    }
    assert_eq!(pair.a.stack.connection_count(), 0);
    assert_eq!(pair.counters().0.time_wait_evicted, 3);
}

#[test]
fn the_same_ports_connect_again_after_time_wait_at_the_latest() {
    for port in 40_000..40_010 {
        let mut pair = Pair::new();
        let listener = pair.b.stack.listen(None, 80, 16).unwrap();
        for _ in 0..2 {
            let local = Some(at(A4, port));
            let client = pair.a.stack.connect(pair.now, at(B4, 80), local).unwrap();
            let mut server = None;
            pair.until(Duration::from_secs(20), "connection", |pair| {
                server = server.or_else(|| pair.b.stack.accept(listener));
                server.is_some()
            });
            // b closes first, so that it is the one to wait.
            pair.b.stack.release(server.unwrap().0);
            pair.pass(Duration::from_millis(100));
            pair.a.stack.release(client);
            pair.pass(Duration::from_millis(100));
        }
    }
}

#[test]
fn events_are_edges() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    let readable = |pair: &Pair| {
        pair.b
            .events
            .iter()
            .filter(|event| **event == Event::Readable(server))
            .count()
    };
    for _ in 0..3 {
        pair.a.stack.write(client, b"x").unwrap();
        pair.pass(Duration::from_millis(50));
    }
    assert_eq!(readable(&pair), 1);
    assert_eq!(pair.b.stack.read(server, &mut [0; 8]), Read::Data(3));
    pair.a.stack.write(client, b"x").unwrap();
    pair.pass(Duration::from_millis(50));
    // The reader never learned that there was nothing more, so it is still expected to come back.
    assert_eq!(readable(&pair), 1);
    assert_eq!(pair.b.stack.read(server, &mut [0; 8]), Read::Data(1));
    assert_eq!(pair.b.stack.read(server, &mut [0; 8]), Read::Nothing);
    pair.a.stack.write(client, b"x").unwrap();
    pair.pass(Duration::from_millis(50));
    assert_eq!(readable(&pair), 2);
}

#[test]
fn a_sink_without_room_makes_connections_wait_and_loses_nothing() {
    let mut pair = Pair::new();
    let (client, server, _) = pair.connected(A4, B4);
    let bytes = pattern(200_000, 4);
    let mut one = Stream::new(client, bytes.clone());
    let mut other = Stream::new(server, vec![]);
    for _ in 0..10_000 {
        one.go(&mut pair.a.stack);
        let mut sink = common::Packets {
            packets: vec![],
            room: Some(1),
        };
        pair.a.stack.poll(pair.now, &mut sink);
        pair.now = pair.now + Duration::from_micros(10);
        for packet in sink.packets {
            pair.b.stack.receive(pair.now, &packet);
        }
        let mut sink = common::Packets {
            packets: vec![],
            room: Some(1),
        };
        pair.b.stack.poll(pair.now, &mut sink);
        for packet in sink.packets {
            pair.a.stack.receive(pair.now, &packet);
        }
        other.go(&mut pair.b.stack);
        if other.end.is_some() {
            break;
        }
    }
    assert!(other.read == bytes);
    assert_eq!(pair.counters().0.outbox_overflow, 0);
}

#[test]
fn impossible_connections_are_refused_at_once() {
    let mut tight: Config = config(A4, A6);
    tight.limits.connections = 2;
    tight.limits.ephemeral_ports = 40_000..=40_000;
    let mut pair = Pair::with(tight, config(B4, B6));
    let now = pair.now;
    let a = &mut pair.a.stack;
    assert_eq!(
        a.connect(now, at("0.0.0.0", 80), None),
        Err(ConnectError::InvalidRemote)
    );
    assert_eq!(
        a.connect(now, at("224.0.0.1", 80), None),
        Err(ConnectError::InvalidRemote)
    );
    assert_eq!(a.connect(now, at(B4, 0), None), Err(ConnectError::InvalidRemote));
    assert_eq!(a.connect(now, at(A4, 80), None), Err(ConnectError::OwnAddress));
    let foreign = Some(at("10.9.0.77", 0));
    assert_eq!(
        a.connect(now, at(B4, 80), foreign),
        Err(ConnectError::NotOurAddress(ip("10.9.0.77")))
    );
    assert_eq!(
        a.connect(now, at(B4, 80), Some(at(A6, 0))),
        Err(ConnectError::NotOurAddress(ip(A6)))
    );
    a.connect(now, at(B4, 80), None).unwrap();
    assert_eq!(
        a.connect(now, at(B4, 80), None),
        Err(ConnectError::PortsExhausted)
    );
    assert_eq!(
        a.connect(now, at(B4, 80), Some(at(A4, 40_000))),
        Err(ConnectError::AddressInUse)
    );
    a.connect(now, at(B4, 81), None).unwrap();
    assert_eq!(
        a.connect(now, at(B4, 82), None),
        Err(ConnectError::TooManyConnections)
    );
}
