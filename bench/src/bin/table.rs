//! What single operations of the step-by-step hash table cost from 1 to 10^6 entries and back, beside hashbrown's
//! own map, which resizes at once. Keys are 32 bytes and values 12, as in the directory of peers.
//!
//! One JSON object a line on standard output, of nanoseconds an operation: median, some high quantiles, and the
//! worst, over all rounds. It is the *thread's processor time*, so that being preempted does not count; to read that
//! clock is a system call, which is in every figure. Page faults and interrupts count: compare with the worst of `get`,
//! which allocates nothing.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::black_box;

use wirewright_bench::processor_ns;
use wirewright_engine::table::Table;

const ENTRIES: u64 = 1_000_000;
const ROUNDS: usize = 3;

type Key = [u8; 32];
type Value = [u32; 3];

fn main() {
    let mut ours = [const { Vec::new() }; 3];
    let mut theirs = [const { Vec::new() }; 3];
    let mut bytes = 0;
    let mut moved = 0;
    for _ in 0..ROUNDS {
        let [insert, get, remove] = &mut ours;
        let mut table = Table::<Key, Value>::new(0x0123_4567_89ab_cdef);
        measure(insert, |number| {
            table.insert(key(number), [0; 3]);
        });
        bytes = table.allocated();
        measure(get, |number| {
            black_box(table.get(&key(number)));
        });
        measure(remove, |number| {
            table.remove(&key(number));
        });
        moved = table.work().moved;
        // The standard map is hashbrown's, with a hash as strong as ours.
        let [insert, get, remove] = &mut theirs;
        let mut map = HashMap::<Key, Value>::new();
        measure(insert, |number| {
            map.insert(key(number), [0; 3]);
        });
        measure(get, |number| {
            black_box(map.get(&key(number)));
        });
        measure(remove, |number| {
            map.remove(&key(number));
        });
    }
    for (method, times) in [("table", ours), ("hashbrown", theirs)] {
        for (operation, times) in ["insert", "get", "remove"].iter().zip(times) {
            report(method, operation, times);
        }
    }
    println!(
        "{{\"bench\":\"table\",\"bytes_per_entry\":{:.1},\"moved_per_entry\":{:.2}}}",
        bytes as f64 / ENTRIES as f64,
        moved as f64 / ENTRIES as f64,
    );
}

fn key(number: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key
}

fn measure(times: &mut Vec<u32>, mut run: impl FnMut(u64)) {
    times.extend((0..ENTRIES).map(|number| {
        let start = processor_ns();
        run(number);
        u32::try_from(processor_ns() - start).unwrap_or(u32::MAX)
    }));
}

fn report(method: &str, operation: &str, mut times: Vec<u32>) {
    times.sort_unstable();
    let at = |per_million: usize| times[(times.len() - 1) * per_million / 1_000_000];
    println!(
        "{{\"bench\":\"table\",\"method\":\"{method}\",\"operation\":\"{operation}\",\"median_ns\":{},\"p99_ns\":{},\
         \"p99_9_ns\":{},\"p99_999_ns\":{},\"worst_ns\":{}}}",
        at(500_000),
        at(990_000),
        at(999_000),
        at(999_990),
        at(1_000_000),
    );
}
