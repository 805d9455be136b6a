//! The clocks of the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wirewright_engine::Moment;
use wirewright_protocol::{Instant, WallTime};

/// The time now: monotonic time that goes on during suspend (on Linux; elsewhere the monotonic clock, of which some
/// do and some do not), and wall time.
#[must_use]
pub fn now() -> Moment {
    // Rust's own Instant stops while a Linux machine is suspended, and a session must age all the same.
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let nanos = u64::try_from(read(CLOCK).as_nanos()).unwrap_or(u64::MAX);
    // A clock set before 1970 gives zero: handshakes then fail with an old timestamp, which is the truth.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment {
        now: Instant::from_nanos(nanos),
        wall: WallTime {
            seconds: wall.as_secs(),
            nanos: wall.subsec_nanos(),
        },
    }
}

/// How long the machine was suspended since it was booted; too little if the thread is held up meanwhile, never too much.
#[cfg(target_os = "linux")]
#[must_use]
pub fn asleep() -> Duration {
    let boot = read(ClockId::Boottime);
    boot.saturating_sub(read(ClockId::Monotonic))
}

/// Elsewhere there are no two clocks that differ in this.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn asleep() -> Duration {
    Duration::ZERO
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_go_back() {
        let (first, second) = (now(), now());
        assert!(second.now >= first.now);
        assert!(first.wall.seconds > 1_700_000_000);
    }
}
