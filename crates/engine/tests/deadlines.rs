//! The indexed heap against an ordered set.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wirewright_engine::deadlines::Deadlines;
use wirewright_protocol::Instant;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn drain(deadlines: &mut Deadlines) -> Vec<u32> {
    std::iter::from_fn(|| deadlines.pop_due(at(u64::MAX))).collect()
}

#[test]
fn the_earliest_deadline_comes_first() {
    let mut deadlines = Deadlines::new();
    for (slot, nanos) in [(0, 30), (1, 10), (2, 20)] {
        deadlines.set(slot, Some(at(nanos)));
    }
    assert_eq!(deadlines.peek(), Some(at(10)));
    assert_eq!(drain(&mut deadlines), [1, 2, 0]);
    assert_eq!(deadlines.peek(), None);
}

#[test]
fn equal_deadlines_come_in_the_order_of_their_slots() {
    let mut deadlines = Deadlines::new();
    for slot in (0..100).rev() {
        deadlines.set(slot, Some(at(7)));
    }
    assert!(drain(&mut deadlines).into_iter().eq(0..100));
}

#[test]
fn a_slot_that_is_set_again_has_only_its_new_deadline() {
    let mut deadlines = Deadlines::new();
    deadlines.set(5, Some(at(10)));
    deadlines.set(6, Some(at(20)));
    deadlines.set(5, Some(at(30)));
    assert_eq!(deadlines.len(), 2);
    assert_eq!(drain(&mut deadlines), [6, 5]);
}

#[test]
fn nothing_is_due_before_its_time() {
    let mut deadlines = Deadlines::new();
    deadlines.set(1, Some(at(10)));
    assert_eq!(deadlines.pop_due(at(9)), None);
    assert_eq!(deadlines.pop_due(at(10)), Some(1));
    assert!(deadlines.is_empty());
}

#[test]
fn a_removed_deadline_is_never_due() {
    let mut deadlines = Deadlines::new();
    deadlines.set(1, Some(at(10)));
    deadlines.set(1, None);
    deadlines.set(2, None);
    assert_eq!(deadlines.pop_due(at(u64::MAX)), None);
}

#[test]
fn truncating_forgets_the_slots_behind() {
    let mut deadlines = Deadlines::new();
    for slot in 0..10 {
        deadlines.set(slot, Some(at(u64::from(slot))));
    }
    deadlines.truncate(4);
    assert_eq!(deadlines.get(4), None);
    assert_eq!(drain(&mut deadlines), [0, 1, 2, 3]);
    deadlines.set(9, Some(at(1)));
    assert_eq!(drain(&mut deadlines), [9]);
}

#[derive(Clone, Debug)]
enum Step {
    Set(u32, Option<u64>),
    Pop(u64),
    Truncate(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..40u32, proptest::option::weighted(0.8, 0..50u64)).prop_map(|(slot, at)| Step::Set(slot, at)),
        10 => (0..50u64).prop_map(Step::Pop),
        1 => (0..40u32).prop_map(Step::Truncate),
    ]
}

proptest! {
    #[test]
    fn it_behaves_as_an_ordered_set(steps in proptest::collection::vec(step(), 1..400)) {
        let mut deadlines = Deadlines::new();
        let mut oracle = BTreeSet::new();
        for step in steps {
            match step {
                Step::Set(slot, nanos) => {
                    deadlines.set(slot, nanos.map(at));
                    oracle.retain(|&(_, other)| other != slot);
                    oracle.extend(nanos.map(|nanos| (at(nanos), slot)));
                    prop_assert_eq!(deadlines.get(slot), nanos.map(at));
                }
                Step::Pop(now) => {
                    let due = oracle.first().copied().filter(|&(first, _)| first <= at(now));
                    if let Some(due) = due {
                        oracle.remove(&due);
                    }
                    prop_assert_eq!(deadlines.pop_due(at(now)), due.map(|(_, slot)| slot));
                }
                Step::Truncate(slots) => {
                    deadlines.truncate(slots);
                    oracle.retain(|&(_, slot)| slot < slots);
                }
            }
            prop_assert_eq!(deadlines.peek(), oracle.first().map(|&(first, _)| first));
            prop_assert_eq!(deadlines.len(), oracle.len());
        }
        prop_assert!(drain(&mut deadlines).into_iter().eq(oracle.into_iter().map(|(_, slot)| slot)));
    }
}
