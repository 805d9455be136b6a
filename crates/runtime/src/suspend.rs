//! Notices that the machine was suspended.
//!
//! Boot time goes on while a machine sleeps and monotonic time does not, so their difference is how long it has slept
//! since it was booted.

use std::time::Duration;

/// A difference that grew by less is none: the clocks are not read at the same instant.
const LEAST: Duration = Duration::from_secs(1);

/// Tells each suspend once.
pub struct SuspendWatch {
    asleep: Duration,
}

impl SuspendWatch {
    /// `asleep` is how long the machine has slept until now ([`crate::clock::asleep`]).
    #[must_use]
    pub fn new(asleep: Duration) -> Self {
        Self { asleep }
    }

    /// Whether the machine was suspended since the last call.
    pub fn was_suspended(&mut self, asleep: Duration) -> bool {
        let suspended = asleep.saturating_sub(self.asleep) > LEAST;
        // A thread that was held up between the two readings saw too little, which is not to count as sleep later.
        self.asleep = self.asleep.max(asleep);
        suspended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_suspend_is_told_once() {
        let mut watch = SuspendWatch::new(millis(5000));
        let told = [5000, 5001, 9000, 9000, 9001, 20_000].map(|asleep| watch.was_suspended(millis(asleep)));
        assert_eq!(told, [false, false, true, false, false, true]);
    }

    #[test]
    fn what_a_machine_slept_before_does_not_count() {
        assert!(!SuspendWatch::new(millis(86_400_000)).was_suspended(millis(86_400_000)));
    }

    #[test]
    fn a_reading_that_was_held_up_is_no_suspend() {
        let mut watch = SuspendWatch::new(millis(9000));
        assert!(!watch.was_suspended(millis(2000)));
        assert!(!watch.was_suspended(millis(9000)));
    }

    #[test]
    fn a_machine_that_is_awake_does_not_sleep() {
        let mut watch = SuspendWatch::new(crate::clock::asleep());
        assert!(!watch.was_suspended(crate::clock::asleep()));
    }
}
