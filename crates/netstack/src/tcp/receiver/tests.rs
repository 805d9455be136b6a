//! Segments in any order, and what is told of them.

use super::*;

const LEN: usize = 100;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A stream whose bytes tell where they stand.
fn bytes(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|at| (at % 251) as u8).collect()
}

fn receiver(window: usize) -> Receiver {
    let mut receiver = Receiver::new(window).unwrap();
    receiver.begin(u32::MAX - 500, 0, at(0));
    receiver.acknowledged(window as u64);
    receiver
}

/// Takes the segment with this number, of a hundred bytes.
fn take(receiver: &mut Receiver, number: u64) -> bool {
    let start = 1 + number * LEN as u64;
    receiver.take(start, &bytes(start, LEN), false, 1_400, at(1))
}

/// The blocks told, as numbers of segments.
fn told(receiver: &mut Receiver) -> Vec<(u64, u64)> {
    let mut blocks = [(0, 0); BLOCKS];
    let count = receiver.take_blocks(&mut blocks);
    let number = |wire: u32| (receiver.offset_of(wire).unwrap() - 1) / LEN as u64;
    blocks[..count]
        .iter()
        .map(|(left, right)| (number(*left), number(*right)))
        .collect()
}

fn read(receiver: &mut Receiver) -> Vec<u8> {
    let mut buffer = vec![0; 100_000];
    let len = receiver.read(&mut buffer);
    buffer.truncate(len);
    buffer
}

#[test]
fn segments_in_any_order_become_the_stream() {
    let mut seed = 3_u64;
    for _ in 0..200 {
        let mut receiver = receiver(4_096);
        let mut stream = vec![];
        while stream.len() < 20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let reach = (seed >> 33) % 5_000;
            let start = (receiver.next() + reach).saturating_sub(700).max(1);
            let len = usize::try_from((seed >> 20) % 900).unwrap();
            receiver.take(start, &bytes(start, len), false, 1_400, at(1));
            if seed >> 60 == 0 {
                stream.extend(read(&mut receiver));
            }
            assert!(receiver.unread() <= 4_096);
        }
        stream.extend(read(&mut receiver));
        assert!(stream == bytes(1, stream.len()));
    }
}

#[test]
fn the_newest_block_is_told_first_and_the_next_newest_after_it() {
    let mut receiver = receiver(10_000);
    assert!(!take(&mut receiver, 0));
    for number in [2, 4, 6, 8] {
        assert!(take(&mut receiver, number), "out of order: at once");
    }
    assert_eq!(told(&mut receiver), [(8, 9), (6, 7), (4, 5)]);
    take(&mut receiver, 3);
    assert_eq!(told(&mut receiver), [(2, 5), (8, 9), (6, 7)]);
    assert!(take(&mut receiver, 1), "a hole was filled: at once");
    assert_eq!(receiver.next(), 501);
    assert_eq!(told(&mut receiver), [(8, 9), (6, 7)]);
}

#[test]
fn what_came_twice_is_told_once_and_first() {
    let mut receiver = receiver(10_000);
    (0..3).for_each(|number| {
        take(&mut receiver, number);
    });
    assert!(take(&mut receiver, 1));
    assert_eq!(told(&mut receiver), [(1, 2)]);
    assert!(told(&mut receiver).is_empty());
    take(&mut receiver, 5);
    assert!(take(&mut receiver, 5));
    assert_eq!(
        told(&mut receiver),
        [(5, 6)],
        "the same block need not be told twice"
    );
}

#[test]
fn more_holes_than_are_kept_lose_segments_and_not_the_stream() {
    let mut receiver = receiver(100_000);
    for number in 0..400 {
        take(&mut receiver, 2 * number + 1);
    }
    assert_eq!(receiver.beyond.as_slice().len(), HOLES);
    (0..800).for_each(|number| {
        take(&mut receiver, number);
    });
    assert!(read(&mut receiver) == bytes(1, 80_000));
}

#[test]
fn the_end_counts_when_everything_before_it_has_come() {
    let mut receiver = receiver(10_000);
    take(&mut receiver, 0);
    receiver.take(201, &bytes(201, LEN), true, 1_400, at(1));
    assert!(!receiver.has_ended());
    assert_eq!(receiver.next(), 101);
    take(&mut receiver, 1);
    assert!(receiver.has_ended());
    assert_eq!((receiver.next(), receiver.unread()), (302, 300));
    receiver.take(301, &bytes(301, LEN), false, 1_400, at(1));
    assert_eq!(receiver.unread(), 300, "nothing comes behind the end");
}

#[test]
fn an_end_that_contradicts_what_has_come_is_not_believed() {
    let mut receiver = receiver(10_000);
    take(&mut receiver, 5);
    receiver.take(201, &bytes(201, LEN), true, 1_400, at(1));
    (0..5).for_each(|number| {
        take(&mut receiver, number);
    });
    assert_eq!((receiver.has_ended(), receiver.unread()), (false, 600));
}

#[test]
fn every_second_segment_is_acknowledged_at_once_and_a_lone_one_after_a_delay() {
    let delay = Duration::from_millis(10);
    let mut receiver = receiver(10_000);
    take(&mut receiver, 0);
    receiver.schedule(delay, at(5));
    assert_eq!(receiver.due(), Some(at(15)));
    take(&mut receiver, 1);
    receiver.schedule(delay, at(6));
    assert_eq!(receiver.due(), Some(at(6)));
    receiver.acknowledged(9_800);
    assert_eq!(receiver.due(), None);
}

#[test]
fn a_reader_that_makes_room_is_told_of_when_it_is_much() {
    let mut receiver = receiver(1_000);
    (0..10).for_each(|number| {
        take(&mut receiver, number);
    });
    assert_eq!(receiver.window(), 0);
    receiver.acknowledged(0);
    assert!(!receiver.has_opened());
    receiver.read(&mut [0; 50]);
    assert!(!receiver.has_opened(), "less than a segment");
    receiver.read(&mut [0; 50]);
    assert!(receiver.has_opened());
    assert_eq!(receiver.window(), 100);
    receiver.acknowledged(100);
    assert!(!receiver.has_opened());
}

#[test]
fn a_window_grows_with_what_is_read_in_a_round_trip_and_not_without() {
    let trip = Some(Duration::from_millis(100));
    let mut receiver = receiver(1_000);
    let mut number = 0;
    let mut go = |receiver: &mut Receiver, millis: u64, segments: u64| {
        for _ in 0..segments {
            take(receiver, number);
            number += 1;
            read(receiver);
        }
        receiver.wanted_window(trip, at(millis))
    };
    assert_eq!(go(&mut receiver, 100, 4), None, "less than half a window");
    assert_eq!(go(&mut receiver, 150, 6), None, "the round trip is not over");
    assert_eq!(go(&mut receiver, 200, 2), Some(2_000));
    receiver.widen(2_000);
    assert_eq!(receiver.most(), 2_000);
    assert_eq!(go(&mut receiver, 1_200, 20), None, "in ten round trips");
}

#[test]
fn what_is_next_is_taken_however_many_holes_there_are() {
    let mut receiver = receiver(100_000);
    for hole in 0..HOLES as u64 {
        take(&mut receiver, 3 + 2 * hole);
    }
    take(&mut receiver, 0);
    assert_eq!(receiver.next(), 1 + LEN as u64);
    take(&mut receiver, 1);
    take(&mut receiver, 2);
    assert_eq!(receiver.next(), 1 + 4 * LEN as u64);
    assert_eq!(read(&mut receiver), bytes(1, 4 * LEN));
}
