//! A batch is what its packets are one at a time, nothing outside of them is touched, and every forgery is
//! found in exactly the packet it was made in.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wirewright_aead::{Key, LayoutError, Packet, Slab, TAG_LEN, Verdict, open, open_one, seal, seal_one};

const KEYS: usize = 4;

fn keys() -> Vec<Key> {
    (0..KEYS as u8)
        .map(|i| Key::new(&[i.wrapping_mul(37); 32]))
        .collect()
}

/// A batch, the stride and the length of its slab.
#[derive(Clone, Debug)]
struct Batch {
    packets: Vec<Packet>,
    stride: usize,
    slab_len: usize,
}

impl Batch {
    fn range(&self, packet: usize) -> std::ops::Range<usize> {
        let packet = &self.packets[packet];
        let at = packet.slot as usize * self.stride + packet.start as usize;
        at..at + packet.len as usize + TAG_LEN
    }

    /// Bytes to encrypt, different everywhere, and canaries between the packets.
    fn slab(&self) -> Vec<u8> {
        (0..self.slab_len)
            .map(|i| (i.wrapping_mul(0x9e37_79b1) >> 13) as u8)
            .collect()
    }
}

fn batches(longest: u32, most: usize) -> impl Strategy<Value = Batch> {
    // Short packets are as likely as long ones: that is where the block edges are.
    let len = prop_oneof![0..=300_u32.min(longest), 0..=longest];
    let counter = prop_oneof![any::<u64>(), 0xffff_fff0..0x1_0000_0010_u64];
    let packet = (0..KEYS as u16, 1..4_u32, 0..40_u32, len, counter);
    (
        prop::collection::vec(packet, 0..most),
        0..200_usize,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(shapes, slack, round, cut)| {
            let mut next_slot = 0;
            let packets: Vec<Packet> = shapes
                .into_iter()
                .map(|(key, gap, start, len, counter)| {
                    let slot = next_slot + gap - 1;
                    next_slot = slot + 1;
                    Packet {
                        key,
                        slot,
                        start,
                        len,
                        counter,
                    }
                })
                .collect();
            let longest = packets
                .iter()
                .map(|p| (p.start + p.len) as usize + TAG_LEN)
                .max()
                .unwrap_or(0);
            let stride = if round {
                (longest + slack).next_multiple_of(64)
            } else {
                longest + slack
            };
            let mut batch = Batch {
                packets,
                stride,
                slab_len: next_slot as usize * stride,
            };
            if let (true, Some(last)) = (cut, batch.packets.len().checked_sub(1)) {
                batch.slab_len = batch.range(last).end;
            }
            batch
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_batch_is_what_its_packets_are_one_at_a_time(batch in batches(9000, 24)) {
        let keys = keys();
        let original = batch.slab();

        let mut one_by_one = original.clone();
        for (i, packet) in batch.packets.iter().enumerate() {
            seal_one(&keys[packet.key as usize], packet.counter, &[], &mut one_by_one[batch.range(i)]);
        }
        let mut sealed = original.clone();
        seal(&keys, &batch.packets, Slab { bytes: &mut sealed, stride: batch.stride }).unwrap();
        prop_assert!(sealed == one_by_one);

        let mut opened = sealed.clone();
        let mut verdicts = vec![Verdict::Forged; batch.packets.len()];
        open(&keys, &batch.packets, Slab { bytes: &mut opened, stride: batch.stride }, &mut verdicts).unwrap();
        prop_assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Authentic));
        for (i, packet) in batch.packets.iter().enumerate() {
            let verdict = open_one(
                &keys[packet.key as usize], packet.counter, &[], &mut one_by_one[batch.range(i)]);
            prop_assert_eq!(verdict, Verdict::Authentic);
            // What opening leaves in the place of the tag is nobody's business; put the original back.
            let tag = batch.range(i).end - TAG_LEN..batch.range(i).end;
            one_by_one[tag.clone()].copy_from_slice(&original[tag.clone()]);
            opened[tag.clone()].copy_from_slice(&original[tag]);
        }
        prop_assert!(one_by_one == original);
        prop_assert!(opened == original);
    }

    #[test]
    fn a_flipped_bit_is_a_forgery_of_exactly_its_packet(
        batch in batches(2000, 12).prop_filter("a victim", |batch| !batch.packets.is_empty()),
        victim: prop::sample::Index,
        bit: prop::sample::Index,
        part in 0..3,
    ) {
        let keys = keys();
        let original = batch.slab();
        let mut bytes = original.clone();
        seal(&keys, &batch.packets, Slab { bytes: &mut bytes, stride: batch.stride }).unwrap();

        let victim = victim.index(batch.packets.len());
        let range = batch.range(victim);
        let mut packets = batch.packets.clone();
        let text_bits = (range.len() - TAG_LEN) * 8;
        match part {
            0 => packets[victim].counter ^= 1 << bit.index(64),
            1 if text_bits > 0 => {
                let bit = bit.index(text_bits);
                bytes[range.start + bit / 8] ^= 1 << (bit % 8);
            }
            _ => {
                let bit = bit.index(TAG_LEN * 8);
                bytes[range.end - TAG_LEN + bit / 8] ^= 1 << (bit % 8);
            }
        }

        let mut verdicts = vec![Verdict::Authentic; packets.len()];
        open(&keys, &packets, Slab { bytes: &mut bytes, stride: batch.stride }, &mut verdicts).unwrap();
        for (i, verdict) in verdicts.into_iter().enumerate() {
            let text = batch.range(i).start..batch.range(i).end - TAG_LEN;
            if i == victim {
                prop_assert_eq!(verdict, Verdict::Forged);
                prop_assert!(bytes[text].iter().all(|&byte| byte == 0), "a forged text is wiped");
            } else {
                prop_assert_eq!(verdict, Verdict::Authentic);
                prop_assert!(bytes[text.clone()] == original[text]);
            }
        }
    }

    #[test]
    fn a_wrong_layout_is_found_before_any_byte_is_touched(
        batch in batches(300, 12).prop_filter("a victim", |batch| !batch.packets.is_empty()),
        victim: prop::sample::Index,
        flaw in 0..5,
        large in 1_u32..,
    ) {
        let Batch { mut packets, mut stride, slab_len } = batch.clone();
        let victim = victim.index(packets.len());
        let mut kept_len = slab_len;
        match flaw {
            0 => packets[victim].key += KEYS as u16,
            1 if victim > 0 => packets[victim].slot = packets[victim - 1].slot,
            2 => packets[victim].start = packets[victim].start.max(large).saturating_add(stride as u32),
            3 => packets[victim].len = u32::MAX - large / 2,
            4 => {
                let longest = packets.iter().map(|p| (p.start + p.len) as usize + TAG_LEN).max().unwrap();
                stride = longest - 1;
            }
            _ => kept_len = batch.range(packets.len() - 1).end - 1,
        }

        let original = batch.slab();
        let mut bytes = original.clone();
        let keys = keys();
        let mut verdicts = vec![Verdict::Authentic; packets.len()];
        let error = seal(&keys, &packets, Slab { bytes: &mut bytes[..kept_len], stride }).unwrap_err();
        let opened = open(&keys, &packets, Slab { bytes: &mut bytes[..kept_len], stride }, &mut verdicts);
        prop_assert_eq!(opened, Err(error));
        prop_assert!(bytes == original);
        prop_assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Authentic));
    }
}

const PACKET: Packet = Packet {
    key: 0,
    slot: 0,
    start: 16,
    len: 32,
    counter: 0,
};

/// What `seal` says about these packets in a slab of two slots of 64 bytes, which must stay untouched.
fn refusal(packets: &[Packet]) -> LayoutError {
    let mut bytes = [0x5a; 128];
    let error = seal(
        &keys(),
        packets,
        Slab {
            bytes: &mut bytes,
            stride: 64,
        },
    )
    .unwrap_err();
    assert_eq!(bytes, [0x5a; 128]);
    error
}

#[test]
fn each_layout_error_names_the_packet_and_the_flaw() {
    let second = Packet { slot: 1, ..PACKET };
    assert_eq!(
        refusal(&[PACKET, Packet { key: 4, ..second }]),
        LayoutError::UnknownKey {
            packet: 1,
            key: 4,
            keys: 4
        }
    );
    assert_eq!(
        refusal(&[PACKET, PACKET]),
        LayoutError::SlotNotIncreasing { packet: 1 }
    );
    assert_eq!(
        refusal(&[second, PACKET]),
        LayoutError::SlotNotIncreasing { packet: 1 }
    );
    assert_eq!(
        refusal(&[PACKET, Packet { len: 33, ..second }]),
        LayoutError::OutsideSlot { packet: 1 }
    );
    assert_eq!(
        refusal(&[PACKET, Packet { slot: 2, ..PACKET }]),
        LayoutError::OutsideSlab { packet: 1 }
    );
}

#[test]
fn no_packet_however_large_overflows_the_layout_check() {
    let huge = Packet {
        slot: u32::MAX,
        start: u32::MAX,
        len: u32::MAX,
        ..PACKET
    };
    let mut bytes = [0; 128];
    for stride in [0, 64, usize::MAX] {
        assert!(
            seal(
                &keys(),
                &[huge],
                Slab {
                    bytes: &mut bytes,
                    stride
                }
            )
            .is_err()
        );
    }
}

#[test]
fn verdicts_must_be_one_for_each_packet() {
    let mut bytes = [0x5a; 128];
    let keys = keys();
    let mut verdicts = [Verdict::Authentic; 2];
    assert_eq!(
        open(
            &keys,
            &[PACKET],
            Slab {
                bytes: &mut bytes,
                stride: 64
            },
            &mut verdicts
        ),
        Err(LayoutError::VerdictCount {
            packets: 1,
            verdicts: 2
        })
    );
    assert_eq!(bytes, [0x5a; 128]);
}

#[test]
fn a_packet_of_another_key_is_forged() {
    let mut bytes = [1; 64];
    let mut verdict = [Verdict::Authentic];
    seal(
        &keys(),
        &[PACKET],
        Slab {
            bytes: &mut bytes,
            stride: 64,
        },
    )
    .unwrap();
    let other = Packet { key: 1, ..PACKET };
    open(
        &keys(),
        &[other],
        Slab {
            bytes: &mut bytes,
            stride: 64,
        },
        &mut verdict,
    )
    .unwrap();
    assert_eq!(verdict, [Verdict::Forged]);
}

#[test]
fn an_empty_batch_needs_neither_keys_nor_slab() {
    let keys: [Key; 0] = [];
    assert_eq!(
        seal(
            &keys,
            &[],
            Slab {
                bytes: &mut [],
                stride: 0
            }
        ),
        Ok(())
    );
    assert_eq!(
        open(
            &keys,
            &[],
            Slab {
                bytes: &mut [],
                stride: 0
            },
            &mut []
        ),
        Ok(())
    );
}

#[test]
fn keys_may_be_given_by_reference_and_shared() {
    use std::sync::Arc;
    let shared: Vec<Arc<Key>> = keys().into_iter().map(Arc::new).collect();
    let borrowed: Vec<&Key> = shared.iter().map(AsRef::as_ref).collect();
    let mut by_arc = [1; 64];
    let mut by_reference = [1; 64];
    seal(
        &shared,
        &[PACKET],
        Slab {
            bytes: &mut by_arc,
            stride: 64,
        },
    )
    .unwrap();
    seal(
        &borrowed,
        &[PACKET],
        Slab {
            bytes: &mut by_reference,
            stride: 64,
        },
    )
    .unwrap();
    assert_eq!(by_arc, by_reference);
}

#[test]
fn every_layout_error_tells_what_to_do_in_words() {
    assert_eq!(
        LayoutError::OutsideSlot { packet: 3 }.to_string(),
        "packet 3 and its tag end behind their slot: use a larger stride"
    );
    assert_eq!(
        LayoutError::UnknownKey {
            packet: 0,
            key: 9,
            keys: 2
        }
        .to_string(),
        "packet 0 names key 9, but the batch has 2 keys"
    );
}
