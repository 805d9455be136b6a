//! Where windows close and streams end, and where both happen at once.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, Pair, Stream, config, pattern};
use wirewright_netstack::{CloseReason, Event, Read};

#[test]
fn a_window_that_closes_with_the_acknowledgement_of_our_end_makes_no_storm() {
    let mut pair = Pair::new();
    pair.wire = Some(vec![]);
    let (client, _, _) = pair.connected(A4, B4);
    pair.a.stack.write(client, b"end").unwrap();
    pair.a.stack.shutdown(client);
    pair.weather.cut = true;
    pair.poll();
    let (_, fin) = pair.wire.as_ref().unwrap().last().unwrap().clone();
    // First two bytes are acknowledged, and the window closes; then everything, and it stays closed.
    for acknowledged in [2, 4] {
        let mut ack = fin[..40].to_vec();
        let (source, destination) = (fin[12..16].to_vec(), fin[16..20].to_vec());
        ack[12..16].copy_from_slice(&destination);
        ack[16..20].copy_from_slice(&source);
        ack[20..24].copy_from_slice(&[fin[22], fin[23], fin[20], fin[21]]);
        ack[24..28].copy_from_slice(&fin[28..32]);
        let number = u32::from_be_bytes(fin[24..28].try_into().unwrap()) + acknowledged;
        ack[28..32].copy_from_slice(&number.to_be_bytes());
        (ack[32], ack[33]) = (5 << 4, 0x10);
        ack[34..36].fill(0);
        common::fix_v4(&mut ack);
        pair.a.stack.receive(pair.now, &ack);
        pair.poll();
    }
    let before = pair.counters().0.packets_sent;
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.counters().0.packets_sent, before);
}

#[test]
fn what_was_not_read_outlives_time_wait() {
    // Whatever remainder of a microsecond the time has.
    for nanos in [0, 1, 499, 500, 999] {
        let mut pair = Pair::new();
        pair.now = pair.now + Duration::from_nanos(nanos);
        let (client, server, _) = pair.connected(A4, B4);
        pair.a.stack.shutdown(client);
        pair.pass(Duration::from_secs(1));
        pair.b.stack.write(server, b"last words").unwrap();
        pair.b.stack.shutdown(server);
        pair.pass(Duration::from_secs(3_600));
        assert!(
            pair.a
                .events
                .contains(&Event::Closed(client, CloseReason::Finished))
        );
        let mut buffer = [0; 16];
        assert_eq!(pair.a.stack.read(client, &mut buffer), Read::Data(10));
        assert_eq!(pair.a.stack.read(client, &mut buffer), Read::End);
    }
}

#[test]
fn an_end_that_comes_with_bytes_beyond_the_window_waits_for_them() {
    let mut b = config(B4, B6);
    b.limits.receive_buffer = 4_096;
    let mut pair = Pair::with(config(A4, A6), b);
    pair.wire = Some(vec![]);
    let (_, server, _) = pair.connected(A4, B4);
    let (_, head) = pair
        .wire
        .as_ref()
        .unwrap()
        .iter()
        .rfind(|(from_a, _)| *from_a)
        .unwrap();
    let number = u32::from_be_bytes(head[24..28].try_into().unwrap());
    let text = pattern(5_000, 7);
    let segment = |from: usize, to: usize, flags: u8| {
        let mut tcp = head[20..40].to_vec();
        tcp[4..8].copy_from_slice(&(number + u32::try_from(from).unwrap()).to_be_bytes());
        (tcp[12], tcp[13]) = (5 << 4, flags);
        tcp.extend(&text[from..to]);
        common::packet_v4(6, &tcp)
    };
    let (ack, fin) = (0x10, 0x11);
    let first = [
        segment(0, 1_000, ack),
        segment(1_000, 2_000, ack),
        segment(2_000, 3_000, ack),
    ];
    for packet in [&first[0], &first[1], &first[2], &segment(3_000, 5_000, fin)] {
        pair.b.stack.receive(pair.now, packet);
    }
    let mut buffer = vec![0; 8_192];
    assert_eq!(pair.b.stack.read(server, &mut buffer), Read::Data(4_096));
    assert_eq!(pair.b.stack.read(server, &mut buffer), Read::Nothing);
    pair.b.stack.poll(pair.now, &mut common::Packets::default());
    pair.b.stack.receive(pair.now, &segment(3_000, 5_000, fin));
    assert_eq!(pair.b.stack.read(server, &mut buffer), Read::Data(904));
    assert!(buffer.starts_with(&text[4_096..]));
    assert_eq!(pair.b.stack.read(server, &mut buffer), Read::End);
}

#[test]
fn what_a_closed_window_refuses_does_not_deafen_the_remote_side() {
    for ends in [false, true] {
        let mut pair = Pair::new();
        let (client, server, _) = pair.connected(A4, B4);
        let capacity = config(A4, A6).limits.receive_buffer;
        // The server reads nothing, so that its window closes; a byte probes it, or the end of the stream.
        let mut one = Stream::new(client, pattern(capacity + usize::from(!ends), 5));
        one.give(&mut pair.a.stack, usize::MAX);
        pair.pass(Duration::from_secs(5));
        one.give(&mut pair.a.stack, usize::MAX);
        pair.pass(Duration::from_secs(5));
        // It speaks all the same, and must hear that it was heard.
        let mut other = Stream::new(server, pattern(3 * capacity, 6));
        pair.until(Duration::from_secs(5), "speech through a closed window", |pair| {
            one.take(&mut pair.a.stack);
            other.give(&mut pair.b.stack, usize::MAX);
            one.end.is_some()
        });
        assert!(one.read == other.to_write);
        pair.until(Duration::from_secs(120), "the other direction", |pair| {
            one.give(&mut pair.a.stack, usize::MAX);
            other.take(&mut pair.b.stack);
            other.end.is_some()
        });
        assert!(other.read == one.to_write);
    }
}
