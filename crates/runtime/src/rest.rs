//! What becomes of a descriptor that fails to be read.
//!
//! # Theory
//!
//! An error of receiving tells of something that happened to the machine or to an earlier packet: a device went down,
//! memory was short, an ICMP message came. It passes, and the tunnel outlives it; only where the descriptor stands for
//! nothing any more, or the call itself is wrong, can no later call succeed ([`is_final`]). A descriptor is
//!
//! - **awake**: it is waited for and read. An error makes it be tried again at once, [`TRIES`] times in a row; one more
//!   puts it to rest.
//! - **at rest**: it is neither waited for nor read until a deadline, twice as far away after each error, a second at
//!   most. Then it is awake for one try.
//!
//! Whatever is no error, be it that nothing waits, ends the row.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use wirewright_protocol::Instant;

/// Errors in a row that do not put a descriptor to rest.
const TRIES: u32 = 4;
/// The first rest, and the longest.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The errors of one descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest {
    /// In a row.
    failures: u32,
    until: Option<Instant>,
}

impl Rest {
    /// Errors in a row that do not put a descriptor to rest.
    pub const TRIES: u32 = TRIES;
    /// The longest rest.
    pub const LONGEST: Duration = LONGEST_REST;

    /// When a descriptor that rests is to be tried again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the descriptor is to be waited for.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.until.is_none()
    }

    /// Whether the descriptor may be read: it is awake, or has rested. Reads `clock` only where it had to rest.
    pub fn is_over(&self, clock: impl Fn() -> Instant) -> bool {
        self.until.is_none_or(|until| until <= clock())
    }

    /// A call that was no error ends the row.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// An error that may pass.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.until = self.failures.checked_sub(TRIES + 1).map(|more| {
            let rest = FIRST_REST.saturating_mul(1_u32.checked_shl(more).unwrap_or(u32::MAX));
            now + rest.min(LONGEST_REST)
        });
    }
}

/// Whether no later call of receiving from a socket can succeed: the descriptor is closed or no socket, or the call is one
/// that the system does not have. What is not known is taken to pass: the pauses make that cheap.
#[must_use]
pub fn is_final(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::FAULT | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1);

    #[test]
    fn rests_grow_to_a_second_and_end_with_the_first_success() {
        let mut rest = Rest::default();
        let mut rests = Vec::new();
        for _ in 0..20 {
            rest.failed(START);
            rests.push(
                rest.deadline()
                    .map_or(0, |until| until.saturating_since(START).as_millis()),
            );
        }
        let growing = (0..10).map(|power| 1 << power);
        let expected: Vec<u128> = [0; 4].into_iter().chain(growing).chain([1000; 6]).collect();
        assert_eq!(rests, expected);
        rest.succeeded();
        assert!(rest.is_awake() && rest.is_over(|| panic!("the clock was read")));
    }

    #[test]
    fn what_rests_is_neither_waited_for_nor_read_before_its_time() {
        let mut rest = Rest::default();
        (0..=TRIES).for_each(|_| rest.failed(START));
        let until = rest.deadline().unwrap();
        assert!(!rest.is_awake());
        assert!(!rest.is_over(|| START));
        assert!(rest.is_over(|| until));
    }

    #[test]
    fn only_what_no_later_call_can_mend_is_final() {
        for errno in [Errno::BADF, Errno::NOTSOCK, Errno::FAULT, Errno::INVAL] {
            assert!(is_final(&errno.into()), "{errno}");
        }
        for errno in [
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::NETDOWN,
            Errno::CONNREFUSED,
            Errno::HOSTUNREACH,
            Errno::PERM,
            Errno::IO,
        ] {
            assert!(!is_final(&errno.into()), "{errno}");
        }
    }
}
