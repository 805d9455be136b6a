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
fn memory_returns_whichever_slot_is_the_last_to_have_a_deadline() {
    for stays in [0, 7_777, 19_999] {
        let mut deadlines = Deadlines::new();
        for slot in 0..20_000 {
            deadlines.set(slot, Some(at(u64::from(slot % 100))));
        }
        let most = deadlines.allocated();
        for slot in (0..20_000).filter(|slot| *slot != stays) {
            deadlines.set(slot, None);
        }
        assert!(
            deadlines.allocated() * 30 < most,
            "{} of {most} bytes",
            deadlines.allocated()
        );
        assert_eq!(drain(&mut deadlines), [stays]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u32, Option<u64>),
    Pop(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..40u32, proptest::option::weighted(0.8, 0..50u64)).prop_map(|(slot, at)| Step::Set(slot, at)),
        10 => (0..50u64).prop_map(Step::Pop),
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
            }
            prop_assert_eq!(deadlines.peek(), oracle.first().map(|&(first, _)| first));
            prop_assert_eq!(deadlines.len(), oracle.len());
        }
        prop_assert!(drain(&mut deadlines).into_iter().eq(oracle.into_iter().map(|(_, slot)| slot)));
    }
}
