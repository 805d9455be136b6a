//! Joining in place: cutting what was joined gives every packet again, in its flow's order.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::{ACK, FIN, PSH, SEGMENT, SYN, Tcp, Udp, checksum, payload};
use proptest::prelude::*;
use wirewright_offload::gather::{Gather, Kinds, MAX_BYTES};
use wirewright_offload::split::Split;
use wirewright_offload::virtio::{HEADER_LEN, Header, Kind};

const ALL: Kinds = Kinds { tcp: true, udp: true };

/// What a device would be given: header and packet, each in one piece.
fn written(gather: &Gather, packets: &[Vec<u8>]) -> Vec<(Header, Vec<u8>)> {
    let one = |group: &wirewright_offload::gather::Group| {
        let headers = group.headers();
        let header: [u8; HEADER_LEN] = group.virtio().write(headers.len() as u16);
        let mut bytes = headers.to_vec();
        for index in gather.packets(group) {
            bytes.extend(&packets[index][headers.len()..]);
        }
        (Header::parse(&header).unwrap(), bytes)
    };
    gather.groups().iter().map(one).collect()
}

fn joined(kinds: Kinds, packets: &[Vec<u8>]) -> Vec<(Header, Vec<u8>)> {
    let mut gather = Gather::new(kinds);
    gather.plan(packets.len(), |index| &packets[index]);
    let once = written(&gather, packets);
    gather.plan(packets.len(), |index| &packets[index]);
    assert!(
        once == written(&gather, packets),
        "a second plan forgets the first"
    );
    once
}

/// What the receiver of such a packet does with it.
fn cut(header: Header, mut packet: Vec<u8>) -> Vec<Vec<u8>> {
    let Some((kind, segment)) = header.segments else {
        assert_eq!(header.checksum, None);
        return vec![packet];
    };
    let partial = header.checksum.unwrap();
    assert!(partial.complete(&mut packet));
    let split = match kind {
        Kind::Udp => Split::udp(&packet, segment.into()),
        Kind::Tcp4 | Kind::Tcp6 => Split::tcp(&packet, segment.into()),
    };
    let split = split.unwrap();
    let mut cut = vec![];
    for index in 0..split.count() {
        let mut bytes = vec![0; split.packet_len(index)];
        split.write(index, &mut bytes);
        cut.push(bytes);
    }
    // The completed checksum of the whole is that of a packet in its own right.
    if split.count() == 1 {
        assert!(cut[0] == packet);
    }
    cut
}

/// Version, protocol, addresses and ports.
fn flow_of(packet: &[u8]) -> Vec<u8> {
    match packet[0] >> 4 {
        6 => [&packet[6..7], &packet[8..44]].concat(),
        _ => [&packet[9..10], &packet[12..24]].concat(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Data { flow: usize, len: usize, flags: u8 },
    Skip(usize),
    Acknowledge(usize),
    Damage,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![4 => Just(1200_usize), 1 => 0..1300_usize];
    let flags = prop_oneof![8 => Just(ACK), 2 => Just(ACK | PSH), 1 => Just(ACK | FIN), 1 => Just(ACK | SYN)];
    let step = prop_oneof![
        20 => (0..4_usize, len, flags).prop_map(|(flow, len, flags)| Step::Data { flow, len, flags }),
        1 => (0..4_usize).prop_map(Step::Skip),
        1 => (0..4_usize).prop_map(Step::Acknowledge),
        1 => Just(Step::Damage),
    ];
    prop::collection::vec(step, 0..120)
}

/// Two TCP flows and two of UDP, with whatever happens to them.
fn packets_of(steps: Vec<Step>, v6: bool, dont_fragment: bool) -> Vec<Vec<u8>> {
    let mut flows: Vec<Tcp> = (0..4)
        .map(|port| Tcp {
            port,
            v6,
            dont_fragment,
            options: vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            ..SEGMENT
        })
        .collect();
    let mut packets: Vec<Vec<u8>> = vec![];
    for step in steps {
        match step {
            Step::Data { flow, len, flags } => {
                let fields = &mut flows[flow];
                (fields.flags, fields.payload) = (flags, payload(len, len));
                packets.push(if flow < 2 {
                    fields.build()
                } else {
                    Udp::of(fields).build()
                });
                fields.sequence = fields.sequence.wrapping_add(len as u32);
                fields.id = fields.id.wrapping_add(1);
            }
            Step::Skip(flow) => flows[flow].id = flows[flow].id.wrapping_add(7),
            Step::Acknowledge(flow) => flows[flow].acknowledgment += 1000,
            Step::Damage => {
                if let Some(byte) = packets.last_mut().and_then(|packet| packet.last_mut()) {
                    *byte ^= 1;
                }
            }
        }
    }
    packets
}

proptest! {
    #[test]
    fn cutting_what_was_joined_gives_every_packet_of_every_flow_in_order(
        steps in steps(), v6: bool, dont_fragment: bool, tcp: bool, udp: bool,
    ) {
        let packets = packets_of(steps, v6, dont_fragment);
        let joined = joined(Kinds { tcp, udp }, &packets);
        let mut back: Vec<Vec<u8>> = joined
            .into_iter()
            .inspect(|(_, packet)| assert!(packet.len() <= MAX_BYTES))
            .flat_map(|(header, packet)| cut(header, packet))
            .collect();
        // With "don't fragment" identifications mean nothing and are counted on from the first.
        let mut expected = packets;
        if !v6 && dont_fragment {
            for packet in back.iter_mut().chain(&mut expected) {
                packet[4..6].fill(0);
                packet[10..12].fill(0);
            }
        }
        back.sort_by_key(|packet| flow_of(packet));
        expected.sort_by_key(|packet| flow_of(packet));
        prop_assert!(back == expected);
    }

    #[test]
    fn no_bytes_make_it_panic(
        steps in steps(),
        v6: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..64_usize, any::<u8>()), 0..20),
    ) {
        let mut packets = packets_of(steps, v6, true);
        for (which, at, value) in changes {
            if !packets.is_empty() {
                let which = which.index(packets.len());
                if let Some(byte) = packets[which].get_mut(at) {
                    *byte = value;
                }
            }
        }
        joined(ALL, &packets);
    }
}

fn segments(count: usize, len: usize) -> Vec<Vec<u8>> {
    let segment = |index: usize| Tcp {
        sequence: 1000 + (index * len) as u32,
        id: 100 + index as u16,
        payload: payload(index, len),
        ..SEGMENT
    };
    (0..count).map(|index| segment(index).build()).collect()
}

fn datagrams(count: usize, len: usize) -> Vec<Vec<u8>> {
    let datagram = |index: usize| {
        Udp::of(&Tcp {
            id: 100 + index as u16,
            payload: payload(index, len),
            ..SEGMENT
        })
    };
    (0..count).map(|index| datagram(index).build()).collect()
}

#[test]
fn a_train_becomes_one_packet_whose_checksum_is_left_to_the_receiver() {
    for (packets, kind, length_at) in [
        (segments(40, 1380), Kind::Tcp4, None),
        (datagrams(40, 1380), Kind::Udp, Some(24)),
    ] {
        let joined = joined(ALL, &packets);
        let [(header, packet)] = &joined[..] else {
            panic!("one packet")
        };
        assert_eq!(header.segments, Some((kind, 1380)));
        assert_eq!(header.checksum.unwrap().start, 20);
        assert_eq!(
            usize::from(u16::from_be_bytes([packet[2], packet[3]])),
            packet.len()
        );
        assert_eq!(checksum(&packet[..20]), 0);
        if let Some(at) = length_at {
            let len = u16::from_be_bytes([packet[at], packet[at + 1]]);
            assert_eq!(usize::from(len), packet.len() - 20);
        }
    }
}

#[test]
fn no_joined_packet_is_longer_than_an_ip_packet_may_be() {
    let joined = joined(ALL, &segments(60, 1400));
    assert_eq!(joined.len(), 2);
    assert!(joined[0].1.len() <= MAX_BYTES && joined[0].1.len() > MAX_BYTES - 1400);
}

#[test]
fn a_damaged_packet_stays_alone_and_damaged() {
    for mut packets in [segments(3, 1000), datagrams(3, 1000)] {
        *packets[1].last_mut().unwrap() ^= 1;
        let joined = joined(ALL, &packets);
        assert!(joined.iter().any(|(_, packet)| *packet == packets[1]));
    }
}

#[test]
fn a_damaged_first_packet_is_not_joined_to() {
    for mut packets in [segments(2, 1000), datagrams(2, 1000)] {
        *packets[0].last_mut().unwrap() ^= 1;
        assert_eq!(joined(ALL, &packets).len(), 2);
    }
}

#[test]
fn a_datagram_without_a_checksum_is_left_alone() {
    let mut packets = datagrams(2, 1000);
    for packet in &mut packets {
        packet[26..28].fill(0);
    }
    assert_eq!(joined(ALL, &packets).len(), 2);
}

#[test]
fn a_fragment_is_not_overtaken() {
    let mut packets = segments(3, 1000);
    packets[1][6] |= 0x20;
    let joined: Vec<Vec<u8>> = joined(ALL, &packets).into_iter().map(|joined| joined.1).collect();
    assert!(joined == packets);
}

#[test]
fn what_the_device_does_not_take_is_not_joined() {
    let none = Kinds::default();
    assert_eq!(joined(none, &segments(4, 1000)).len(), 4);
    assert_eq!(joined(none, &datagrams(4, 1000)).len(), 4);
    assert_eq!(
        joined(
            Kinds {
                tcp: true,
                udp: false
            },
            &datagrams(4, 1000)
        )
        .len(),
        4
    );
}
