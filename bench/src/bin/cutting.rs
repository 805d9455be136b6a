//! What it would give to cut, sum, head and seal each segment of a super-packet before the next one is cut (fused), instead of
//! cutting them all and then sealing them all (two passes), as the engine does.
//!
//! Both ways call the same functions on the same data, and leave the same bytes, which is checked. What differs is only where
//! a segment lies when the cipher reads it: in the first-level cache, or in the second, since 64 KiB were cut after it.
//! The super-packet is copied anew before each turn, as the kernel does when it is read; that is not timed.
//!
//! One JSON object a line on standard output:
//! `{"bench":"cutting","segments":46,"bytes":62980,"cut_ns":…,"seal_ns":…,"two_passes_ns":…,"fused_ns":…,"gain":…,"lowest":…,
//! "highest":…}`; times are nanoseconds of processor time a segment, medians over rounds of alternating turns; `gain` is the
//! median over the rounds of the share of the two passes' time that fusing saves.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::hint::black_box;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use wirewright_bench::{median, processor_ns};
use wirewright_engine::Batch;
use wirewright_offload::split::Split;

const MTU: usize = 1420;
const HEADERS: usize = 52;
const SEGMENT: usize = MTU - HEADERS;
const HEADROOM: usize = Batch::HEADROOM;
const TAG: usize = 16;
const STRIDE: usize = Batch::stride_for(MTU);
/// Of a super-packet of TCP: as many as an interface of ours lets the kernel put in one, a few, and two.
const COUNTS: [usize; 3] = [45, 8, 2];
const ROUNDS: usize = 41;
/// Segments that are cut and sealed in a turn, about: some ten milliseconds of work.
const TURN: usize = 9_000;

fn main() {
    for count in COUNTS {
        let mut bench = Bench::new(count);
        let ways: [fn(&mut Bench); 4] = [Bench::cut, Bench::seal, Bench::two_passes, Bench::fused];
        let mut times = ways.map(|_| Vec::with_capacity(ROUNDS));
        bench.compare();
        for round in 0..ROUNDS {
            // Whoever comes first finds what the last one left in the caches: each does in turn.
            for place in 0..ways.len() {
                let way = (place + round) % ways.len();
                times[way].push(bench.turn(ways[way]));
            }
        }
        let [cut, seal, two_passes, fused] = times;
        let mut gains: Vec<f64> = two_passes
            .iter()
            .zip(&fused)
            .map(|(two, one)| 1.0 - one / two)
            .collect();
        gains.sort_by(f64::total_cmp);
        let (lowest, highest) = (gains[ROUNDS / 4], gains[ROUNDS * 3 / 4]);
        println!(
            "{{\"bench\":\"cutting\",\"segments\":{count},\"bytes\":{},\"cut_ns\":{:.1},\"seal_ns\":{:.1},\
             \"two_passes_ns\":{:.1},\"fused_ns\":{:.1},\"gain\":{:.4},\"lower_quartile\":{lowest:.4},\
             \"upper_quartile\":{highest:.4}}}",
            bench.pristine.len(),
            median(cut),
            median(seal),
            median(two_passes),
            median(fused),
            median(gains),
        );
    }
}

struct Bench {
    count: usize,
    key: LessSafeKey,
    /// What the kernel has.
    pristine: Vec<u8>,
    /// What is read.
    super_packet: Vec<u8>,
    /// What is sent.
    slab: Vec<u8>,
}

impl Bench {
    fn new(count: usize) -> Self {
        let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, &[0x42; 32]) else {
            panic!("ring refused a key of 32 bytes")
        };
        let mut pristine: Vec<u8> = (0..HEADERS + count * SEGMENT)
            .map(|i| ((i * 31) >> 3) as u8)
            .collect();
        // IPv4 without options, TCP with 12 bytes of them.
        pristine[..20].fill(0);
        (pristine[0], pristine[8], pristine[9]) = (0x45, 64, 6);
        let len = pristine.len() as u16;
        pristine[2..4].copy_from_slice(&len.to_be_bytes());
        (pristine[32], pristine[33]) = (0x80, 0x10);
        Self {
            count,
            key: LessSafeKey::new(key),
            super_packet: pristine.clone(),
            pristine,
            slab: vec![0; 64 * STRIDE],
        }
    }

    /// Both ways leave the same datagrams.
    fn compare(&mut self) {
        self.two_passes();
        let two_passes = self.slab.clone();
        self.slab.fill(0);
        self.fused();
        assert!(self.slab == two_passes);
    }

    /// Nanoseconds of processor time a segment. Copying the super-packet anew is timed by itself, and taken off.
    fn turn(&mut self, way: fn(&mut Self)) -> f64 {
        let turns = TURN.div_ceil(self.count);
        let start = processor_ns();
        for _ in 0..turns {
            self.read();
        }
        let middle = processor_ns();
        for _ in 0..turns {
            self.read();
            way(self);
        }
        let end = processor_ns();
        ((end - middle) as f64 - (middle - start) as f64) / (turns * self.count) as f64
    }

    fn read(&mut self) {
        self.super_packet.copy_from_slice(black_box(&self.pristine));
        black_box(&mut self.super_packet);
    }

    fn cut(&mut self) {
        let split = split(&self.super_packet);
        for (index, slot) in self.slab.chunks_exact_mut(STRIDE).take(self.count).enumerate() {
            cut_one(&split, index, slot);
        }
    }

    fn seal(&mut self) {
        for (index, slot) in self.slab.chunks_exact_mut(STRIDE).take(self.count).enumerate() {
            seal_one(&self.key, index, slot);
        }
    }

    fn two_passes(&mut self) {
        self.cut();
        self.seal();
    }

    fn fused(&mut self) {
        let split = split(&self.super_packet);
        for (index, slot) in self.slab.chunks_exact_mut(STRIDE).take(self.count).enumerate() {
            cut_one(&split, index, slot);
            seal_one(&self.key, index, slot);
        }
    }
}

fn split(super_packet: &[u8]) -> Split<'_> {
    match Split::tcp(super_packet, SEGMENT) {
        Ok(split) => split,
        Err(error) => panic!("{error}"),
    }
}

fn cut_one(split: &Split<'_>, index: usize, slot: &mut [u8]) {
    let len = split.packet_len(index);
    assert!(split.write(index, &mut slot[HEADROOM..HEADROOM + len]));
}

fn seal_one(key: &LessSafeKey, index: usize, slot: &mut [u8]) {
    slot[..4].copy_from_slice(&[4, 0, 0, 0]);
    slot[4..8].fill(0x11);
    slot[8..HEADROOM].copy_from_slice(&(index as u64).to_le_bytes());
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(index as u64).to_le_bytes());
    // The packets of this benchmark all fill an MTU, so that none is padded.
    let (text, tag) = slot[HEADROOM..HEADROOM + MTU + TAG].split_at_mut(MTU);
    match key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), text) {
        Ok(computed) => tag.copy_from_slice(computed.as_ref()),
        Err(_) => panic!("ring refused to seal"),
    }
}
