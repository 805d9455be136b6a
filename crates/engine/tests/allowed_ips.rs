//! The trie against a list that is searched from end to end.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_engine::allowed_ips::{AllowedIps, Prefix};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn check(allowed: &AllowedIps<u64>) {
    #[cfg(debug_assertions)]
    allowed.check();
    let _ = allowed;
}

fn table(entries: &[(&str, u32)]) -> AllowedIps<u64> {
    let mut allowed = AllowedIps::new();
    for &(text, owner) in entries {
        allowed
            .insert(prefix(text), owner, u64::from(owner) * 100)
            .unwrap();
        check(&allowed);
    }
    allowed
}

fn texts(prefixes: impl Iterator<Item = Prefix>) -> Vec<String> {
    prefixes.map(|prefix| prefix.to_string()).collect()
}

#[test]
fn the_longest_prefix_wins() {
    let allowed = table(&[
        ("10.0.0.0/8", 1),
        ("10.1.0.0/16", 2),
        ("10.1.2.3/32", 3),
        ("0.0.0.0/0", 4),
    ]);
    for (address, value) in [
        ("10.2.0.1", 100),
        ("10.1.0.1", 200),
        ("10.1.2.3", 300),
        ("11.0.0.1", 400),
    ] {
        assert_eq!(allowed.lookup(ip(address)), Some(value), "{address}");
    }
}

#[test]
fn the_families_are_apart() {
    let allowed = table(&[("0.0.0.0/0", 1)]);
    assert_eq!(allowed.lookup(ip("::")), None);
    assert_eq!(allowed.lookup(ip("::ffff:10.0.0.1")), None);
    let allowed = table(&[("::/0", 1), ("fd00::1/128", 2)]);
    assert_eq!(allowed.lookup(ip("0.0.0.0")), None);
    assert_eq!(allowed.lookup_v6(Ipv6Addr::LOCALHOST.octets()), Some(100));
    assert_eq!(allowed.lookup(ip("fd00::1")), Some(200));
}

#[test]
fn an_empty_table_knows_no_one() {
    let allowed = AllowedIps::<u64>::new();
    assert_eq!(allowed.lookup(ip("10.0.0.1")), None);
    assert_eq!(allowed.lookup(ip("fd00::1")), None);
    assert_eq!((allowed.len(), allowed.allocated()), (0, 0));
}

#[test]
fn a_prefix_given_to_another_peer_moves() {
    let mut allowed = table(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 1)]);
    assert_eq!(allowed.insert(prefix("10.0.0.0/8"), 2, 200), Ok(Some(1)));
    assert_eq!(allowed.insert(prefix("10.0.0.0/8"), 2, 200), Ok(Some(2)));
    check(&allowed);
    assert_eq!(texts(allowed.iter_peer(1)), ["10.1.0.0/16"]);
    assert_eq!(texts(allowed.iter_peer(2)), ["10.0.0.0/8"]);
    assert_eq!(allowed.len(), 2);
    assert_eq!(allowed.owner(prefix("10.0.0.0/8")), Some(2));
}

#[test]
fn a_peer_cannot_remove_what_belongs_to_another() {
    let mut allowed = table(&[("10.0.0.0/8", 1), ("10.0.0.0/9", 2), ("10.128.0.0/9", 2)]);
    assert!(!allowed.remove(prefix("10.0.0.0/8"), 2));
    assert!(!allowed.remove(prefix("10.0.0.0/10"), 1));
    assert!(allowed.remove(prefix("10.0.0.0/8"), 1));
    assert!(
        !allowed.remove(prefix("10.0.0.0/8"), 1),
        "what is glue now belongs to no one"
    );
    check(&allowed);
    assert_eq!(allowed.owner(prefix("10.0.0.0/8")), None);
    assert_eq!(allowed.len(), 2);
}

#[test]
fn a_peers_prefixes_come_in_the_order_in_which_it_got_them() {
    let mut allowed = table(&[
        ("fd00::/64", 1),
        ("10.2.0.0/16", 1),
        ("10.1.0.0/16", 1),
        ("10.3.0.0/16", 1),
        ("::/0", 1),
    ]);
    assert_eq!(
        texts(allowed.iter_peer(1)),
        ["10.2.0.0/16", "10.1.0.0/16", "10.3.0.0/16", "fd00::/64", "::/0"]
    );
    allowed.remove(prefix("10.2.0.0/16"), 1);
    allowed.insert(prefix("10.2.0.0/16"), 1, 100).unwrap();
    allowed.insert(prefix("10.1.0.0/16"), 1, 100).unwrap();
    assert_eq!(
        texts(allowed.iter_peer(1)),
        ["10.1.0.0/16", "10.3.0.0/16", "10.2.0.0/16", "fd00::/64", "::/0"]
    );
    assert_eq!(allowed.iter_peer(7).count(), 0);
}

#[test]
fn all_prefixes_come_sorted() {
    let allowed = table(&[
        ("::/0", 1),
        ("10.0.0.0/9", 2),
        ("9.0.0.0/8", 3),
        ("10.0.0.0/8", 4),
        ("10.128.0.0/9", 5),
    ]);
    let all: Vec<_> = allowed
        .iter()
        .map(|(prefix, owner)| (prefix.to_string(), owner))
        .collect();
    let expected = [
        ("9.0.0.0/8", 3),
        ("10.0.0.0/8", 4),
        ("10.0.0.0/9", 2),
        ("10.128.0.0/9", 5),
        ("::/0", 1),
    ];
    assert!(
        all.iter()
            .map(|(text, owner)| (text.as_str(), *owner))
            .eq(expected),
        "{all:?}"
    );
}

#[test]
fn a_peers_value_changes_for_all_of_its_prefixes_at_once() {
    let mut allowed = table(&[("10.0.0.0/8", 1), ("fd00::/64", 1), ("11.0.0.0/8", 2)]);
    assert!(allowed.set_value(1, 7));
    assert!(!allowed.set_value(3, 7), "a peer without prefixes has no value");
    let found = ["10.0.0.1", "fd00::1", "11.0.0.1"].map(|address| allowed.lookup(ip(address)));
    assert_eq!(found, [Some(7), Some(7), Some(200)]);
}

#[test]
fn a_copy_does_not_follow_the_original() {
    let mut allowed = table(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 2)]);
    let copy = allowed.clone();
    assert_eq!(allowed.remove_peer(1), 1);
    assert_eq!(allowed.lookup(ip("10.0.0.1")), None);
    assert_eq!(copy.lookup(ip("10.0.0.1")), Some(100));
    check(&copy);
}

#[test]
fn an_impossible_owner_is_refused() {
    let mut allowed = AllowedIps::new();
    let refused = allowed.insert(prefix("::/0"), u32::MAX, 0).unwrap_err();
    assert!(refused.to_string().contains("4294967295"), "{refused}");
    assert!(allowed.is_empty());
}

#[test]
fn memory_returns_when_prefixes_go() {
    let mut allowed = AllowedIps::new();
    for number in 0..100_000u32 {
        let host = Prefix::host(Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1)));
        allowed.insert(host, number / 10, 0u64).unwrap();
    }
    let most = allowed.allocated();
    for owner in 0..9_999 {
        assert_eq!(allowed.remove_peer(owner), 10);
        // Two nodes of 28 bytes a prefix; half as many free; and 8/5 as much room as is filled. Heads and
        // values stay until the highest owner goes.
        let bound = allowed.len() * 2 * 28 * 3 / 2 * 8 / 5 + 16_384 * 12 + 10_000;
        assert!(
            allowed.allocated() < bound,
            "{} bytes for {} prefixes",
            allowed.allocated(),
            allowed.len()
        );
    }
    check(&allowed);
    assert_eq!(allowed.iter_peer(9_999).count(), 10);
    assert_eq!(allowed.remove_peer(9_999), 10);
    assert!(
        allowed.allocated() < most / 50,
        "{} of {most} bytes",
        allowed.allocated()
    );
}

/// What a trie must do, done the slow way.
#[derive(Clone, Default)]
struct Oracle {
    /// In the order in which the owners got them.
    entries: Vec<(Prefix, u32)>,
}

impl Oracle {
    fn insert(&mut self, prefix: Prefix, owner: u32) -> Option<u32> {
        let former = self.owner(prefix);
        if former != Some(owner) {
            self.entries.retain(|&(other, _)| other != prefix);
            self.entries.push((prefix, owner));
        }
        former
    }

    fn remove(&mut self, prefix: Prefix, owner: u32) -> bool {
        let before = self.entries.len();
        self.entries.retain(|&entry| entry != (prefix, owner));
        self.entries.len() < before
    }

    fn remove_peer(&mut self, owner: u32) -> usize {
        let before = self.entries.len();
        self.entries.retain(|&(_, other)| other != owner);
        before - self.entries.len()
    }

    fn owner(&self, prefix: Prefix) -> Option<u32> {
        self.entries
            .iter()
            .find(|&&(other, _)| other == prefix)
            .map(|&(_, owner)| owner)
    }

    fn lookup(&self, address: IpAddr) -> Option<u32> {
        let matches = self.entries.iter().filter(|(prefix, _)| prefix.contains(address));
        matches
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|&(_, owner)| owner)
    }

    fn of_peer(&self, owner: u32) -> Vec<Prefix> {
        let mut own: Vec<_> = self
            .entries
            .iter()
            .filter(|&&(_, other)| other == owner)
            .map(|entry| entry.0)
            .collect();
        own.sort_by_key(|prefix| prefix.address().is_ipv6());
        own
    }

    fn compare(&self, allowed: &AllowedIps<u64>) {
        check(allowed);
        let mut sorted = self.entries.clone();
        sorted.sort_unstable();
        assert!(allowed.iter().eq(sorted), "all prefixes");
        assert_eq!(allowed.len(), self.entries.len());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Prefix, u32),
    Remove(Prefix, u32),
    /// Removes a prefix that is there, by its number.
    RemoveSome(prop::sample::Index),
    RemovePeer(u32),
    Lookup(IpAddr),
    Clone,
}

/// Addresses that share many leading bits, of every length, so that tries become deep.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![any::<u32>(), (0..16u32), (0..32u32).prop_map(|bit| 1 << bit)];
    let v6 = prop_oneof![any::<u128>(), (0..16u128), (0..128u32).prop_map(|bit| 1 << bit)];
    prop_oneof![
        v4.prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        v6.prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    let ends = prop_oneof![Just(0u8), Just(32), Just(128), 0..=128u8, 24..=32u8];
    (address(), ends).prop_map(|(address, len)| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        Prefix::new(address, len.min(width)).unwrap()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (any_prefix(), 0..6u32).prop_map(|(prefix, owner)| Step::Insert(prefix, owner)),
        5 => (any_prefix(), 0..6u32).prop_map(|(prefix, owner)| Step::Remove(prefix, owner)),
        15 => any::<prop::sample::Index>().prop_map(Step::RemoveSome),
        3 => (0..6u32).prop_map(Step::RemovePeer),
        20 => address().prop_map(Step::Lookup),
        1 => Just(Step::Clone),
    ]
}

proptest! {
    #[test]
    fn it_behaves_as_a_list_searched_from_end_to_end(steps in proptest::collection::vec(step(), 1..200)) {
        let mut allowed = AllowedIps::new();
        let mut oracle = Oracle::default();
        let mut copies = Vec::new();
        for step in steps {
            match step {
                Step::Insert(prefix, owner) => {
                    let former = allowed.insert(prefix, owner, u64::from(owner)).unwrap();
                    prop_assert_eq!(former, oracle.insert(prefix, owner));
                    prop_assert_eq!(allowed.owner(prefix), Some(owner));
                }
                Step::Remove(prefix, owner) => {
                    prop_assert_eq!(allowed.owner(prefix), oracle.owner(prefix));
                    prop_assert_eq!(allowed.remove(prefix, owner), oracle.remove(prefix, owner));
                }
                Step::RemoveSome(index) => if !oracle.entries.is_empty() {
                    let (prefix, owner) = *index.get(&oracle.entries);
                    prop_assert!(allowed.remove(prefix, owner) && oracle.remove(prefix, owner));
                },
                Step::RemovePeer(owner) => {
                    prop_assert_eq!(allowed.remove_peer(owner), oracle.remove_peer(owner));
                }
                Step::Lookup(address) => {
                    prop_assert_eq!(allowed.lookup(address), oracle.lookup(address).map(u64::from));
                }
                Step::Clone => {
                    let copy = allowed.clone();
                    copies.push((std::mem::replace(&mut allowed, copy), oracle.clone()));
                }
            }
            oracle.compare(&allowed);
        }
        for owner in 0..6 {
            prop_assert_eq!(allowed.iter_peer(owner).collect::<Vec<_>>(), oracle.of_peer(owner));
        }
        for (copy, oracle) in copies {
            oracle.compare(&copy);
        }
    }
}

/// A random prefix from a space small enough that prefixes nest, collide and are asked for again.
fn random_prefix(rng: &mut ChaCha8Rng) -> Prefix {
    let bits = rng.next_u32();
    if bits & 1 == 0 {
        Prefix::new(Ipv4Addr::from_bits(bits & 0xf00f_0ff0), (bits >> 1) as u8 % 33).unwrap()
    } else {
        let high = u128::from(bits & 0xff0f_0000) << 96;
        Prefix::new(
            Ipv6Addr::from_bits(high | u128::from(bits & 0xf000)),
            (bits >> 1) as u8 % 129,
        )
        .unwrap()
    }
}

#[test]
fn a_hundred_thousand_random_operations_leave_no_damage() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let mut allowed = AllowedIps::new();
    let mut oracle = Oracle::default();
    for round in 0..100_000u32 {
        let random = rng.next_u32();
        let owner = random % 50;
        // The table swells and shrinks in turns, so that it compacts.
        let growing = round / 4_000 % 2 == 0;
        match (random >> 8) % 16 {
            0..8 if growing => {
                let prefix = random_prefix(&mut rng);
                let former = allowed.insert(prefix, owner, u64::from(owner)).unwrap();
                assert_eq!(former, oracle.insert(prefix, owner));
            }
            0..8 if !oracle.entries.is_empty() => {
                let (prefix, owner) = oracle.entries[random as usize % oracle.entries.len()];
                assert!(allowed.remove(prefix, owner) && oracle.remove(prefix, owner));
            }
            8 if !growing || round % 64 == 0 => {
                assert_eq!(allowed.remove_peer(owner), oracle.remove_peer(owner));
            }
            9 => {
                let prefix = random_prefix(&mut rng);
                assert_eq!(allowed.remove(prefix, owner), oracle.remove(prefix, owner));
            }
            _ => {
                let address = random_prefix(&mut rng).address();
                assert_eq!(allowed.lookup(address), oracle.lookup(address).map(u64::from));
            }
        }
        if round % 500 == 0 {
            oracle.compare(&allowed);
            assert!(allowed.iter_peer(owner).eq(oracle.of_peer(owner)));
        }
    }
    oracle.compare(&allowed);
}
