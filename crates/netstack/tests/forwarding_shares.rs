//! That a peer which takes what it can leaves other peers theirs.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::gateway::{Gateway, OUTSIDE, SOON, closed, read, segment};
use common::{B4, at, fix_v4, packet_v4};
use wirewright_netstack::{ConnectFailure, ConnectionId, Event, Forwarding, Read};
use wirewright_protocol::PublicKey;
use wirewright_runtime::outside::{Failure, Report};

/// Has the peer end a connection and read nothing, and the host send what the gateway takes, then end it too.
fn left_unread(gateway: &mut Gateway) -> (ConnectionId, usize) {
    let (client, name, granted) = gateway.joined(OUTSIDE);
    gateway.pair.a.stack.shutdown(client);
    gateway.pass(SOON);
    let (mut told, mut more) = (0, granted);
    while more > 0 {
        gateway.tell_bytes(name, &vec![7; more]);
        told += more;
        more = gateway.granted(name);
    }
    gateway.orders();
    gateway.tell(name, Report::Ended);
    assert_eq!(
        closed(&gateway.orders()),
        Some(false),
        "the host's socket is let go"
    );
    (client, told)
}

#[test]
fn what_a_peer_leaves_unread_keeps_its_place_until_it_is_gone_from_the_stack() {
    let mut gateway = Gateway::new(Forwarding {
        connections_per_peer: 2,
        ..Forwarding::default()
    });
    let (client, told) = left_unread(&mut gateway);
    left_unread(&mut gateway);
    assert_eq!(gateway.carried(), (2, 0));
    assert_eq!(gateway.pair.b.stack.connection_count(), 2);
    let third = gateway
        .pair
        .a
        .stack
        .connect(gateway.pair.now, at(OUTSIDE, 81), None);
    gateway.pass(SOON);
    assert_eq!(gateway.count("connections_full_of_peer"), 1);
    gateway.pair.a.stack.abort(third.unwrap());
    // Who reads gets all of it, and the place back.
    let (mut all, mut end) = (0, Read::Nothing);
    while end == Read::Nothing {
        let (bytes, next) = read(&mut gateway, client);
        (all, end) = (all + bytes.len(), next);
        gateway.pass(SOON);
    }
    assert_eq!((all, end), (told, Read::End));
    gateway.pass(Duration::from_secs(1));
    assert_eq!(gateway.carried(), (1, 0));
    // Who does not loses it.
    gateway.pass(Duration::from_secs(100));
    assert_eq!(gateway.carried(), (0, 0));
    assert_eq!(gateway.pair.b.stack.connection_count(), 0);
}

#[test]
fn what_is_left_unread_by_a_peer_that_is_removed_goes_at_once() {
    let mut gateway = Gateway::new(Forwarding::default());
    let (client, _) = left_unread(&mut gateway);
    gateway.pair.b.stack.recheck(&|_| None);
    assert_eq!(gateway.carried(), (0, 0));
    gateway.pass(SOON);
    assert_eq!(gateway.pair.b.stack.connection_count(), 0);
    assert!(matches!(read(&mut gateway, client).1, Read::Failed(_)));
}

#[test]
fn who_provokes_many_errors_silences_none_of_anothers() {
    for to in [OUTSIDE, B4] {
        let mut gateway = Gateway::new(Forwarding::default());
        let dialed = (to == OUTSIDE).then(|| gateway.dial(to));
        let greedy = PublicKey::from_bytes([2; 32]);
        for port in 0..2_000 {
            let mut packet = packet_v4(6, &segment(1_000 + port, 80, 1, 0x02));
            packet[12..16].copy_from_slice(&[10, 9, 0, 66]);
            if to == OUTSIDE {
                packet[16..20].copy_from_slice(&[127, 0, 0, 1]);
            }
            fix_v4(&mut packet);
            let now = gateway.pair.now;
            gateway.pair.b.stack.receive_for(now, &packet, &|_| Some(greedy));
        }
        assert_eq!(
            gateway.pair.b.stack.counters().error_replies_suppressed,
            1_000,
            "one peer has its share"
        );
        let client = if let Some((client, name)) = dialed {
            gateway.tell(name, Report::Failed(Failure::Refused));
            client
        } else {
            let now = gateway.pair.now;
            gateway.pair.a.stack.connect(now, at(to, 81), None).unwrap()
        };
        gateway.pass(SOON);
        let refused = Event::ConnectFailed(client, ConnectFailure::Refused);
        assert!(gateway.pair.a.events.contains(&refused), "{to}");
    }
}

#[test]
fn fragments_of_a_peer_with_many_addresses_leave_another_its_own() {
    let mut gateway = Gateway::new(Forwarding::default());
    let now = gateway.pair.now;
    let [peer, greedy] = [1, 2].map(|key| PublicKey::from_bytes([key; 32]));
    let mut datagram = vec![0, 99, 0, 53, 0, 32, 0, 0];
    datagram.extend([1; 24]);
    let piece = |source: [u8; 4], start: usize| {
        // Not as UDP at first, whose checksum would be written into the piece.
        let mut packet = packet_v4(0, &datagram[start..start + 16]);
        packet[9] = 17;
        packet[12..16].copy_from_slice(&source);
        packet[16..20].copy_from_slice(&[198, 51, 100, 7]);
        packet[6..8].copy_from_slice(if start == 0 { &[0x20, 0] } else { &[0, 2] });
        packet[10..12].fill(0);
        let sum = common::checksum(0, &packet[..20]);
        packet[10..12].copy_from_slice(&sum);
        packet
    };
    let stack = &mut gateway.pair.b.stack;
    stack.receive_for(now, &piece([10, 9, 0, 1], 0), &|_| Some(peer));
    for host in 0..200 {
        stack.receive_for(now, &piece([10, 9, 1, host], 0), &|_| Some(greedy));
    }
    stack.receive_for(now, &piece([10, 9, 0, 1], 16), &|_| Some(peer));
    gateway.pass(SOON);
    assert_eq!(gateway.count("datagrams_out"), 1);
}
