//! Shared helpers of the benchmark programs.

use rustix::time::{ClockId, clock_gettime};

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
