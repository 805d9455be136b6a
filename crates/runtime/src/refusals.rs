//! Addresses with which the system would not do something lately.
//!
//! # Theory
//!
//! Whether the system can cut a train of datagrams depends on the route to their destination: on what the device computes,
//! on its MTU, on what transforms packets on the way. Whether a datagram can leave from a local address depends on whether
//! that is still there. Each is found out by a call that fails, and must not cost one for every train that follows; nor may
//! it hold for ever, since routes change and addresses come back. So a refusal is kept for its address, and for a while. The
//! table is small. If so many addresses are refused that it is full, it is the machine that refuses, and no address is tried
//! until a refusal has grown old.

use std::net::IpAddr;
use std::time::Duration;

use wirewright_protocol::Instant;

/// Addresses that are remembered.
const MOST: usize = 16;
/// How long an address is not tried. It costs a call that fails, or two, to find out again.
const MEMORY: Duration = Duration::from_secs(60);

/// Addresses that were refused lately.
pub struct Refusals {
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
    /// Whether `address` is likely to be refused.
    pub fn foresee(&mut self, address: IpAddr, now: Instant) -> bool {
        self.known.retain(|(_, until)| now < *until);
        self.known.len() >= MOST || self.known.iter().any(|(known, _)| *known == address)
    }

    /// Remembers that `address` was refused.
    pub fn remember(&mut self, address: IpAddr, now: Instant) {
        if !self.foresee(address, now) {
            self.known.push((address, now + MEMORY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn only_who_refused_is_foreseen_to_refuse() {
        let mut refusals = Refusals::default();
        refusals.remember(address(1), START);
        assert!(refusals.foresee(address(1), START));
        assert!(!refusals.foresee(address(2), START));
    }

    #[test]
    fn a_refusal_is_forgotten_in_time() {
        let mut refusals = Refusals::default();
        refusals.remember(address(1), START);
        assert!(refusals.foresee(address(1), START + (MEMORY - Duration::from_nanos(1))));
        assert!(!refusals.foresee(address(1), START + MEMORY));
    }

    #[test]
    fn where_as_many_refuse_as_can_be_remembered_everybody_is_foreseen_to() {
        let mut refusals = Refusals::default();
        for last in 0..MOST as u8 {
            assert!(!refusals.foresee(address(100), START));
            refusals.remember(address(last), START);
        }
        assert!(refusals.foresee(address(100), START));
        refusals.remember(address(100), START);
        assert_eq!(refusals.known.len(), MOST);
        assert!(!refusals.foresee(address(100), START + MEMORY));
    }
}
