//! Joining segments: whoever cuts the joined ones apart again finds the packets that went in, in their flow's
//! order, bit for bit.

#[allow(dead_code)]
mod common;

use common::{ACK, CWR, ECE, FIN, PSH, SEGMENT, SYN, Tcp, URG, checksum, payload};
use proptest::prelude::*;
use wirewright_offload::coalesce::{Coalescer, MAX_BYTES};
use wirewright_offload::split::Split;

/// What comes out of a coalescer of `flows` flows, the final flush included.
fn joined(flows: usize, max_bytes: usize, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut coalescer = Coalescer::new(flows, max_bytes);
    let mut out = vec![];
    for packet in packets {
        coalescer.push(packet, |bytes| out.push(bytes.to_vec()));
    }
    coalescer.flush(|bytes| out.push(bytes.to_vec()));
    assert!(coalescer.is_empty());
    out
}

/// With "don't fragment" the identification has no meaning (RFC 6864), and joining does not preserve it.
fn without_meaningless_id(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet.len() >= 20 && packet[0] >> 4 == 4 && packet[6] & 0x40 != 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

/// One thing that may happen to one of three flows.
#[derive(Clone, Debug)]
enum Event {
    Data {
        len: usize,
    },
    Push {
        len: usize,
    },
    Acknowledgment,
    Flags(u8),
    Lost {
        len: usize,
    },
    Repeated,
    Damaged {
        len: usize,
        at: prop::sample::Index,
        bit: u8,
    },
    NewAcknowledgment,
    NewWindow,
    NewTrafficClass,
    NewHopLimit,
    NewTimestamp,
    NewIdentification,
    Flush,
}

fn events() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let len = || prop_oneof![4 => Just(999_usize), 2 => Just(1000), 1 => 1..1400_usize];
    let event = prop_oneof![
        30 => len().prop_map(|len| Event::Data { len }),
        2 => len().prop_map(|len| Event::Push { len }),
        1 => Just(Event::Acknowledgment),
        1 => prop::sample::select(&[FIN, SYN, URG, ECE, CWR, 4][..]).prop_map(Event::Flags),
        1 => len().prop_map(|len| Event::Lost { len }),
        1 => Just(Event::Repeated),
        2 => (len(), any::<prop::sample::Index>(), 0..8_u8)
            .prop_map(|(len, at, bit)| Event::Damaged { len, at, bit }),
        1 => Just(Event::NewAcknowledgment),
        1 => Just(Event::NewWindow),
        1 => Just(Event::NewTrafficClass),
        1 => Just(Event::NewHopLimit),
        1 => Just(Event::NewTimestamp),
        1 => Just(Event::NewIdentification),
        1 => Just(Event::Flush),
    ];
    prop::collection::vec((0..3_usize, event), 0..150)
}

/// Lets an event happen to a flow; the packet it makes, if it makes one.
fn happen(flow: &mut Tcp, event: &Event) -> Option<Vec<u8>> {
    let mut send = |flags: u8, len: usize| {
        flow.flags = flags;
        flow.payload = payload(flow.sequence as usize, len);
        let packet = flow.build();
        flow.sequence = flow.sequence.wrapping_add(len as u32);
        flow.id = flow.id.wrapping_add(1);
        packet
    };
    match *event {
        Event::Data { len } => return Some(send(ACK, len)),
        Event::Push { len } => return Some(send(ACK | PSH, len)),
        Event::Acknowledgment => return Some(send(ACK, 0)),
        Event::Flags(flags) => return Some(send(ACK | flags, 100)),
        Event::Lost { len } => drop(send(ACK, len)),
        Event::Repeated => return Some(flow.build()),
        Event::Damaged { len, at, bit } => {
            let mut packet = send(ACK, len);
            let at = at.index(packet.len());
            packet[at] ^= 1 << bit;
            return Some(packet);
        }
        Event::NewAcknowledgment => flow.acknowledgment += 1,
        Event::NewWindow => flow.window += 1,
        Event::NewTrafficClass => flow.traffic_class ^= 3,
        Event::NewHopLimit => flow.hop_limit -= 1,
        Event::NewTimestamp => {
            if let Some(byte) = flow.options.last_mut() {
                *byte = byte.wrapping_add(1);
            }
        }
        Event::NewIdentification => flow.id = flow.id.wrapping_add(10),
        Event::Flush => {}
    }
    None
}

/// Addresses and ports; nothing if damage has made it a packet that is not TCP, which no order binds. Damage to the length of
/// the header makes ports of other bytes.
fn flow_of(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let (protocol, addresses, header) = match packet[0] >> 4 {
        6 => (packet[6], &packet[8..40], 40),
        4 => (packet[9], &packet[12..20], usize::from(packet[0] & 15) * 4),
        _ => return None,
    };
    let ports = packet.get(header..header + 4)?;
    (protocol == 6 && header >= 20).then_some((addresses, ports))
}

/// Takes a packet apart into segments of the given payload length, as a receiver of the joined one might.
fn cut(packet: &[u8], segment_len: usize) -> Vec<Vec<u8>> {
    let Ok(split) = Split::tcp(packet, segment_len) else {
        return vec![];
    };
    (0..split.count())
        .map(|index| {
            let mut bytes = vec![0; split.packet_len(index)];
            split.write(index, &mut bytes);
            bytes
        })
        .collect()
}

proptest! {
    #[test]
    fn cutting_what_was_joined_gives_every_packet_of_every_flow_in_order(
        events in events(),
        capacity in 1..4_usize,
        max_bytes in prop_oneof![Just(MAX_BYTES), 1000..8000_usize],
        v6: bool,
        dont_fragment: bool,
    ) {
        let timestamps = vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let mut flows = [
            Tcp { port: 1, dont_fragment, options: timestamps.clone(), ..SEGMENT },
            Tcp { port: 2, sequence: u32::MAX - 5000, id: u16::MAX - 3, dont_fragment: false, ..SEGMENT },
            Tcp { port: 3, v6, options: timestamps, ..SEGMENT },
        ];
        let mut coalescer = Coalescer::new(capacity, max_bytes);
        // Damage may change to which flow a packet belongs, so packets are found again by their content.
        let mut waiting: Vec<Vec<u8>> = vec![];
        let mut out = vec![];
        for (flow, event) in &events {
            if let Event::Flush = event {
                coalescer.flush(|bytes| out.push(bytes.to_vec()));
            }
            if let Some(packet) = happen(&mut flows[*flow], event) {
                coalescer.push(&packet, |bytes| out.push(bytes.to_vec()));
                waiting.push(packet);
            }
        }
        coalescer.flush(|bytes| out.push(bytes.to_vec()));

        for packet in out {
            if let Some(at) = waiting.iter().position(|waiting| *waiting == packet) {
                let overtaken = waiting[..at].iter().any(|earlier| flow_of(&packet).is_some() && flow_of(earlier) == flow_of(&packet));
                prop_assert!(!overtaken, "a packet overtook one of its flow");
                waiting.remove(at);
                continue;
            }
            // A joined packet: the first waiting one of its flow is its first segment.
            prop_assert!(packet.len() <= max_bytes);
            let first = waiting.iter().find(|waiting| flow_of(waiting) == flow_of(&packet));
            let Some(first) = first else { return Err(TestCaseError::fail("a packet from nowhere")) };
            let headers = if first[0] >> 4 == 6 { 40 } else { 20 };
            let headers = headers + usize::from(first[headers + 12] >> 4) * 4;
            for segment in cut(&packet, first.len() - headers) {
                let at = waiting.iter().position(|waiting| flow_of(waiting) == flow_of(&segment));
                let Some(at) = at else { return Err(TestCaseError::fail("a segment from nowhere")) };
                prop_assert_eq!(
                    without_meaningless_id(&waiting.remove(at)), without_meaningless_id(&segment));
            }
        }
        prop_assert!(waiting.is_empty(), "nothing was lost");
    }

    #[test]
    fn no_bytes_make_it_panic_and_none_are_lost(
        packets in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..80), prop::option::of(0..3_u8)), 0..20),
    ) {
        // With a plausible start the bytes get further.
        let packets: Vec<Vec<u8>> = packets.into_iter().map(|(mut packet, start)| {
            let start: &[(usize, u8)] = match start {
                Some(0) => &[(0, 0x45), (2, 0), (6, 0x40), (7, 0), (9, 6), (32, 0x50)],
                Some(1) => &[(0, 0x60), (4, 0), (6, 6), (52, 0x50)],
                Some(_) => &[(0, 0x45), (2, 0), (6, 0x40), (7, 0), (9, 6), (32, 0xf0)],
                None => &[],
            };
            for &(at, value) in start {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = value;
                }
            }
            if let (Some(&(_, 0x45)), true) = (start.first(), packet.len() > 3) {
                packet[3] = packet.len() as u8;
            }
            packet
        }).collect();
        let mut out = joined(2, MAX_BYTES, &packets);
        let mut expected = packets;
        out.sort();
        expected.sort();
        prop_assert_eq!(out, expected, "none of these is intact, so none may be changed");
    }
}

/// Two segments of a flow that can be joined.
fn pair(v6: bool) -> (Tcp, Tcp) {
    let first = Tcp {
        v6,
        payload: payload(0, 1001),
        ..SEGMENT
    };
    let second = Tcp {
        sequence: 1000 + 1001,
        id: 101,
        payload: payload(1001, 1001),
        ..first.clone()
    };
    (first, second)
}

#[test]
fn two_segments_become_the_one_that_a_sender_would_have_built() {
    for v6 in [false, true] {
        let (first, second) = pair(v6);
        let whole = Tcp {
            payload: payload(0, 2002),
            ..first.clone()
        };
        assert_eq!(
            joined(8, MAX_BYTES, &[first.build(), second.build()]),
            [whole.build()]
        );
    }
}

#[test]
fn one_difference_that_matters_keeps_segments_apart() {
    type Change = fn(&mut Tcp);
    let both: &[(&str, Change)] = &[
        ("a gap", |tcp| tcp.sequence += 1),
        ("an overlap", |tcp| tcp.sequence -= 1),
        ("another acknowledgment", |tcp| tcp.acknowledgment += 1),
        ("another window", |tcp| tcp.window += 1),
        ("another urgent pointer", |tcp| tcp.urgent += 1),
        ("another ECN mark", |tcp| tcp.traffic_class = 3),
        ("another hop limit", |tcp| tcp.hop_limit -= 1),
        ("another port", |tcp| tcp.port += 1),
        ("options", |tcp| tcp.options = vec![1, 1, 1, 1]),
        ("FIN", |tcp| tcp.flags |= FIN),
        ("SYN", |tcp| tcp.flags |= SYN),
        ("RST", |tcp| tcp.flags |= 4),
        ("URG", |tcp| tcp.flags |= URG),
        ("ECE", |tcp| tcp.flags |= ECE),
        ("CWR", |tcp| tcp.flags |= CWR),
        ("no ACK", |tcp| tcp.flags = 0),
        ("more payload", |tcp| tcp.payload.push(0)),
        ("no payload", |tcp| tcp.payload.clear()),
    ];
    let v4: &[(&str, Change)] = &[
        ("a fragmentable packet", |tcp| tcp.dont_fragment = false),
        ("the other version", |tcp| tcp.v6 = true),
    ];
    let v6: &[(&str, Change)] = &[("another flow label", |tcp| tcp.flow_label += 1)];
    for (version, changes) in [(false, both), (true, both), (false, v4), (true, v6)] {
        for (what, change) in changes {
            let (first, mut second) = pair(version);
            change(&mut second);
            let packets = [first.build(), second.build()];
            assert_eq!(joined(8, MAX_BYTES, &packets), packets, "{what}");
        }
    }
}

#[test]
fn fragmentable_packets_need_consecutive_identifications_and_others_do_not() {
    for (dont_fragment, id, count) in [(false, 101, 1), (false, 100, 2), (false, 102, 2), (true, 7, 1)] {
        let (first, second) = pair(false);
        let packets = [
            Tcp {
                dont_fragment,
                ..first
            }
            .build(),
            Tcp {
                dont_fragment,
                id,
                ..second
            }
            .build(),
        ];
        assert_eq!(joined(8, MAX_BYTES, &packets).len(), count, "id {id}");
    }
}

#[test]
fn a_damaged_segment_is_never_joined_and_comes_out_as_it_was() {
    for v6 in [false, true] {
        let (first, second) = pair(v6);
        let (first, second) = (first.build(), second.build());
        for at in 0..second.len() {
            let mut damaged = second.clone();
            damaged[at] ^= 0x10;
            // Both ways round: as the one that begins, and as the one that follows.
            let mut out = joined(8, MAX_BYTES, &[first.clone(), damaged.clone()]);
            out.sort();
            let mut expected = [first.clone(), damaged.clone()];
            expected.sort();
            // A hop limit is not covered by any checksum in IPv6, nor are traffic class and flow label.
            assert_eq!(out, expected, "byte {at}");
            let third = Tcp {
                sequence: 1000 + 2002,
                id: 102,
                v6,
                payload: payload(0, 1001),
                ..SEGMENT
            }
            .build();
            if !(v6 && at < 8) {
                let mut out = joined(8, MAX_BYTES, &[damaged.clone(), third.clone()]);
                out.sort();
                let mut expected = [damaged, third];
                expected.sort();
                assert_eq!(out, expected, "byte {at}");
            }
        }
    }
}

#[test]
fn a_push_ends_the_joined_segment_and_stays_on_it() {
    let (first, mut second) = pair(false);
    second.flags |= PSH;
    let mut coalescer = Coalescer::new(8, MAX_BYTES);
    coalescer.push(&first.build(), |_| panic!("held back"));
    let mut out = vec![];
    coalescer.push(&second.build(), |bytes| out.push(bytes.to_vec()));
    assert_eq!(
        out,
        [Tcp {
            flags: ACK | PSH,
            payload: payload(0, 2002),
            ..first
        }
        .build()]
    );
    assert!(coalescer.is_empty());
}

#[test]
fn a_shorter_segment_ends_the_joined_one() {
    let (first, second) = pair(false);
    let short = Tcp {
        payload: payload(1001, 10),
        ..second.clone()
    };
    let next = Tcp {
        sequence: short.sequence + 10,
        id: 102,
        payload: payload(1011, 10),
        ..second
    };
    let out = joined(8, MAX_BYTES, &[first.build(), short.build(), next.build()]);
    assert_eq!(
        out,
        [
            Tcp {
                payload: payload(0, 1011),
                ..first
            }
            .build(),
            next.build()
        ]
    );
}

#[test]
fn a_packet_that_may_be_part_of_a_flow_does_not_overtake_it() {
    let (first, second) = pair(false);
    let mut fragment = second.build();
    fragment[6] = 0x20; // more fragments
    let out = joined(8, MAX_BYTES, &[first.build(), fragment.clone()]);
    assert_eq!(out, [first.build(), fragment]);

    let (first, second) = pair(true);
    let mut extended = second.build();
    extended[6] = 60; // destination options
    let out = joined(8, MAX_BYTES, &[first.build(), extended.clone()]);
    assert_eq!(out, [first.build(), extended]);
}

#[test]
fn a_packet_that_is_no_tcp_does_not_wait_nor_disturb() {
    let (first, second) = pair(false);
    let mut udp = second.build();
    udp[9] = 17;
    let whole = Tcp {
        payload: payload(0, 2002),
        ..first.clone()
    };
    let out = joined(8, MAX_BYTES, &[first.build(), udp.clone(), second.build()]);
    assert_eq!(out, [udp, whole.build()]);
}

#[test]
fn one_flow_too_many_pushes_out_the_oldest() {
    let packets: Vec<Vec<u8>> = (0..9)
        .map(|port| {
            Tcp {
                port,
                payload: payload(0, 9),
                ..SEGMENT
            }
            .build()
        })
        .collect();
    let mut coalescer = Coalescer::new(8, MAX_BYTES);
    let mut out = vec![];
    for packet in &packets {
        coalescer.push(packet, |bytes| out.push(bytes.to_vec()));
    }
    assert_eq!(out, packets[..1]);
    coalescer.flush(|bytes| out.push(bytes.to_vec()));
    assert_eq!(out, packets);
}

#[test]
fn segments_with_a_reserved_bit_are_not_joined() {
    // Accurate ECN counts with one of them, segment by segment (RFC 9768).
    let (first, second) = pair(false);
    let packets = [first, second].map(|tcp| Tcp { reserved: 1, ..tcp }.build());
    assert_eq!(joined(8, MAX_BYTES, &packets), packets);
}

#[test]
fn a_packet_longer_than_the_buffer_is_not_held_back() {
    let (first, _) = pair(false);
    let packet = first.build();
    for (max_bytes, held_back) in [(packet.len(), true), (packet.len() - 1, false)] {
        let mut coalescer = Coalescer::new(8, max_bytes);
        coalescer.push(&packet, |bytes| assert_eq!(bytes, packet));
        assert_eq!(coalescer.is_empty(), !held_back);
    }
}

#[test]
fn segments_with_ip_options_are_not_joined() {
    // A header of 24 bytes: one word of no-operations.
    let with_options = |tcp: &Tcp| {
        let mut packet = tcp.build();
        packet.splice(20..20, [1, 1, 1, 1]);
        packet[0] = 0x46;
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[10..12].fill(0);
        let sum = checksum(&packet[..24]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    let (first, second) = pair(false);
    let packets = [with_options(&first), with_options(&second)];
    assert_eq!(joined(8, MAX_BYTES, &packets), packets);
}
