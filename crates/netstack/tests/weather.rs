//! How fast the sender is on paths that lose, delay and queue. All in virtual time, so the figures are exact; the
//! bounds leave some room for another generator or another order of events.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, Pair, Weather, transfer};

/// Seconds for `bytes` from a to b.
fn seconds(weather: Weather, bytes: usize) -> f64 {
    let mut pair = Pair::with_weather(weather);
    let (client, server, _) = pair.connected(A4, B4);
    transfer(&mut pair, (client, server), bytes, 0, Duration::from_secs(3_600)).as_secs_f64()
}

/// A round trip of 50 ms.
fn far() -> Weather {
    Weather {
        delay: Duration::from_millis(25),
        ..Weather::default()
    }
}

#[test]
fn a_clear_path_is_filled() {
    // 100 Mbit/s with room for more than a round trip's bytes: 0.8 s at full rate, and slow start.
    let took = seconds(
        Weather {
            rate: 100_000_000,
            queue: 1_000_000,
            ..far()
        },
        10_000_000,
    );
    assert!(took < 1.5, "{took} s");
}

#[test]
fn random_losses_cost_little_where_there_is_no_queue() {
    // A control that takes each for congestion has 2.7 Mbit/s with one loss in a hundred, and 8.5 with one in a thousand
    // (the model of RFC 5348).
    for loss in [1, 10] {
        let took = seconds(Weather { loss, ..far() }, 20_000_000);
        assert!(took < 20_000_000.0 * 8.0 / 50.0e6, "{loss}: {took} s");
    }
}

#[test]
fn trains_that_are_lost_whole_cost_little_more() {
    // A hundredth of the packets, ten at a time.
    let weather = Weather {
        loss: 1,
        run: 9,
        ..far()
    };
    let took = seconds(weather, 20_000_000);
    assert!(took < 20_000_000.0 * 8.0 / 30.0e6, "{took} s");
}

#[test]
fn a_long_path_is_filled_by_windows_that_grow() {
    // 400 Mbit/s and 50 ms are 2.5 MB, more than the buffers hold at first.
    let weather = Weather {
        rate: 400_000_000,
        queue: 1_000_000,
        ..far()
    };
    let took = seconds(weather, 60_000_000);
    // Windows of 1 MiB would let 168 Mbit/s through.
    assert!(took < 60_000_000.0 * 8.0 / 190.0e6, "{took} s");
}

#[test]
fn a_queue_too_short_for_slow_start_does_not_stop_the_sender() {
    // Hundreds of segments are lost at once when slow start overruns the queue.
    let took = seconds(
        Weather {
            rate: 100_000_000,
            queue: 100_000,
            ..far()
        },
        1_000_000,
    );
    assert!(took < 1.0, "{took} s");
    let took = seconds(
        Weather {
            rate: 20_000_000,
            queue: 60_000,
            ..far()
        },
        10_000_000,
    );
    assert!(took < 10.0, "{took} s");
}

#[test]
fn an_overrun_queue_is_paid_for_once() {
    // Congestion avoidance overruns the queue after some seconds; what is then sent again without need must not be
    // taken for more losses.
    let took = seconds(
        Weather {
            rate: 100_000_000,
            queue: 250_000,
            ..far()
        },
        100_000_000,
    );
    assert!(took < 12.5, "{took} s");
}

#[test]
fn a_lost_tail_is_found_without_the_retransmission_timeout() {
    for seed in 0..20 {
        let mut pair = Pair::with_weather(far());
        let (client, server, _) = pair.connected(A6, B6);
        transfer_open(&mut pair, client, server);
        pair.a.stack.write(client, &[1; 3_000]).unwrap();
        pair.weather.cut = true;
        pair.poll();
        pair.weather.cut = false;
        let sent = pair.now;
        pair.until(Duration::from_secs(2), "the tail", |pair| {
            matches!(
                pair.b.stack.read(server, &mut [0; 4_000]),
                wirewright_netstack::Read::Data(_)
            )
        });
        let took = pair.now.saturating_since(sent);
        assert!(took < Duration::from_millis(500), "seed {seed}: {took:?}");
    }
}

#[test]
fn whatever_the_weather_everything_arrives_in_finite_time() {
    for case in 0..60_u64 {
        let weather = Weather {
            delay: Duration::from_millis(case % 7 * 10),
            jitter: Duration::from_millis(case % 5 * 4),
            loss: u32::try_from(case % 11 * 10).unwrap(),
            rate: [0, 2_000_000, 50_000_000][(case % 3) as usize],
            queue: [5_000, 20_000, 200_000, 1_000_000][(case % 4) as usize],
            run: 0,
            twice: 0,
            cut: false,
        };
        let mut pair = Pair::with_weather(weather);
        pair.reseed(case);
        let (from, to) = if case % 2 == 0 { (A4, B4) } else { (A6, B6) };
        let (client, server, _) = pair.connected(from, to);
        transfer(
            &mut pair,
            (client, server),
            400_000,
            200_000,
            Duration::from_secs(1_200),
        );
    }
}

/// A few exchanged bytes, so that the round trip is known.
fn transfer_open(
    pair: &mut Pair,
    client: wirewright_netstack::ConnectionId,
    server: wirewright_netstack::ConnectionId,
) {
    for _ in 0..5 {
        pair.a.stack.write(client, b"x").unwrap();
        pair.pass(Duration::from_millis(200));
        pair.b.stack.read(server, &mut [0; 16]);
    }
}
