//! Destinations that take datagrams one by one only.
//!
//! # Theory
//!
//! Whether the system can cut a train depends on the route: on what the device computes, on its MTU, on what transforms
//! packets on the way. So a refusal is kept for its destination, and not for ever, since routes change. The table is
//! small. If so many destinations refuse that it is full, it is the machine that refuses, and nobody is offered trains
//! until a refusal has grown old.

use std::net::IpAddr;
use std::time::Duration;

use wirewright_protocol::Instant;

/// Destinations that are remembered.
const MOST: usize = 16;
/// How long a destination is not offered trains. It costs one call that fails, twice, to find out again.
const MEMORY: Duration = Duration::from_secs(60);

/// The destinations that lately refused trains.
pub(super) struct Refusals {
    known: Vec<(IpAddr, Instant)>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            known: Vec::with_capacity(MOST),
        }
    }
}

impl Refusals {
    /// Whether a train to `destination` is likely to be refused.
    pub(super) fn foresee(&mut self, destination: IpAddr, now: Instant) -> bool {
        self.known.retain(|(_, until)| now < *until);
        self.known.len() >= MOST || self.known.iter().any(|(known, _)| *known == destination)
    }

    /// Remembers that a train to `destination` was refused.
    pub(super) fn remember(&mut self, destination: IpAddr, now: Instant) {
        if !self.foresee(destination, now) {
            self.known.push((destination, now + MEMORY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1);

    fn destination(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn only_who_refused_is_foreseen_to_refuse() {
        let mut refusals = Refusals::default();
        refusals.remember(destination(1), START);
        assert!(refusals.foresee(destination(1), START));
        assert!(!refusals.foresee(destination(2), START));
    }

    #[test]
    fn a_refusal_is_forgotten_in_time() {
        let mut refusals = Refusals::default();
        refusals.remember(destination(1), START);
        assert!(refusals.foresee(destination(1), START + (MEMORY - Duration::from_nanos(1))));
        assert!(!refusals.foresee(destination(1), START + MEMORY));
    }

    #[test]
    fn where_as_many_refuse_as_can_be_remembered_everybody_is_foreseen_to() {
        let mut refusals = Refusals::default();
        for last in 0..MOST as u8 {
            assert!(!refusals.foresee(destination(100), START));
            refusals.remember(destination(last), START);
        }
        assert!(refusals.foresee(destination(100), START));
        refusals.remember(destination(100), START);
        assert_eq!(refusals.known.len(), MOST);
        assert!(!refusals.foresee(destination(100), START + MEMORY));
    }
}
