//! Shared helpers of the benchmark programs.

mod side;

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use rustix::time::{ClockId, clock_gettime};
use wirewright_engine::Moment;
use wirewright_protocol::{Instant, SecretKey, WallTime};

pub use side::Side;

/// Nanoseconds of processor time that this thread has had. Unlike a clock on the wall it stands still while another
/// process has the processor. To read it is a system call, so read it around many operations.
#[must_use]
pub fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The middle one of `values`; not a number if there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The moment when this much time has passed since the machine was started.
#[must_use]
pub fn moment(since_boot: Duration) -> Moment {
    Moment {
        now: Instant::from_nanos(since_boot.as_nanos() as u64),
        wall: WallTime {
            seconds: 1_800_000_000 + since_boot.as_secs(),
            nanos: since_boot.subsec_nanos(),
        },
    }
}

/// A secret key that is the same in every run.
pub fn secret(rng: &mut ChaCha20Rng) -> SecretKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SecretKey::from_bytes(bytes)
}
