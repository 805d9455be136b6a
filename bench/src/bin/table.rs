//! What single operations of the step-by-step hash table cost from 1 to 10^6 entries and back, beside hashbrown's
//! own map, which resizes at once. Keys are 32 bytes and values 12, as in the directory of peers.
//!
//! One JSON object a line on standard output, of nanoseconds an operation: median, some high quantiles, and the
//! worst. It is the *thread's processor time*, so that being preempted does not count; to read that clock is a
//! system call, which is in every figure. Page faults and interrupts count: compare with the worst of `get`, which
//! allocates nothing.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use wirewright_engine::table::Table;

const ENTRIES: u64 = 1_000_000;
const ROUNDS: usize = 5;

type Key = [u8; 32];
type Value = [u32; 3];

fn main() {
    for _ in 0..ROUNDS {
        let mut table = Table::<Key, Value>::new(0x0123_4567_89ab_cdef);
        report("table", "insert", |number| {
            table.insert(key(number), [0; 3]);
        });
        let bytes = table.allocated() as f64 / ENTRIES as f64;
        report("table", "get", |number| {
            black_box(table.get(&key(number)));
        });
        report("table", "remove", |number| {
            table.remove(&key(number));
        });
        println!(
            "{{\"bench\":\"table\",\"bytes_per_entry\":{bytes:.1},\"moved\":{}}}",
            table.work().moved
        );
        // The standard map is hashbrown's, with a hash as strong as ours.
        let mut map = HashMap::<Key, Value>::new();
        report("hashbrown", "insert", |number| {
            map.insert(key(number), [0; 3]);
        });
        report("hashbrown", "get", |number| {
            black_box(map.get(&key(number)));
        });
        report("hashbrown", "remove", |number| {
            map.remove(&key(number));
        });
    }
}

fn key(number: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key
}

fn report(method: &str, operation: &str, mut run: impl FnMut(u64)) {
    let mut times: Vec<u64> = (0..ENTRIES)
        .map(|number| {
            let start = processor_ns();
            run(number);
            processor_ns() - start
        })
        .collect();
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

fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
