//! The step-by-step hash table: against the standard one, and its promises about work and memory.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;

use proptest::prelude::*;
use wirewright_engine::table::{TARGET, Table};

const SEED: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

/// Entries that one operation may move: a segment that is split, which expects twice the target at most, a segment
/// that grows, and as much again for chance.
const MOST: u64 = 8 * TARGET as u64;

/// One operation, and that it did no more work than is promised.
fn bounded<T>(table: &mut Table<u32, u32>, operation: impl FnOnce(&mut Table<u32, u32>) -> T) -> T {
    let before = table.work();
    let result = operation(table);
    let after = table.work();
    assert!(
        after.moved - before.moved <= MOST,
        "moved: {before:?}, then {after:?}"
    );
    assert!(
        after.splits - before.splits <= 1 && after.merges - before.merges <= 1,
        "{before:?}, then {after:?}"
    );
    result
}

#[test]
fn from_one_to_a_million_and_back_each_step_is_bounded_and_memory_returns() {
    const MANY: u32 = 1_000_000;
    let mut table = Table::new(SEED);
    table.insert(0, 0);
    let least = table.allocated();
    for key in 1..MANY {
        assert_eq!(bounded(&mut table, |table| table.insert(key, !key)), None);
    }
    assert_eq!(table.len(), MANY as usize);
    assert!((1..MANY).all(|key| table.get(&key) == Some(&!key)));
    let grown = table.work();
    assert!(grown.moved > u64::from(MANY), "it did grow by moving: {grown:?}");
    assert!(
        grown.moved < 8 * u64::from(MANY),
        "an entry moves a few times at most: {grown:?}"
    );
    // Nine bytes an entry, if every bucket were used.
    assert!(
        table.allocated() < MANY as usize * 24,
        "{} bytes for a million entries",
        table.allocated()
    );
    for key in (1..MANY).rev() {
        assert_eq!(bounded(&mut table, |table| table.remove(&key)), Some(!key));
        if key % 10_007 == 0 {
            let most = (table.len() + 1000) * 64;
            assert!(
                table.allocated() < most,
                "{} bytes for {} entries",
                table.allocated(),
                table.len()
            );
        }
    }
    assert_eq!(table.iter().collect::<Vec<_>>(), [(&0, &0)]);
    assert!(
        table.allocated() < least + 4096,
        "{} bytes for one entry",
        table.allocated()
    );
    assert_eq!(table.work().splits, table.work().merges);
}

#[test]
fn an_emptied_table_holds_no_memory() {
    let mut table = Table::new(SEED);
    assert_eq!(table.allocated(), 0);
    for key in 0..1000 {
        table.insert(key, key);
    }
    for key in 0..1000 {
        table.remove(&key);
    }
    assert_eq!((table.len(), table.capacity(), table.allocated()), (0, 0, 0));
}

#[test]
fn entries_are_found_and_changed_at_every_size() {
    let mut table = Table::new(SEED);
    for len in 1..2000u32 {
        table.insert(len, len);
        assert!(
            (1..=len).all(|key| table.get(&key) == Some(&key)),
            "{len} entries"
        );
        assert_eq!(table.get(&(len + 1)), None);
    }
    for len in (1..2000u32).rev() {
        assert_eq!(
            table.get_mut(&len).map(|value| std::mem::replace(value, 0)),
            Some(len)
        );
        assert_eq!(table.remove(&len), Some(0));
        assert!((1..len).all(|key| table.get(&key) == Some(&key)), "{len} entries");
    }
}

#[test]
fn values_are_changed_in_place_and_a_copy_does_not_follow() {
    let mut table = Table::new(SEED);
    for key in 0..1000 {
        table.insert(key, 1);
    }
    let copy = table.clone();
    assert!(
        table
            .iter_mut()
            .all(|(_, value)| std::mem::replace(value, 2) == 1)
    );
    assert_eq!(table.insert(0, 3), Some(2));
    assert_eq!(table.len(), 1000);
    assert!(copy.iter().all(|(_, &value)| value == 1));
}

#[test]
fn churn_at_constant_size_does_not_grow_the_table() {
    let mut table = Table::new(SEED);
    for key in 0..1000 {
        table.insert(key, key);
    }
    for key in 1000..200_000 {
        bounded(&mut table, |table| table.insert(key, key));
        bounded(&mut table, |table| table.remove(&(key - 1000)));
        assert!(table.capacity() < 8000, "room for {} of 1000", table.capacity());
    }
    assert_eq!(table.len(), 1000);
    let work = table.work();
    assert!(
        work.splits < 100 && work.merges < 100,
        "{work:?} in 400,000 operations is thrashing"
    );
    assert!(
        work.moved < 400_000,
        "{work:?} in 400,000 operations is thrashing"
    );
}

#[test]
fn clearing_frees_everything() {
    let mut table = Table::new(SEED);
    for key in 0..1000 {
        table.insert(key, key);
    }
    table.clear();
    assert_eq!((table.len(), table.allocated()), (0, 0));
    assert_eq!(table.insert(1, 1), None);
}

#[test]
fn another_seed_is_another_order() {
    let order = |seed| {
        let mut table = Table::new(seed);
        for key in 0..64 {
            table.insert(key, ());
        }
        table.iter().map(|(key, ())| *key).collect::<Vec<u32>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn a_tables_debug_form_tells_neither_seed_nor_entries() {
    let mut table = Table::new(SEED);
    table.insert([0xabu8; 32], 77u32);
    let text = format!("{table:?}");
    assert!(text.contains("len: 1"), "{text}");
    assert!(!text.contains("171") && !text.contains("77"), "{text}");
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u32),
    Change(u8, u32),
    Remove(u8),
    Clear,
    /// Many fresh keys at once, to make it grow past the range of the others.
    Fill(u16),
    Empty(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        5 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Change(key, value)),
        20 => any::<u8>().prop_map(Step::Remove),
        1 => Just(Step::Clear),
        3 => (0..600u16).prop_map(Step::Fill),
        3 => (0..600u16).prop_map(Step::Empty),
    ]
}

proptest! {
    #[test]
    fn it_behaves_as_the_standard_hash_map(steps in proptest::collection::vec(step(), 1..200)) {
        let mut table = Table::new(SEED);
        let mut oracle = HashMap::new();
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    let key = u32::from(key);
                    let former = bounded(&mut table, |table| table.insert(key, value));
                    prop_assert_eq!(former, oracle.insert(key, value));
                }
                Step::Change(key, value) => {
                    let key = u32::from(key);
                    let found = table.get_mut(&key).map(|place| *place = value);
                    prop_assert_eq!(found, oracle.get_mut(&key).map(|place| *place = value));
                }
                Step::Remove(key) => {
                    let key = u32::from(key);
                    prop_assert_eq!(bounded(&mut table, |table| table.remove(&key)), oracle.remove(&key));
                }
                Step::Clear => {
                    table.clear();
                    oracle.clear();
                }
                Step::Fill(many) => for key in 0..u32::from(many) {
                    bounded(&mut table, |table| table.insert(1000 + key, key));
                    oracle.insert(1000 + key, key);
                },
                Step::Empty(many) => for key in 0..u32::from(many) {
                    bounded(&mut table, |table| table.remove(&(1000 + key)));
                    oracle.remove(&(1000 + key));
                },
            }
            prop_assert_eq!(table.len(), oracle.len());
            prop_assert_eq!(table.contains(&7), oracle.contains_key(&7));
        }
        let mut all: Vec<_> = table.iter().map(|(&key, &value)| (key, value)).collect();
        let mut expected: Vec<_> = oracle.into_iter().collect();
        all.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(all, expected);
    }
}
