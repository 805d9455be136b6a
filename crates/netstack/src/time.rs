//! The caller's clock and smoltcp's.

use smoltcp::time::Instant as Micros;
use wirewright_protocol::Instant;

/// Rounds down, so that smoltcp never believes a deadline to have passed before it has.
pub(crate) fn to_smoltcp(now: Instant) -> Micros {
    Micros::from_micros(i64::try_from(now.as_nanos() / 1_000).unwrap_or(i64::MAX))
}

/// Exact: a moment of smoltcp's is a whole number of microseconds.
pub(crate) fn from_smoltcp(at: Micros) -> Instant {
    Instant::from_nanos(
        u64::try_from(at.total_micros())
            .unwrap_or(0)
            .saturating_mul(1_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_not_due_for_smoltcp_before_it_is_due_for_us() {
        let deadline = from_smoltcp(Micros::from_micros(1_500));
        assert!(to_smoltcp(Instant::from_nanos(deadline.as_nanos() - 1)) < Micros::from_micros(1_500));
        assert!(to_smoltcp(deadline) >= Micros::from_micros(1_500));
    }
}
