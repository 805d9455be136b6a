//! What allowed IPs cost among 10^2 to 10^6 prefixes, ten a peer: insertion, lookup, memory, and the removal of a
//! peer, beside three other ways to find a peer's prefixes. `docs/notes/allowed-ips.md` discusses the figures.
//!
//! One JSON object a line on standard output. Times are nanoseconds, medians over rounds that alternate between
//! the sizes; ratios are to the time among 10^3 prefixes of the same run. A removal is of ten prefixes, timed
//! alone, and the peer is put back untimed; the cost of reading the clock is subtracted. *Warm* removals are all
//! from one table, which the caches hold if it is small; *cold* ones take turns among so many tables that 10^6
//! prefixes are in memory whatever the size of each, and no peer is removed twice before all others were.
//!
//! An argument limits the exponent of the largest size: `allowed_ips 5`.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeSet, HashSet};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_engine::allowed_ips::{AllowedIps, Prefix};

const PER_PEER: usize = 10;
const ROUNDS: usize = 20;
const REMOVALS: usize = 100;
const LOOKUPS: usize = 6400;
/// Lookups timed at once: as many packets as come in one batch.
const BATCH: usize = 64;

fn main() {
    let largest = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(6);
    let sizes: Vec<usize> = (2..=largest).map(|exponent| 10usize.pow(exponent)).collect();
    let clock = clock_ns();
    println!("{{\"bench\":\"allowed_ips\",\"clock_ns\":{clock:.1}}}");
    for family in [Family::V4, Family::V6] {
        for layout in [Layout::Neighbours, Layout::Random, Layout::Shuffled] {
            run::<Ring>(family, layout, &sizes, clock);
        }
    }
    let layout = Layout::Shuffled;
    run::<SearchTree>(Family::V4, layout, &sizes, clock);
    run::<SortedLists>(Family::V4, layout, &sizes, clock);
    // A walk over 10^6 nodes in random order takes a quarter of a second.
    let sizes: Vec<usize> = sizes.into_iter().filter(|&size| size <= 10_000).collect();
    run::<Traversal>(Family::V4, layout, &sizes, clock);
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

/// Where a peer's prefixes lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// Ten addresses in a row for each peer, peers in random places, each peer inserted at once.
    Neighbours,
    /// Ten random addresses, each peer inserted at once, as a configuration file does.
    Random,
    /// Ten random addresses, inserted in random order: no two nodes of a peer are near each other.
    Shuffled,
}

/// A way to find the prefixes of a peer that is to be removed.
trait Method {
    const NAME: &'static str;
    fn new(peers: usize) -> Self;
    fn insert(&mut self, prefix: Prefix, peer: u32);
    fn remove_peer(&mut self, peer: u32) -> usize;
    fn trie(&self) -> &AllowedIps<u64>;
}

/// The one that is built in: rings through the nodes.
struct Ring(AllowedIps<u64>);

impl Method for Ring {
    const NAME: &'static str = "ring";

    fn new(_peers: usize) -> Self {
        Self(AllowedIps::new())
    }

    fn insert(&mut self, prefix: Prefix, peer: u32) {
        let _ = self.0.insert(prefix, peer, u64::from(peer));
    }

    fn remove_peer(&mut self, peer: u32) -> usize {
        self.0.remove_peer(peer)
    }

    fn trie(&self) -> &AllowedIps<u64> {
        &self.0
    }
}

/// An ordered index by peer and prefix beside the trie. Each prefix is then removed by a descent.
struct SearchTree {
    trie: AllowedIps<u64>,
    index: BTreeSet<(u32, Prefix)>,
}

impl Method for SearchTree {
    const NAME: &'static str = "search tree";

    fn new(_peers: usize) -> Self {
        Self {
            trie: AllowedIps::new(),
            index: BTreeSet::new(),
        }
    }

    fn insert(&mut self, prefix: Prefix, peer: u32) {
        let _ = self.trie.insert(prefix, peer, u64::from(peer));
        self.index.insert((peer, prefix));
    }

    fn remove_peer(&mut self, peer: u32) -> usize {
        let first = Prefix::new(Ipv4Addr::UNSPECIFIED, 0).map(|prefix| (peer, prefix));
        let mut removed = 0;
        while let Ok(first) = first
            && let Some(&entry) = self.index.range(first..).next()
            && entry.0 == peer
        {
            self.index.remove(&entry);
            removed += usize::from(self.trie.remove(entry.1, peer));
        }
        removed
    }

    fn trie(&self) -> &AllowedIps<u64> {
        &self.trie
    }
}

/// A sorted list of prefixes for each peer. Each prefix is then removed by a descent.
struct SortedLists {
    trie: AllowedIps<u64>,
    lists: Vec<Vec<Prefix>>,
}

impl Method for SortedLists {
    const NAME: &'static str = "sorted lists";

    fn new(peers: usize) -> Self {
        Self {
            trie: AllowedIps::new(),
            lists: vec![Vec::new(); peers],
        }
    }

    fn insert(&mut self, prefix: Prefix, peer: u32) {
        let _ = self.trie.insert(prefix, peer, u64::from(peer));
        let list = &mut self.lists[peer as usize];
        if let Err(place) = list.binary_search(&prefix) {
            list.insert(place, prefix);
        }
    }

    fn remove_peer(&mut self, peer: u32) -> usize {
        let list = std::mem::take(&mut self.lists[peer as usize]);
        list.iter()
            .filter(|&&prefix| self.trie.remove(prefix, peer))
            .count()
    }

    fn trie(&self) -> &AllowedIps<u64> {
        &self.trie
    }
}

/// A walk over everything.
struct Traversal(AllowedIps<u64>);

impl Method for Traversal {
    const NAME: &'static str = "traversal";

    fn new(_peers: usize) -> Self {
        Self(AllowedIps::new())
    }

    fn insert(&mut self, prefix: Prefix, peer: u32) {
        let _ = self.0.insert(prefix, peer, u64::from(peer));
    }

    fn remove_peer(&mut self, peer: u32) -> usize {
        let own = self.0.iter().filter(|&(_, owner)| owner == peer);
        let own: Vec<Prefix> = own.map(|(prefix, _)| prefix).collect();
        own.iter().filter(|&&prefix| self.0.remove(prefix, peer)).count()
    }

    fn trie(&self) -> &AllowedIps<u64> {
        &self.0
    }
}

/// One size of one run: as many tables of that size as hold the largest number of prefixes together.
struct Subject<M> {
    tables: Vec<M>,
    /// By table and peer.
    prefixes: Vec<Vec<Vec<Prefix>>>,
    /// Tables and peers in the order in which they are removed.
    order: Vec<(usize, u32)>,
    next: usize,
    rng: ChaCha8Rng,
    insertions: Vec<f64>,
    lookups: Vec<f64>,
    warm: Vec<f64>,
    cold: Vec<f64>,
}

fn run<M: Method>(family: Family, layout: Layout, sizes: &[usize], clock: f64) {
    let total = sizes.last().copied().unwrap_or(0);
    let build = |&size: &usize| Subject::<M>::new(family, layout, size, total / size, clock);
    let mut subjects: Vec<_> = sizes.iter().map(build).collect();
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            subject.round(clock);
        }
    }
    let base = subjects.get(1).map_or((f64::NAN, f64::NAN), Subject::removal);
    for (subject, size) in subjects.iter().zip(sizes) {
        let (warm, cold) = subject.removal();
        println!(
            "{{\"bench\":\"allowed_ips\",\"method\":\"{}\",\"family\":\"{family:?}\",\"layout\":\"{layout:?}\",\
             \"prefixes\":{size},\"insert_ns\":{:.0},\"lookup_ns\":{:.1},\"remove_ten_warm_ns\":{warm:.0},\
             \"warm_ratio\":{:.2},\"remove_ten_cold_ns\":{cold:.0},\"cold_ratio\":{:.2},\
             \"bytes_per_prefix\":{:.1}}}",
            M::NAME,
            median(&subject.insertions),
            median(&subject.lookups),
            warm / base.0,
            cold / base.1,
            subject.tables[0].trie().allocated() as f64 / *size as f64,
        );
    }
}

impl<M: Method> Subject<M> {
    fn new(family: Family, layout: Layout, size: usize, tables: usize, clock: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(size as u64);
        let peers = size / PER_PEER;
        let mut subject = Self {
            tables: Vec::new(),
            prefixes: (0..tables)
                .map(|_| addresses(family, layout, peers, &mut rng))
                .collect(),
            order: (0..tables)
                .flat_map(|table| (0..peers as u32).map(move |peer| (table, peer)))
                .collect(),
            next: 0,
            rng,
            insertions: Vec::new(),
            lookups: Vec::new(),
            warm: Vec::new(),
            cold: Vec::new(),
        };
        shuffle(&mut subject.order, &mut subject.rng);
        for table in 0..tables {
            subject.build(table, layout, clock);
        }
        subject
    }

    fn build(&mut self, table: usize, layout: Layout, clock: f64) {
        let own = self.prefixes[table].iter();
        let mut all: Vec<(Prefix, u32)> = (0..)
            .zip(own)
            .flat_map(|(peer, own)| own.iter().map(move |&prefix| (prefix, peer)))
            .collect();
        if layout == Layout::Shuffled {
            shuffle(&mut all, &mut self.rng);
        }
        let mut method = M::new(self.prefixes[table].len());
        for (number, ten) in all.chunks(PER_PEER).enumerate() {
            let start = Instant::now();
            for &(prefix, peer) in ten {
                method.insert(prefix, peer);
            }
            // What an insertion costs once the table has at least half of its size.
            if number * PER_PEER * 2 >= all.len() && table < 100 {
                self.insertions
                    .push((start.elapsed().as_nanos() as f64 - clock) / PER_PEER as f64);
            }
        }
        self.tables.push(method);
    }

    fn round(&mut self, clock: f64) {
        for _ in 0..REMOVALS {
            let (table, peer) = self.order[self.next % self.order.len()];
            self.next += 1;
            let time = self.remove(table, peer, clock);
            self.cold.push(time);
        }
        let peers = self.prefixes[0].len();
        for _ in 0..REMOVALS {
            let peer = self.rng.next_u32() as usize % peers;
            let time = self.remove(0, peer as u32, clock);
            self.warm.push(time);
        }
        let sought: Vec<IpAddr> = (0..LOOKUPS)
            .map(|_| {
                let own = &self.prefixes[0][self.rng.next_u32() as usize % peers];
                own[self.rng.next_u32() as usize % own.len()].address()
            })
            .collect();
        let trie = self.tables[0].trie();
        for batch in sought.chunks(BATCH) {
            let start = Instant::now();
            for &address in batch {
                black_box(trie.lookup(address));
            }
            self.lookups
                .push((start.elapsed().as_nanos() as f64 - clock) / batch.len() as f64);
        }
    }

    /// Removes a peer, and puts it back when the time is taken.
    fn remove(&mut self, table: usize, peer: u32, clock: f64) -> f64 {
        let method = &mut self.tables[table];
        let start = Instant::now();
        let removed = method.remove_peer(peer);
        let time = start.elapsed().as_nanos() as f64 - clock;
        assert_eq!(removed, PER_PEER, "a peer owns what it was given");
        for &prefix in &self.prefixes[table][peer as usize] {
            method.insert(prefix, peer);
        }
        time
    }

    fn removal(&self) -> (f64, f64) {
        (median(&self.warm), median(&self.cold))
    }
}

/// Ten addresses for each peer, all different.
fn addresses(family: Family, layout: Layout, peers: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<Prefix>> {
    let mut seen = HashSet::new();
    let mut fresh = |mask: u128| loop {
        let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let bits = bits & mask;
        let address: IpAddr = match family {
            Family::V4 => Ipv4Addr::from_bits(bits as u32).into(),
            Family::V6 => Ipv6Addr::from_bits(bits).into(),
        };
        if seen.insert(address) {
            break address;
        }
    };
    let one = |address: IpAddr, offset: usize| match address {
        IpAddr::V4(v4) => Prefix::host(Ipv4Addr::from_bits(v4.to_bits() + offset as u32)),
        IpAddr::V6(v6) => Prefix::host(Ipv6Addr::from_bits(v6.to_bits() + offset as u128)),
    };
    (0..peers)
        .map(|_| match layout {
            Layout::Neighbours => {
                let first = fresh(!15);
                (0..PER_PEER).map(|offset| one(first, offset)).collect()
            }
            Layout::Random | Layout::Shuffled => (0..PER_PEER).map(|_| one(fresh(!0), 0)).collect(),
        })
        .collect()
}

fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.next_u64() as usize % (last + 1));
    }
}

fn clock_ns() -> f64 {
    let reads: Vec<f64> = (0..10_000)
        .map(|_| Instant::now().elapsed().as_nanos() as f64)
        .collect();
    median(&reads)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
