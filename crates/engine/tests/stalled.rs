//! A helper that stalls while it holds the first of many jobs: stall, flood, release, demand a drain.
//!
//! The kernel's WireGuard once wedged a peer for good when the packet at the head of its line was not decrypted yet as the
//! line was looked at.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::bench::{Bench, answer, benches, counter_of, genuine, numbers, packet, seal};
use support::moment;
use wirewright_engine::{Event, Limits, OpenJob, SealJob};

/// Packets of a full batch.
const FULL: usize = 64;
/// Behind the newest counter, what the replay window takes.
const WINDOW: usize = 8128;

fn limits(jobs: usize) -> Limits {
    Limits {
        jobs_in_flight: jobs,
        ..Limits::default()
    }
}

/// The packets of full batches, from the first packet's number on.
fn batches(first: usize, count: usize) -> Vec<Vec<Vec<u8>>> {
    (0..count)
        .map(|batch| {
            let start = first + batch * FULL;
            (start..start + FULL).map(packet).collect()
        })
        .collect()
}

/// Takes all of them; every job but the first, which stalls, comes back at once. Returns that one.
fn flood_sealing(sender: &mut Bench, batches: &[Vec<Vec<u8>>]) -> SealJob {
    let mut jobs = batches.iter().filter_map(|batch| sender.seal_job(batch));
    let held = jobs.next().unwrap();
    let others: Vec<SealJob> = jobs.collect();
    for mut job in others {
        job.run();
        sender.sealed(job);
    }
    held
}

fn flood_opening(receiver: &mut Bench, datagrams: &[Vec<u8>]) -> OpenJob {
    let mut jobs = datagrams
        .chunks(FULL)
        .filter_map(|batch| receiver.open_job(batch));
    let held = jobs.next().unwrap();
    let others: Vec<OpenJob> = jobs.collect();
    for mut job in others {
        job.run();
        receiver.opened(job);
    }
    held
}

fn deliver(receiver: &mut Bench, datagrams: &[Vec<u8>]) -> Vec<usize> {
    let mut job = receiver.open_job(datagrams).unwrap();
    job.run();
    receiver.opened(job);
    numbers(&receiver.payloads())
}

with_one_and_four_shards! {
    fn a_flood_behind_a_stalled_sealer_is_bounded_and_all_that_was_taken_leaves_in_order(shards) {
        let bound = Limits::default().jobs_in_flight;
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let mut held = flood_sealing(&mut sender, &batches(0, 3 * bound));
        assert!(sender.datagrams().is_empty(), "the head is out still");
        assert_eq!(sender.counters().get(Event::JobsFull), (2 * bound * FULL) as u64);
        held.run();
        sender.sealed(held);
        let datagrams = sender.datagrams();
        assert_eq!(datagrams.len(), bound * FULL);
        assert!(datagrams.windows(2).all(|pair| counter_of(&pair[0]) + 1 == counter_of(&pair[1])));
        // What was dropped took no counters, and the line moves on.
        let more = genuine(&mut sender, 7..8);
        assert_eq!(counter_of(&more[0]), counter_of(datagrams.last().unwrap()) + 1);
        assert_eq!(deliver(&mut receiver, &more), [7]);
    }

    fn a_flood_behind_a_stalled_opener_is_bounded_and_all_that_was_taken_is_delivered_in_order(shards) {
        let bound = Limits::default().jobs_in_flight;
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let datagrams = genuine(&mut sender, 0..3 * bound * FULL);
        let mut held = flood_opening(&mut receiver, &datagrams);
        assert!(receiver.payloads().is_empty(), "the head is out still");
        assert_eq!(receiver.counters().get(Event::JobsFull), (2 * bound * FULL) as u64);
        held.run();
        receiver.opened(held);
        // More than the replay window is long: they come in their order, so that none is too old.
        assert!(bound * FULL > WINDOW);
        assert_eq!(numbers(&receiver.payloads()), (0..bound * FULL).collect::<Vec<_>>());
        assert_eq!(deliver(&mut receiver, &genuine(&mut sender, 7..8)), [7]);
    }

    fn replays_that_flood_in_behind_a_stalled_opener_are_delivered_once(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let datagrams = genuine(&mut sender, 0..2 * FULL);
        let flood: Vec<Vec<u8>> = std::iter::repeat_n(&datagrams, 50).flatten().cloned().collect();
        let mut held = flood_opening(&mut receiver, &flood);
        held.run();
        receiver.opened(held);
        assert_eq!(numbers(&receiver.payloads()), (0..2 * FULL).collect::<Vec<_>>());
        assert_eq!(receiver.counters().get(Event::ReplayDuplicate), 49 * 2 * FULL as u64);
    }

    fn what_is_behind_the_window_by_the_time_the_line_moves_is_refused(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let datagrams = genuine(&mut sender, 0..WINDOW + 2 * FULL);
        // The first batch was overtaken on its way by all the others.
        let (late, early) = datagrams.split_at(FULL);
        let flood: Vec<Vec<u8>> = early.iter().chain(late).cloned().collect();
        let mut held = flood_opening(&mut receiver, &flood);
        held.run();
        receiver.opened(held);
        assert_eq!(numbers(&receiver.payloads()), (FULL..WINDOW + 2 * FULL).collect::<Vec<_>>());
        assert_eq!(receiver.counters().get(Event::ReplayOld), FULL as u64);
    }

    fn both_directions_of_a_peer_may_stall_at_once(shards) {
        let bound = 8;
        let (mut a, mut b) = benches(shards, &limits(bound));
        let datagrams = seal(&mut b, &(0..2 * bound * FULL).map(answer).collect::<Vec<_>>());
        let mut opening = flood_opening(&mut a, &datagrams);
        let mut sealing = flood_sealing(&mut a, &batches(0, 2 * bound));
        assert!(a.datagrams().is_empty() && a.payloads().is_empty());
        opening.run();
        a.opened(opening);
        assert_eq!(a.payloads().len(), bound * FULL, "opening does not wait for sealing");
        assert!(a.datagrams().is_empty());
        sealing.run();
        a.sealed(sealing);
        let datagrams = a.datagrams();
        assert_eq!(datagrams.len(), bound * FULL);
        assert_eq!(deliver(&mut b, &datagrams), (0..bound * FULL).collect::<Vec<_>>());
        assert_eq!(a.counters().get(Event::JobsFull), (2 * bound * FULL) as u64);
    }

    fn timers_go_on_while_a_helper_stalls(shards) {
        let (mut sender, mut receiver) = benches(shards, &limits(4));
        let datagrams = genuine(&mut sender, 0..4 * FULL);
        let mut sealing = flood_sealing(&mut receiver, &[vec![answer(0)], vec![answer(1)]]);
        let opened = deliver(&mut receiver, &datagrams[..FULL]);
        assert_eq!(opened.len(), FULL);
        let mut opening = flood_opening(&mut receiver, &datagrams[FULL..]);
        // Data was heard, and nothing said since: a keepalive is due.
        let later = receiver.at.now.as_nanos() + Duration::from_secs(20).as_nanos() as u64;
        receiver.at = moment(Duration::from_nanos(later));
        let at = receiver.at;
        let home = receiver.home;
        receiver.shards[home].tick(at, &mut receiver.output);
        let sent = receiver.datagrams();
        assert!(!sent.is_empty(), "a message of a timer waits for no job");
        opening.run();
        receiver.opened(opening);
        sealing.run();
        receiver.sealed(sealing);
        assert_eq!(numbers(&receiver.payloads()), (FULL..4 * FULL).collect::<Vec<_>>());
        assert_eq!(receiver.datagrams().len(), 2);
    }
}
