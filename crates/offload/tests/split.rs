//! Cutting a super-segment: every segment is what a sender would have built, and joining undoes it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::{ACK, CWR, ECE, FIN, PSH, SEGMENT, SYN, Tcp, URG, Udp, payload};
use proptest::prelude::*;
use wirewright_offload::coalesce::{Coalescer, MAX_BYTES};
use wirewright_offload::split::{Split, SplitError};

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
    ) {
        for (at, value) in changes {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
        for split in [Split::tcp(&packet, segment_len), Split::udp(&packet, segment_len)].into_iter().flatten() {
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
