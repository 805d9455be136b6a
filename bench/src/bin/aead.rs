//! What a packet costs to seal and to open, beside `ring` called the way a packet loop without batches calls
//! it: key set up for every packet, one packet at a time.
//!
//! One JSON object a line on standard output:
//! `{"bench":"aead","operation":"seal","size":1440,"packets":45,"batch_ns":…,"ring_ns":…,"ratio":…}`;
//! times are nanoseconds a packet, medians over alternating rounds of the same run; `ratio` is the median over
//! the rounds of ring's time by ours. Clocks drift from run to run: quote ratios.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use wirewright_aead::{KEY_LEN, Key, Packet, Slab, TAG_LEN, Verdict};
use wirewright_bench::median;

const SIZES: [usize; 7] = [64, 256, 512, 1024, 1440, 4096, 9000];
/// One 64 KiB super-packet, cut into segments that fill 1440 bytes each, is 45 packets.
const PACKETS: usize = 45;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(20);
const SECRET: [u8; KEY_LEN] = [0x42; KEY_LEN];

fn main() {
    for size in SIZES {
        for operation in [Operation::Seal, Operation::Open] {
            let mut bench = Bench::new(size, operation);
            let mut batch = Vec::with_capacity(ROUNDS);
            let mut ring = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                batch.push(bench.round(Bench::batched));
                ring.push(bench.round(Bench::one_at_a_time));
            }
            let ratio = median(
                ring.iter()
                    .zip(&batch)
                    .map(|(ring, batch)| ring / batch)
                    .collect(),
            );
            let (batch, ring) = (median(batch), median(ring));
            println!(
                "{{\"bench\":\"aead\",\"operation\":\"{}\",\"size\":{size},\"packets\":{PACKETS},\
                 \"batch_ns\":{batch:.1},\"ring_ns\":{ring:.1},\"ratio\":{ratio:.3}}}",
                operation.name(),
            );
        }
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Seal,
    Open,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }
}

struct Bench {
    operation: Operation,
    key: Key,
    packets: Vec<Packet>,
    stride: usize,
    bytes: Vec<u8>,
    /// What `bytes` is filled with again before every timed pass, so that opening finds authentic packets.
    pristine: Vec<u8>,
    verdicts: Vec<Verdict>,
}

impl Bench {
    fn new(size: usize, operation: Operation) -> Self {
        let stride = (size + TAG_LEN).next_multiple_of(64);
        let packets: Vec<Packet> = (0..PACKETS as u32)
            .map(|slot| Packet {
                key: 0,
                slot,
                start: 0,
                len: size as u32,
                counter: slot.into(),
            })
            .collect();
        let key = Key::new(&SECRET);
        let mut pristine: Vec<u8> = (0..stride * PACKETS).map(|i| ((i * 31) >> 3) as u8).collect();
        if let Operation::Open = operation {
            let sealed = wirewright_aead::seal(
                &[&key],
                &packets,
                Slab {
                    bytes: &mut pristine,
                    stride,
                },
            );
            assert_eq!(sealed, Ok(()));
        }
        let bytes = pristine.clone();
        Self {
            operation,
            key,
            packets,
            stride,
            bytes,
            pristine,
            verdicts: vec![Verdict::Forged; PACKETS],
        }
    }

    /// Nanoseconds a packet of one way of doing it, over about `ROUND`. Restoring the slab is not timed; it
    /// leaves the slab in the cache, for both ways alike.
    fn round(&mut self, pass: fn(&mut Self)) -> f64 {
        let end = Instant::now() + ROUND;
        let mut spent = Duration::ZERO;
        let mut passes = 0_u32;
        while Instant::now() < end {
            self.bytes.copy_from_slice(&self.pristine);
            let start = Instant::now();
            pass(self);
            spent += start.elapsed();
            passes += 1;
        }
        spent.as_nanos() as f64 / f64::from(passes) / PACKETS as f64
    }

    fn batched(&mut self) {
        let keys = [black_box(&self.key)];
        let slab = Slab {
            bytes: black_box(&mut self.bytes),
            stride: self.stride,
        };
        match self.operation {
            Operation::Seal => {
                assert_eq!(
                    wirewright_aead::seal(&keys, black_box(&self.packets), slab),
                    Ok(())
                );
            }
            Operation::Open => {
                let done = wirewright_aead::open(&keys, black_box(&self.packets), slab, &mut self.verdicts);
                assert_eq!(done, Ok(()));
                assert!(self.verdicts.iter().all(|&verdict| verdict == Verdict::Authentic));
            }
        }
        black_box(&mut self.bytes);
    }

    fn one_at_a_time(&mut self) {
        for packet in black_box(&self.packets) {
            let key = UnboundKey::new(&CHACHA20_POLY1305, black_box(&SECRET)).map(LessSafeKey::new);
            let Ok(key) = key else {
                panic!("ring refused a key of {KEY_LEN} bytes")
            };
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&packet.counter.to_le_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let at = packet.slot as usize * self.stride;
            let packet = &mut self.bytes[at..at + packet.len as usize + TAG_LEN];
            let Some((text, tag)) = packet.split_last_chunk_mut::<TAG_LEN>() else {
                continue;
            };
            match self.operation {
                Operation::Seal => {
                    let computed = key.seal_in_place_separate_tag(nonce, Aad::empty(), text);
                    let Ok(computed) = computed else {
                        panic!("ring refused to seal")
                    };
                    tag.copy_from_slice(computed.as_ref());
                }
                Operation::Open => {
                    let tag = Tag::from(*tag);
                    let opened = key.open_in_place_separate_tag(nonce, Aad::empty(), tag, text, 0..);
                    assert!(opened.is_ok());
                }
            }
        }
        black_box(&mut self.bytes);
    }
}
