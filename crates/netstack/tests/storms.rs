//! Progress or silence: whatever the network and both programs do, all bytes arrive in order and both ends close once
//! the weather clears, and as long as nothing changes hardly a packet is sent.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, Pair, Stream, Weather, config, pattern};
use proptest::prelude::*;
use wirewright_netstack::{Keepalive, Netstack, Read};

/// What one program does.
#[derive(Clone, Copy, Debug)]
struct Program {
    sends: usize,
    /// The most it writes before it lets time pass.
    chunk: usize,
    /// Reads nothing before this much time has passed.
    reads_after: Duration,
    buffers: usize,
    /// Gives up then, with a reset.
    aborts_after: Option<Duration>,
}

fn program() -> impl Strategy<Value = Program> {
    let buffers = prop_oneof![4_096..8_192_usize, 16_384..20_000_usize, Just(100_000)];
    let aborts =
        prop_oneof![5 => Just(None), 1 => (0..8_000_u64).prop_map(|at| Some(Duration::from_millis(at)))];
    let sends = prop_oneof![0..4_usize, 0..20_000_usize, 0..300_000_usize];
    let chunk = prop_oneof![1..10_usize, 1..3_000_usize, Just(usize::MAX)];
    (sends, chunk, 0..6_000_u64, buffers, aborts).prop_map(|(sends, chunk, reads, buffers, aborts_after)| {
        Program {
            // A byte at a time takes as many packets.
            sends: sends.min(chunk.saturating_mul(3_000)),
            chunk,
            reads_after: Duration::from_millis(reads),
            buffers,
            aborts_after,
        }
    })
}

fn weather() -> impl Strategy<Value = Weather> {
    let loss = prop_oneof![Just(0), 1..50_u32, 50..300_u32];
    let jitter = prop_oneof![Just(0), 1..60_u64];
    let rate = prop_oneof![Just(0), Just(2_000_000_u64), Just(50_000_000)];
    let run = prop_oneof![3 => Just(0), 1 => 1..40_u32];
    (0..120_u64, jitter, (loss, run), 0..100_u32, rate).prop_map(
        |(delay, jitter, (loss, run), twice, rate)| Weather {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            loss,
            run,
            twice,
            cut: false,
            rate,
            queue: 30_000,
        },
    )
}

struct End {
    program: Program,
    stream: Stream,
    aborted: bool,
}

impl End {
    fn go(&mut self, stack: &mut Netstack, elapsed: Duration) {
        if self.program.aborts_after.is_some_and(|after| after <= elapsed) && !self.aborted {
            self.aborted = true;
            stack.abort(self.stream.id);
        }
        let chunk = self.program.chunk;
        if elapsed >= self.program.reads_after {
            self.stream.take(stack);
        }
        self.stream.give(stack, chunk);
    }
}

fn packets(pair: &Pair) -> u64 {
    let (a, b) = pair.counters();
    a.packets_sent + b.packets_sent
}

fn plays_out(seed: u64, weather: Weather, programs: [Program; 2], v6: bool) {
    let with = |v4, v6, program: Program| {
        let mut config = config(v4, v6);
        // A reset that is lost is not repeated: only a probe shows that the other end is gone.
        config.timing.keepalive = programs
            .iter()
            .any(|program| program.aborts_after.is_some())
            .then_some(Keepalive {
                interval: Duration::from_secs(10),
                probes: 3,
            });
        (config.limits.receive_buffer, config.limits.transmit_buffer) = (program.buffers, program.buffers);
        config
    };
    let mut pair = Pair::with(with(A4, A6, programs[0]), with(B4, B6, programs[1]));
    let (client, server, _) = if v6 {
        pair.connected(A6, B6)
    } else {
        pair.connected(A4, B4)
    };
    let ids = [client, server];
    let mut ends = [0, 1].map(|side| End {
        program: programs[side],
        stream: Stream::new(
            ids[side],
            pattern(programs[side].sends, programs[side].sends as u64),
        ),
        aborted: false,
    });
    pair.reseed(seed);
    pair.weather = weather;
    let begun = pair.now;
    let play = |pair: &mut Pair, ends: &mut [End; 2], time: Duration| {
        let until = pair.now + time;
        loop {
            let elapsed = pair.now.saturating_since(begun);
            ends[0].go(&mut pair.a.stack, elapsed);
            ends[1].go(&mut pair.b.stack, elapsed);
            if ends.iter().all(|end| end.stream.end.is_some()) {
                return true;
            }
            if pair.now >= until {
                return false;
            }
            pair.pass(Duration::from_millis(10));
        }
    };
    play(&mut pair, &mut ends, Duration::from_secs(5));
    // The path, or one of the machines, stands still for a while.
    pair.weather.cut = true;
    play(&mut pair, &mut ends, Duration::from_millis(seed % 4_000));
    pair.weather.cut = false;
    play(&mut pair, &mut ends, Duration::from_secs(5));

    // Neither program does anything, and nothing is lost: what is on the way arrives, and then there is silence.
    let fair = Weather {
        delay: weather.delay,
        ..Weather::default()
    };
    pair.weather = fair;
    // A timeout that doubled all the time may be as long as all that went before.
    pair.pass(Duration::from_secs(30));
    let before = packets(&pair);
    pair.pass(Duration::from_secs(20));
    let idle = packets(&pair) - before;
    assert!(idle <= 80, "{idle} packets while nothing happens");

    // Nor does anything arrive.
    pair.weather.cut = true;
    let before = packets(&pair);
    pair.pass(Duration::from_secs(20));
    let lonely = packets(&pair) - before;
    assert!(lonely <= 80, "{lonely} packets while nothing arrives");

    pair.weather = fair;
    let done = play(&mut pair, &mut ends, Duration::from_secs(100));
    assert!(
        done,
        "no end: {:?}",
        ends.each_ref()
            .map(|end| (end.stream.written, end.stream.read.len(), end.stream.end))
    );
    let aborted = ends.iter().any(|end| end.aborted);
    for (end, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        assert!(
            other.stream.to_write.starts_with(&end.stream.read),
            "bytes out of order"
        );
        if !aborted {
            assert_eq!(end.stream.end, Some(Read::End));
            assert_eq!(end.stream.read.len(), other.stream.to_write.len());
        }
    }
    pair.a.stack.release(client);
    pair.b.stack.release(server);
    pair.pass(Duration::from_secs(60));
    assert_eq!(
        pair.a.stack.connection_count() + pair.b.stack.connection_count(),
        0
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_stream_ends_and_none_storms(
        seed in any::<u64>(), weather in weather(), a in program(), b in program(), v6 in any::<bool>(),
    ) {
        plays_out(seed, weather, [a, b], v6);
    }
}
