//! Flows that share a bottleneck, in virtual time: what each gets, how long the queue becomes, and how much is lost. A
//! control that asks the queue whether a loss was its doing must neither flood it nor starve CUBIC beside it.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{A4, A6, B4, B6, Packets, at, config};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_netstack::{ConnectionId, Control, Instant, ListenerId, Netstack, Read};

/// A queue that drops what does not fit, and behind it a delay and chance.
#[derive(Clone, Copy)]
struct Path {
    /// Bits a second.
    rate: u64,
    round_trip: Duration,
    /// Bytes that may wait.
    queue: u64,
    /// Packets of a thousand that are lost by chance, each way.
    loss: u32,
    /// Both hosts are busy with something else for as long as this on average, again and again: what arrives meanwhile
    /// waits.
    busy: Duration,
}

impl Path {
    /// 50 Mbit/s and 50 ms, with a queue of so many milliseconds.
    fn with_queue(millis: u64) -> Self {
        Self {
            rate: 50_000_000,
            round_trip: Duration::from_millis(50),
            queue: 50_000_000 / 8 * millis / 1_000,
            loss: 0,
            busy: Duration::ZERO,
        }
    }

    fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 8_000_000_000 / self.rate)
    }
}

/// One connection with a stack at each end.
struct Flow {
    ends: [Netstack; 2],
    listener: ListenerId,
    ids: [Option<ConnectionId>; 2],
    begins: Duration,
    read: u64,
}

impl Flow {
    fn new(control: Control, begins: Duration, seed: u8) -> Self {
        let mut here = config(A4, A6);
        here.control = control;
        let mut ends = [here, config(B4, B6)].map(|config| Netstack::new(config, [seed; 32]).unwrap());
        let listener = ends[1].listen(None, 80, 1).unwrap();
        Self {
            ends,
            listener,
            ids: [None; 2],
            begins,
            read: 0,
        }
    }

    fn work(&mut self, now: Instant, elapsed: Duration) {
        let [from, to] = &mut self.ends;
        if self.ids[0].is_none() && elapsed >= self.begins {
            self.ids[0] = Some(from.connect(now, at(B4, 80), None).unwrap());
        }
        self.ids[1] = self.ids[1].or_else(|| to.accept(self.listener).map(|(id, ..)| id));
        if let Some(id) = self.ids[0] {
            while from.write(id, &[7; 1 << 16]).is_ok_and(|len| len > 0) {}
        }
        let mut buffer = [0; 1 << 16];
        if let Some(id) = self.ids[1] {
            while let Read::Data(len) = to.read(id, &mut buffer) {
                self.read += len as u64;
            }
        }
    }
}

/// When a host looks at what has arrived.
struct Attention {
    busy: u64,
    awake: Instant,
    rng: ChaCha8Rng,
}

impl Attention {
    fn new(busy: Duration, seed: u8) -> Self {
        Self {
            busy: u64::try_from(busy.as_nanos()).unwrap(),
            awake: Instant::default(),
            rng: ChaCha8Rng::from_seed([seed; 32]),
        }
    }

    /// When it sees what comes at `arrival`, which is no earlier than what came before.
    fn sees(&mut self, arrival: Instant) -> Instant {
        if self.busy == 0 {
            return arrival;
        }
        if self.awake < arrival {
            self.awake = arrival + Duration::from_nanos(self.rng.next_u64() % (2 * self.busy));
        }
        self.awake
    }
}

/// What came of it in the second half of the time.
#[derive(Debug)]
struct Outcome {
    /// Mbit/s of each flow.
    goodputs: Vec<f64>,
    /// The mean time in the queue, of packets that were not dropped.
    queued: Duration,
    /// The share of packets that did not fit.
    dropped: f64,
}

fn play(path: Path, flows: &[(Control, Duration)], lasts: Duration) -> Outcome {
    let start = Instant::from_nanos(1_000_000_000);
    let (mut now, end) = (start, start + lasts);
    let mut flows: Vec<Flow> = (1..)
        .zip(flows)
        .map(|(seed, (control, begins))| Flow::new(*control, *begins, seed))
        .collect();
    let mut rng = ChaCha8Rng::from_seed([9; 32]);
    let mut attention = [0, 1].map(|side| Attention::new(path.busy, side));
    let mut flight = BTreeMap::new();
    let (mut serial, mut busy_until) = (0_u64, start);
    let (mut packets, mut dropped, mut queued) = (0_u64, 0_u64, Duration::ZERO);
    let mut halfway: Option<Vec<u64>> = None;
    while now < end {
        let is_late = now.saturating_since(start) * 2 >= lasts;
        if is_late && halfway.is_none() {
            halfway = Some(flows.iter().map(|flow| flow.read).collect());
            (packets, dropped, queued) = (0, 0, Duration::ZERO);
        }
        for (number, flow) in flows.iter_mut().enumerate() {
            flow.work(now, now.saturating_since(start));
            for side in [0, 1] {
                let mut sink = Packets::default();
                flow.ends[side].poll(now, &mut sink);
                flow.ends[side].events().for_each(drop);
                for packet in sink.packets {
                    let mut leaves = now;
                    if side == 0 {
                        packets += 1;
                        let waits = busy_until.saturating_since(now);
                        let len = packet.len() as u64;
                        if waits + path.time_for(len) > path.time_for(path.queue) {
                            dropped += 1;
                            continue;
                        }
                        queued += waits;
                        busy_until = busy_until.max(now) + path.time_for(len);
                        leaves = busy_until;
                    }
                    if rng.next_u32() % 1_000 < path.loss {
                        continue;
                    }
                    serial += 1;
                    let arrival = attention[1 - side].sees(leaves + path.round_trip / 2);
                    flight.insert((arrival, serial), (number, 1 - side, packet));
                }
            }
        }
        let arrival = flight.first_key_value().map(|((at, _), _)| *at);
        let deadlines = flows
            .iter()
            .flat_map(|flow| &flow.ends)
            .filter_map(Netstack::deadline);
        let begins = flows
            .iter()
            .map(|flow| start + flow.begins)
            .filter(|begins| *begins > now);
        let next = arrival.into_iter().chain(deadlines).chain(begins).min();
        now = now.max(next.unwrap_or(end));
        while let Some(entry) = flight.first_entry().filter(|entry| entry.key().0 <= now) {
            let (number, side, packet) = entry.remove();
            flows[number].ends[side].receive(now, &packet);
        }
    }
    let before = halfway.unwrap();
    #[allow(clippy::cast_precision_loss)]
    let rate = |bytes: u64| bytes as f64 * 8e-6 / (lasts / 2).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    Outcome {
        goodputs: flows
            .iter()
            .zip(before)
            .map(|(flow, before)| rate(flow.read - before))
            .collect(),
        queued: queued / u32::try_from(packets - dropped).unwrap(),
        dropped: dropped as f64 / packets as f64,
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn both(first: Control, second: Control) -> [(Control, Duration); 2] {
    [(first, Duration::ZERO), (second, 2 * SECOND)]
}

#[test]
fn cubic_beside_it_gets_its_share_of_queues_long_and_short() {
    for (queue, least) in [(5, 0.25), (50, 0.25), (200, 0.3)] {
        for flows in [
            both(Control::Queue, Control::Cubic),
            both(Control::Cubic, Control::Queue),
        ] {
            let outcome = play(Path::with_queue(queue), &flows, 40 * SECOND);
            let all: f64 = outcome.goodputs.iter().sum();
            let cubic = flows.iter().position(|(control, _)| *control == Control::Cubic);
            let share = outcome.goodputs[cubic.unwrap()] / all;
            assert!(share >= least, "queue of {queue} ms: {share:.2} of {outcome:?}");
            assert!(all > 40.0, "queue of {queue} ms: {outcome:?}");
        }
    }
}

#[test]
fn two_of_a_kind_share() {
    for queue in [5, 50, 200] {
        let outcome = play(
            Path::with_queue(queue),
            &both(Control::Queue, Control::Queue),
            40 * SECOND,
        );
        let least = outcome.goodputs.iter().copied().fold(f64::INFINITY, f64::min);
        let all: f64 = outcome.goodputs.iter().sum();
        assert!(
            least / all > 0.25 && all > 40.0,
            "queue of {queue} ms: {outcome:?}"
        );
    }
}

#[test]
fn no_queue_is_flooded_where_losses_come_by_chance_and_where_they_do_not() {
    for loss in [0, 10] {
        for queue in [2, 15, 200] {
            let path = Path {
                loss,
                ..Path::with_queue(queue)
            };
            let ours = play(path, &[(Control::Queue, Duration::ZERO)], 30 * SECOND);
            let cubic = play(path, &[(Control::Cubic, Duration::ZERO)], 30 * SECOND);
            // Nine packets, which is what 2 ms are, cannot be felt: there the share of losses is what stops it.
            let most = if queue == 2 { 0.04 } else { 0.01 };
            assert!(ours.dropped < most, "{loss}, {queue} ms: {ours:?} and {cubic:?}");
            // Not longer on average than half of what it could be, or than CUBIC's.
            let most = (Duration::from_millis(queue) / 2).max(cubic.queued);
            assert!(ours.queued <= most, "{loss}, {queue} ms: {ours:?} and {cubic:?}");
            assert!(
                ours.goodputs[0] >= 0.9 * cubic.goodputs[0],
                "{loss}, {queue} ms: {ours:?} and {cubic:?}"
            );
        }
    }
}

#[test]
fn losses_by_chance_leave_most_of_the_path_to_use() {
    for loss in [1, 10] {
        let path = Path {
            loss,
            ..Path::with_queue(50)
        };
        let ours = play(path, &[(Control::Queue, Duration::ZERO)], 30 * SECOND);
        assert!(ours.goodputs[0] > 35.0, "{ours:?}");
    }
}

#[test]
fn hosts_that_are_busy_are_not_taken_for_a_queue() {
    for busy in [1, 2] {
        let path = Path {
            loss: 10,
            busy: Duration::from_millis(busy),
            ..Path::with_queue(50)
        };
        let ours = play(path, &[(Control::Queue, Duration::ZERO)], 30 * SECOND);
        assert!(ours.goodputs[0] > 35.0, "busy for {busy} ms: {ours:?}");
    }
}
