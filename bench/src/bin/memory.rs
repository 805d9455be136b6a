//! What a peer without a session weighs, everything included: its conversation, its places in the tables, both copies
//! of the directory, one IPv4 and one IPv6 address, its deadline. Half of the peers have an endpoint and a persistent
//! keepalive.
//!
//! It is the growth of *resident memory*, as the kernel counts it, so that what the allocator and half-empty vectors
//! waste is included. Each interface is measured in a process of its own: memory that an earlier one gave back to the
//! allocator would hide what the next one takes.
//!
//! One JSON object a line on standard output: resident bytes a peer; how much of that the process still has after all
//! peers were removed, which is what the allocator keeps for the next to come; and the bytes a peer after they were
//! added again, which shows that it was kept and not lost. Peers are added and removed a thousand at a time.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_bench::moment;
use wirewright_engine::allowed_ips::Prefix;
use wirewright_engine::{Control, Engine, Limits, Output, PeerConfig};
use wirewright_protocol::{PublicKey, SecretKey};

const PEERS: u32 = 100_000;
/// Peers added between two publications.
const GROUP: u32 = 1000;

fn main() {
    match std::env::args().nth(1).and_then(|shards| shards.parse().ok()) {
        Some(shards) => measure(shards),
        None => [1, 4].into_iter().for_each(in_a_process_of_its_own),
    }
}

fn in_a_process_of_its_own(shards: u8) {
    let program =
        std::env::current_exe().and_then(|program| Command::new(program).arg(shards.to_string()).status());
    match program {
        Ok(status) => assert!(status.success(), "measuring {shards} shards failed: {status}"),
        Err(error) => panic!("this program cannot start itself: {error}"),
    }
}

fn measure(shards: u8) {
    let now = moment(Duration::from_secs(1000));
    let mut output = Output::default();
    let rngs = (0..shards).map(|shard| ChaCha20Rng::from_seed([shard; 32]));
    let mut engine = Engine::new(rngs, &Limits::default(), 1420);
    engine.set_private_key(now, Some(SecretKey::from_bytes([7; 32])), &mut output);
    let mut in_groups = |change: fn(&mut Control, u32)| {
        for group in (0..PEERS).step_by(GROUP as usize) {
            let numbers = group..group + GROUP;
            engine.configure(
                now,
                |control| numbers.for_each(|number| change(control, number)),
                &mut output,
            );
        }
        (resident(), engine.control().peers().count())
    };

    let empty = resident();
    let (full, peers) = in_groups(add);
    assert_eq!(peers, PEERS as usize);
    let (emptied, peers) = in_groups(remove);
    assert_eq!(peers, 0);
    let (refilled, _) = in_groups(add);
    let per_peer = |bytes: u64| bytes.saturating_sub(empty) as f64 / f64::from(PEERS);
    println!(
        "{{\"bench\":\"memory\",\"shards\":{shards},\"peers\":{PEERS},\"bytes_per_peer\":{:.0},\
         \"kept_when_removed\":{:.0},\"bytes_per_peer_when_added_again\":{:.0}}}",
        per_peer(full),
        per_peer(emptied),
        per_peer(refilled),
    );
}

fn add(control: &mut Control, number: u32) {
    let added = control.set_peer(key(number), config(number));
    assert!(added.is_ok());
}

fn remove(control: &mut Control, number: u32) {
    assert!(control.remove_peer(&key(number)));
}

fn config(number: u32) -> PeerConfig {
    let v4 = Ipv4Addr::from_bits(10 << 24 | number);
    let v6 = Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number));
    let reachable = number.is_multiple_of(2);
    PeerConfig {
        endpoint: reachable.then(|| SocketAddr::from((v4.octets(), 51820))),
        persistent_keepalive: reachable.then_some(Some(Duration::from_secs(25))),
        allowed_ips: vec![Prefix::host(v4), Prefix::host(v6)],
        ..PeerConfig::default()
    }
}

/// Public keys are points, but nothing computes with these.
fn key(number: u32) -> PublicKey {
    let mut key = [0x55; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    PublicKey::from_bytes(key)
}

/// Bytes of memory that the kernel has given this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let Some(kib) = kib else {
        panic!("/proc/self/status does not say how much memory is resident; this program needs Linux")
    };
    kib * 1024
}
