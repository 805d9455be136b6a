//! Windows over round trips that are made up.

use super::*;

const SEGMENT: u32 = 1_000;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A path, seen from its sender.
struct Path {
    congestion: Congestion,
    sent: u64,
    now: u64,
}

impl Path {
    fn new() -> Self {
        Self {
            congestion: Congestion::new(SEGMENT, Control::Queue),
            sent: 0,
            now: 0,
        }
    }

    /// A round trip of so many milliseconds in which the window was full.
    fn round(&mut self, millis: u64) {
        self.now += millis;
        let mut left = self.congestion.limit();
        let acknowledged = self.sent;
        self.sent += left;
        while left > 0 {
            let bytes = left.min(2 * u64::from(SEGMENT));
            let window = self.congestion.limit();
            let sample = Some(Duration::from_millis(millis));
            self.congestion
                .arrived(bytes, sample, (acknowledged, self.sent), at(self.now));
            self.congestion.grow(bytes, window, sample, at(self.now));
            left -= bytes;
        }
    }

    /// In congestion avoidance at a window of so many segments, with the queue that these round trips show.
    fn avoiding(segments: u64, millis: u64) -> Self {
        let mut path = Self::new();
        path.round(50);
        (path.congestion.window, path.congestion.threshold) = (1.0, 0.0);
        path.congestion.window = f64::from(SEGMENT) * segments as f64;
        path.congestion.held = HELD_ROUNDS;
        (0..2).for_each(|_| path.round(millis));
        path.congestion.window = f64::from(SEGMENT) * segments as f64;
        path
    }
}

#[test]
fn slow_start_doubles_the_window_each_round_trip() {
    let mut path = Path::new();
    for _ in 0..5 {
        let before = path.congestion.limit();
        path.round(50);
        assert_eq!(path.congestion.limit(), 2 * before);
    }
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut path = Path::new();
    let before = path.congestion.limit();
    path.congestion.grow(1_000, 1_000, None, at(1));
    path.congestion.threshold = 0.0;
    path.congestion.grow(1_000, 1_000, None, at(2));
    assert_eq!(path.congestion.limit(), before);
}

#[test]
fn a_loss_without_a_queue_is_chance() {
    let mut path = Path::avoiding(100, 50);
    assert_eq!(path.congestion.lost(100_000), None);
    assert_eq!(path.congestion.limit(), 100_000);
}

#[test]
fn a_loss_in_a_queue_shrinks_the_window_to_what_the_path_holds_and_to_no_less_than_cubic_would() {
    let mut path = Path::avoiding(100, 60);
    path.round(60);
    path.congestion.window = 100_000.0;
    assert_eq!(path.congestion.lost(100_000), Some(70_000));
    let mut path = Path::avoiding(100, 55);
    path.round(55);
    path.congestion.window = 100_000.0;
    assert_eq!(path.congestion.lost(100_000), Some(81_818));
    let mut path = Path::avoiding(100, 200);
    path.congestion.window = 100_000.0;
    assert_eq!(path.congestion.lost(100_000), Some(70_000));
}

#[test]
fn a_loss_while_round_trips_vary_from_hardly_late_to_very_late_is_chance() {
    let mut path = Path::avoiding(100, 50);
    for millis in [52, 55, 60, 57, 54].into_iter().cycle().take(50) {
        path.now += 2;
        let sample = Some(Duration::from_millis(millis));
        path.congestion
            .arrived(2_000, sample, (0, path.sent), at(path.now));
    }
    assert_eq!(path.congestion.lost(100_000), None);
}

#[test]
fn many_losses_count_even_without_a_queue() {
    let mut path = Path::avoiding(100, 50);
    for _ in 0..20 {
        path.congestion.window = 100_000.0;
        path.congestion.count_lost(5_000);
        path.round(50);
    }
    path.congestion.window = 100_000.0;
    assert_eq!(path.congestion.lost(100_000), Some(70_000));
}

#[test]
fn a_window_without_a_queue_grows_by_an_eighth_once_the_last_reduction_is_long_ago() {
    let mut path = Path::avoiding(100, 50);
    path.round(50);
    assert!(path.congestion.limit() < 103_000, "{}", path.congestion.limit());
    path.congestion.held = 0;
    path.congestion.window = 100_000.0;
    path.round(50);
    let grown = path.congestion.limit();
    assert!((112_000..118_000).contains(&grown), "{grown}");
}

#[test]
fn a_window_with_a_queue_grows_as_cubic_does() {
    let mut path = Path::avoiding(100, 80);
    path.congestion.held = 0;
    path.round(80);
    assert!(path.congestion.limit() < 103_000, "{}", path.congestion.limit());
}

#[test]
fn the_cubic_curve_returns_to_the_old_window_and_goes_beyond() {
    let mut path = Path::avoiding(100, 200);
    path.congestion.window = 100_000.0;
    path.congestion.lost(100_000);
    path.congestion.held = u32::MAX;
    // K = cbrt(W_max * (1 - beta) / C) = cbrt(100 * 0.3 / 0.4) = 4.2 s; the last segment takes cbrt(1 / 0.4) = 1.4 s.
    let begun = path.now;
    while path.congestion.limit() < 99_000 {
        path.round(200);
        assert!(path.congestion.limit() <= 101_000);
    }
    let took = path.now - begun;
    assert!((2_400..3_400).contains(&took), "{took} ms");
    (0..40).for_each(|_| path.round(200));
    assert!(path.congestion.limit() > 120_000);
}

#[test]
fn a_timeout_begins_again_with_one_segment_and_one_that_was_none_changes_nothing() {
    let mut path = Path::avoiding(100, 50);
    let before = path.congestion.limit();
    path.congestion.timed_out(before);
    assert_eq!(path.congestion.limit(), 1_000);
    path.congestion.restore();
    assert_eq!(path.congestion.limit(), before);
    path.congestion.timed_out(before);
    path.congestion.settled();
    path.congestion.restore();
    assert_eq!(path.congestion.limit(), 1_000);
}

#[test]
fn an_idle_sender_begins_with_the_initial_window_again() {
    let mut path = Path::new();
    (0..5).for_each(|_| path.round(50));
    path.congestion.idled();
    assert_eq!(path.congestion.limit(), 10_000);
}
