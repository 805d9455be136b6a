//! When the thread has to wake up, by the clock that the engine goes by.
//!
//! # Theory
//!
//! Deadlines are times of [`crate::clock::now`], which on Linux goes on while the machine is suspended. `poll`'s timeout
//! does not: after a night's sleep it would wait out what was left of it the evening before, and the tunnel would
//! seal under keys that expired hours ago, or let a keepalive wait. So on Linux the thread sleeps without any timeout,
//! and a timer of that same clock is among the descriptors that wake it ([`BootTimer`]). Elsewhere the timeout is cut
//! short ([`Timeout`]).
//!
//! A timer that has fired stays readable until it is set anew, which the next deadline does; so it is never read.

use std::io;
use std::os::fd::BorrowedFd;
#[cfg(any(test, not(target_os = "linux")))]
use std::time::Duration;

use rustix::event::Timespec;
use wirewright_protocol::Instant;

/// The timer of this system.
#[cfg(target_os = "linux")]
pub type SystemTimer = BootTimer;
#[cfg(not(target_os = "linux"))]
pub type SystemTimer = Timeout;

/// Something that can wake a thread that sleeps in `poll`.
pub trait Timer {
    /// Makes it fire at `deadline`, at once if that is past, or not at all. Forgets what it was set to before.
    ///
    /// # Errors
    /// What the operating system says.
    fn set(&mut self, deadline: Option<Instant>) -> io::Result<()>;
    /// The descriptor that becomes readable.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
    /// The longest that `poll` may wait, asked for just before.
    fn timeout(&self, clock: impl FnOnce() -> Instant) -> Option<Timespec>;
}

/// A timer that is set only when the deadline is another one.
pub struct Alarm<T = SystemTimer> {
    timer: T,
    deadline: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self::with(SystemTimer::new()?))
    }
}

impl<T: Timer> Alarm<T> {
    fn with(timer: T) -> Self {
        Self {
            timer,
            deadline: None,
        }
    }

    /// Sets it. Costs nothing if it is set to that already.
    ///
    /// # Errors
    /// What the operating system says; the alarm then keeps its deadline.
    pub fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if deadline != self.deadline {
            self.timer.set(deadline)?;
            self.deadline = deadline;
        }
        Ok(())
    }

    /// The timer, to be waited for.
    #[must_use]
    pub fn timer(&self) -> &T {
        &self.timer
    }
}

/// A Linux timer of the clock that goes on during suspend.
#[cfg(target_os = "linux")]
pub struct BootTimer(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl BootTimer {
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }
}

#[cfg(target_os = "linux")]
impl Timer for BootTimer {
    fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, timerfd_settime};
        // Zero would mean "never": that is what it is for None; a deadline at the clock's zero is past anyway.
        let nanos = deadline.map_or(0, |deadline| deadline.as_nanos().max(1));
        let time = Itimerspec {
            it_interval: timespec(0),
            it_value: timespec(nanos),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &time)?;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        Some(self.0.as_fd())
    }

    fn timeout(&self, _: impl FnOnce() -> Instant) -> Option<Timespec> {
        None
    }
}

/// A timeout of `poll`, cut short: whatever the clock of `poll` missed, a sleep ends soon after the machine resumes.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(unreachable_pub, reason = "tests only"))]
pub struct Timeout(Option<Instant>);

#[cfg(any(test, not(target_os = "linux")))]
impl Timeout {
    /// As long as a handshake takes to be repeated: nothing of the protocol is more urgent.
    const LONGEST: Duration = Duration::from_secs(5);

    #[cfg_attr(
        target_os = "linux",
        allow(clippy::unnecessary_wraps, reason = "as the others")
    )]
    fn new() -> io::Result<Self> {
        Ok(Self(None))
    }
}

#[cfg(any(test, not(target_os = "linux")))]
impl Timer for Timeout {
    fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.0 = deadline;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn timeout(&self, clock: impl FnOnce() -> Instant) -> Option<Timespec> {
        let wait = self.0?.saturating_since(clock()).min(Self::LONGEST);
        Some(timespec(wait.as_nanos() as u64))
    }
}

fn timespec(nanos: u64) -> Timespec {
    Timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as _,
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::clock;

    const START: Instant = Instant::from_nanos(1_000_000_000_000);

    /// Keeps a record of calls.
    #[derive(Default)]
    struct Record(Vec<Option<Instant>>);

    impl Timer for Record {
        fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
            self.0.push(deadline);
            Ok(())
        }

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            None
        }

        fn timeout(&self, _: impl FnOnce() -> Instant) -> Option<Timespec> {
            None
        }
    }

    #[test]
    fn a_deadline_that_did_not_change_costs_no_call() {
        let mut alarm = Alarm::with(Record::default());
        let later = START + Duration::from_secs(1);
        for deadline in [
            None,
            Some(START),
            Some(START),
            Some(later),
            Some(later),
            None,
            None,
        ] {
            alarm.set(deadline).unwrap();
        }
        assert_eq!(alarm.timer.0, [Some(START), Some(later), None]);
    }

    #[test]
    fn a_timeout_is_cut_short_and_never_negative() {
        let mut timer = Timeout::new().unwrap();
        assert!(timer.timeout(|| START).is_none());
        let seconds = |timer: &Timeout| timer.timeout(|| START).map(|time| time.tv_sec);
        for (deadline, expected) in [(3600, 5), (2, 2), (0, 0)] {
            timer.set(Some(START + Duration::from_secs(deadline))).unwrap();
            assert_eq!(seconds(&timer), Some(expected));
        }
        timer.set(Some(Instant::from_nanos(0))).unwrap();
        assert_eq!(seconds(&timer), Some(0));
    }

    #[cfg(target_os = "linux")]
    fn fires(alarm: &Alarm, wait: Timespec) -> bool {
        let timer = alarm.timer().descriptor().unwrap();
        let mut fds = [PollFd::from_borrowed_fd(timer, PollFlags::IN)];
        poll(&mut fds, Some(&wait)).unwrap() == 1
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_alarm_fires_at_its_deadline_and_not_before() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!fires(&alarm, timespec(0)));
        let deadline = clock::now().now + Duration::from_millis(30);
        alarm.set(Some(deadline)).unwrap();
        assert!(fires(&alarm, timespec(10_000_000_000)));
        assert!(clock::now().now >= deadline);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_alarm_that_fired_is_silenced_by_the_next_deadline() {
        let mut alarm = Alarm::new().unwrap();
        for past in [Instant::from_nanos(0), Instant::from_nanos(1)] {
            alarm.set(Some(past)).unwrap();
            assert!(fires(&alarm, timespec(0)), "what is past fires at once");
            alarm
                .set(Some(clock::now().now + Duration::from_secs(3600)))
                .unwrap();
            assert!(!fires(&alarm, timespec(0)));
        }
        alarm.set(Some(Instant::from_nanos(1))).unwrap();
        alarm.set(None).unwrap();
        assert!(!fires(&alarm, timespec(0)));
    }
}
