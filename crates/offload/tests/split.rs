//! Cutting a super-segment: every segment is what a sender would have built, and joining undoes it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::{ACK, CWR, ECE, FIN, PSH, SEGMENT, SYN, Tcp, URG, Udp, checksum, payload};
use proptest::prelude::*;
use wirewright_offload::coalesce::{Coalescer, MAX_BYTES};
use wirewright_offload::split::{Split, SplitError};
use wirewright_offload::virtio::{Kind, Partial};

/// What each segment has to be, by the definition.
fn oracle(whole: &Tcp, segment_len: usize) -> Vec<Vec<u8>> {
    let count = whole.payload.len().div_ceil(segment_len).max(1);
    let part = |i: usize| {
        let offset = i * segment_len;
        let end = whole.payload.len().min(offset + segment_len);
        let mut flags = whole.flags;
        if i > 0 {
            flags &= !CWR;
        }
        if i + 1 < count {
            flags &= !(FIN | PSH);
        }
        let mut urgent = whole.urgent;
        if flags & URG != 0 {
            urgent = urgent.saturating_sub(offset.min(65_535) as u16);
            if offset > usize::from(whole.urgent) {
                flags &= !URG;
            }
        }
        Tcp {
            id: whole.id.wrapping_add(i as u16),
            sequence: whole.sequence.wrapping_add(offset as u32),
            flags,
            urgent,
            payload: whole.payload[offset..end].to_vec(),
            ..whole.clone()
        }
    };
    (0..count).map(|i| part(i).build()).collect()
}

fn super_segments(flags: impl Strategy<Value = u8>) -> impl Strategy<Value = (Tcp, usize)> {
    let len = prop_oneof![0..100_usize, 0..5000_usize, 60_000..=MAX_BYTES - 100];
    let fields = (
        any::<bool>(),
        any::<u16>(),
        any::<u32>(),
        any::<u16>(),
        any::<bool>(),
        any::<u16>(),
    );
    (
        fields,
        flags,
        prop::collection::vec(any::<[u8; 4]>(), 0..=10),
        len,
        1..3000_usize,
    )
        .prop_map(
            |((v6, port, sequence, id, dont_fragment, urgent), flags, options, len, segment_len)| {
                let whole = Tcp {
                    v6,
                    port,
                    sequence,
                    // Where there is no such field, the oracle must not count one.
                    id,
                    dont_fragment,
                    urgent,
                    flags,
                    options: options.concat(),
                    payload: payload(len, len),
                    ..SEGMENT
                };
                // Thousands of one-byte segments of a large packet would prove nothing and take long.
                (whole, segment_len.max(len / 300))
            },
        )
}

/// A packet of IPv6 with extension headers, of these kinds and so many times 8 bytes, behind its header. Addresses change on
/// the way, which the checksum knows nothing of.
fn extended(packet: &[u8], chain: &[(u8, u8)]) -> Vec<u8> {
    let (header, rest) = packet.split_at(40);
    let mut extended = header.to_vec();
    let kinds = chain.iter().map(|(kind, _)| *kind).chain([header[6]]);
    let mut kinds = kinds.collect::<Vec<u8>>().into_iter();
    extended[6] = kinds.next().unwrap();
    for ((_, eights), next) in chain.iter().zip(kinds) {
        extended.extend([next, eights - 1]);
        extended.extend(payload(9, usize::from(*eights) * 8 - 2));
    }
    if chain.iter().any(|(kind, _)| *kind == ROUTING) {
        extended[24..40].copy_from_slice(&[0x20; 16]);
    }
    extended.extend(rest);
    let len = extended.len() as u16 - 40;
    extended[4..6].copy_from_slice(&len.to_be_bytes());
    extended
}

/// What the kernel leaves of a checksum: the sum of the pseudo-header, of a packet without extension headers.
fn left_partial(mut packet: Vec<u8>, field: usize) -> Vec<u8> {
    let len = (packet.len() - 40) as u32;
    let pseudo = [
        &packet[8..40],
        &len.to_be_bytes(),
        &u32::from(packet[6]).to_be_bytes(),
    ];
    let sum = !checksum(&pseudo.concat());
    packet[40 + field..42 + field].copy_from_slice(&sum.to_be_bytes());
    packet
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;

fn chains() -> impl Strategy<Value = Vec<(u8, u8)>> {
    // 140 is shim6's, and stands for all that have the common form.
    let kind = prop_oneof![Just(HOP_BY_HOP), Just(ROUTING), Just(DESTINATION), Just(140)];
    prop::collection::vec((kind, 1..20_u8), 1..4)
}

fn behind(chain: &[(u8, u8)], field: u16) -> Option<Partial> {
    let eights: u16 = chain.iter().map(|(_, eights)| u16::from(*eights)).sum();
    Some(Partial {
        start: 40 + eights * 8,
        offset: field,
    })
}

/// All packets, each written to memory of its very length.
fn cut(packet: &[u8], segment_len: usize) -> Vec<Vec<u8>> {
    written(&Split::tcp(packet, segment_len).unwrap())
}

fn written(split: &Split<'_>) -> Vec<Vec<u8>> {
    (0..split.count())
        .map(|index| {
            let mut bytes = vec![0xa5; split.packet_len(index)];
            assert!(split.write(index, &mut bytes));
            bytes
        })
        .collect()
}

proptest! {
    #[test]
    fn every_segment_is_what_a_sender_would_have_built(
        (whole, segment_len) in super_segments(any::<u8>().prop_map(|flags| flags & !SYN & !4)),
    ) {
        prop_assert!(cut(&whole.build(), segment_len) == oracle(&whole, segment_len));
    }

    #[test]
    fn every_datagram_is_what_a_sender_would_have_built(
        (whole, segment_len) in super_segments(Just(0)),
    ) {
        let whole = Udp::of(&whole);
        let expected: Vec<Vec<u8>> = (0..whole.payload.len().div_ceil(segment_len).max(1))
            .map(|index| {
                let from = index * segment_len;
                let end = whole.payload.len().min(from + segment_len);
                let id = whole.id.wrapping_add(index as u16);
                Udp { id, payload: whole.payload[from..end].to_vec(), ..whole.clone() }.build()
            })
            .collect();
        prop_assert!(written(&Split::udp(&whole.build(), segment_len).unwrap()) == expected);
    }

    #[test]
    fn extension_headers_are_repeated_before_every_segment(
        (whole, segment_len) in super_segments(any::<u8>().prop_map(|flags| flags & !SYN & !4)),
        chain in chains(),
    ) {
        let mut whole = Tcp { v6: true, ..whole };
        whole.payload.truncate(63_000);
        let packet = extended(&left_partial(whole.build(), 16), &chain);
        let split = Split::asked(&packet, Kind::Tcp6, segment_len, behind(&chain, 16)).unwrap();
        let segments = oracle(&whole, segment_len);
        let expected: Vec<Vec<u8>> = segments.iter().map(|segment| extended(segment, &chain)).collect();
        prop_assert!(written(&split) == expected);
    }

    #[test]
    fn extension_headers_are_repeated_before_every_datagram(
        (whole, segment_len) in super_segments(Just(0)),
        chain in chains(),
    ) {
        let mut whole = Udp::of(&Tcp { v6: true, ..whole });
        whole.payload.truncate(63_000);
        let packet = extended(&left_partial(whole.build(), 6), &chain);
        let split = Split::asked(&packet, Kind::Udp, segment_len, behind(&chain, 6)).unwrap();
        let parts = (0..split.count()).map(|index| {
            let from = index * segment_len;
            let end = whole.payload.len().min(from + segment_len);
            let part = Udp { payload: whole.payload[from..end].to_vec(), ..whole.clone() };
            extended(&part.build(), &chain)
        });
        prop_assert!(written(&split) == parts.collect::<Vec<_>>());
    }

    #[test]
    fn what_tells_another_beginning_than_the_extension_headers_do_is_refused(
        chain in prop_oneof![Just(vec![]), chains()],
        start in prop_oneof![0..500_u16, any::<u16>()],
        offset in prop_oneof![Just(16), Just(6), any::<u16>()],
    ) {
        let whole = Tcp { v6: true, payload: payload(0, 3000), ..SEGMENT };
        let packet = extended(&whole.build(), &chain);
        let asked = Partial { start, offset };
        let split = Split::asked(&packet, Kind::Tcp6, 1000, Some(asked));
        let expected = if Some(asked) == behind(&chain, 16) { None } else { Some(SplitError::Checksum) };
        prop_assert_eq!(split.err(), expected);
    }

    #[test]
    fn memory_of_another_length_and_packets_that_are_not_there_are_refused(
        (whole, segment_len) in super_segments(Just(ACK)),
        wrong in 0..3000_usize,
    ) {
        let packet = whole.build();
        let split = Split::tcp(&packet, segment_len).unwrap();
        let mut bytes = vec![0xa5; wrong];
        if wrong != split.packet_len(0) {
            prop_assert!(!split.write(0, &mut bytes));
        }
        let mut bytes = vec![0xa5; split.packet_len(split.count())];
        prop_assert!(!split.write(split.count(), &mut bytes));
        prop_assert!(bytes.iter().all(|&byte| byte == 0xa5), "nothing was written");
    }

    #[test]
    fn joining_what_was_cut_gives_the_super_segment_again(
        (whole, segment_len) in super_segments(prop_oneof![Just(ACK), Just(ACK | PSH)]),
    ) {
        let packet = whole.build();
        let mut coalescer = Coalescer::new(8, MAX_BYTES);
        let mut joined = vec![];
        for segment in oracle(&whole, segment_len) {
            coalescer.push(&segment, |bytes| joined.push(bytes.to_vec()));
        }
        coalescer.flush(|bytes| joined.push(bytes.to_vec()));
        prop_assert!(joined == [packet]);
    }

    #[test]
    fn no_bytes_make_it_panic(
        mut packet in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..120),
            super_segments(any::<u8>()).prop_map(|(whole, _)| whole.build()),
        ],
        changes in prop::collection::vec((0..64_usize, any::<u8>()), 0..4),
        segment_len in 0..100_usize,
        chain in prop_oneof![Just(vec![]), chains()],
        start in prop_oneof![0..200_u16, any::<u16>()],
    ) {
        if packet.len() > 40 && packet.len() < 60_000 && packet[0] >> 4 == 6 {
            packet = extended(&packet, &chain);
        }
        for (at, value) in changes {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
        let start = if start == 0 { behind(&chain, 0).unwrap().start } else { start };
        for split in [
            Split::tcp(&packet, segment_len),
            Split::udp(&packet, segment_len),
            Split::asked(&packet, Kind::Tcp6, segment_len, Some(Partial { start, offset: 16 })),
            Split::asked(&packet, Kind::Udp, segment_len, Some(Partial { start, offset: 6 })),
        ].into_iter().flatten() {
            let index = split.count() - 1;
            prop_assert!(split.write(index, &mut vec![0; split.packet_len(index)]));
        }
    }
}

fn refusal(packet: &[u8], segment_len: usize) -> SplitError {
    Split::tcp(packet, segment_len).err().unwrap()
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let data = Tcp {
        payload: payload(0, 1000),
        ..SEGMENT
    };
    assert_eq!(refusal(&data.build(), 0), SplitError::ZeroSegment);
    assert_eq!(
        refusal(
            &Tcp {
                flags: SYN,
                ..data.clone()
            }
            .build(),
            500
        ),
        SplitError::Flags
    );
    let mut fragment = data.build();
    fragment[6] = 0x20;
    assert_eq!(refusal(&fragment, 500), SplitError::NotTcp);
    let mut trailing = data.build();
    trailing.push(0);
    assert_eq!(refusal(&trailing, 500), SplitError::NotTcp);
    let mut udp = data.build();
    udp[9] = 17;
    assert_eq!(refusal(&udp, 500), SplitError::NotTcp);
    assert_eq!(refusal(&[], 500), SplitError::NotTcp);
}

#[test]
fn extension_headers_that_are_not_to_be_repeated_or_end_nowhere_are_refused() {
    let whole = Tcp {
        v6: true,
        payload: payload(0, 3000),
        ..SEGMENT
    };
    let asked = |packet: &[u8], chain: &[(u8, u8)]| {
        let split = Split::asked(packet, Kind::Tcp6, 1000, behind(chain, 16));
        split.err()
    };
    // A fragment, IPsec, other protocols, nothing.
    for kind in [44, 50, 51, 17, 58, 59] {
        let chain = [(DESTINATION, 2), (kind, 1)];
        let packet = extended(&whole.build(), &chain);
        assert_eq!(asked(&packet, &chain), Some(SplitError::NotTcp), "{kind}");
    }
    let chain = [(HOP_BY_HOP, 1), (DESTINATION, 2)];
    let packet = extended(&whole.build(), &chain);
    assert_eq!(asked(&packet, &chain), None);
    for len in 0..packet.len() {
        let mut short = packet[..len].to_vec();
        if let Some(told) = len.checked_sub(40) {
            short[4..6].copy_from_slice(&(told as u16).to_be_bytes());
        }
        let expected = (len < 64 + 20).then_some(SplitError::NotTcp);
        assert_eq!(asked(&short, &chain), expected, "{len}");
    }
    let mut wrong = packet.clone();
    wrong[41] = 0xff;
    assert_eq!(asked(&wrong, &chain), Some(SplitError::NotTcp));
    let mut trailing = packet.clone();
    trailing.push(0);
    assert_eq!(asked(&trailing, &chain), Some(SplitError::NotTcp));
    // Without a checksum to complete, nobody tells who talks to whom.
    let split = Split::asked(&packet, Kind::Tcp6, 1000, None);
    assert_eq!(split.err(), Some(SplitError::NotTcp));
}

#[test]
fn a_partial_checksum_is_completed() {
    let whole = Tcp {
        flags: ACK | ECE,
        payload: payload(0, 700),
        ..SEGMENT
    };
    let mut packet = whole.build();
    packet[36..38].copy_from_slice(&[0x12, 0x34]);
    assert_eq!(cut(&packet, 1000), [whole.build()]);
}
