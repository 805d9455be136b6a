//! What the kernel would not do, remembered for a while.
//!
//! Whether a train may be sent depends on the route: a device without checksum offload refuses it (`EIO`), so does one
//! whose MTU is below a datagram's length (`EMSGSIZE`, `EINVAL`). And the local address that a peer wrote to may be gone.
//! Each of these is found out by one failed call, and must not cost one for every train that follows; nor may it hold
//! for ever, since routes and addresses come back.

use std::net::IpAddr;
use std::time::Duration;

use wirewright_protocol::Instant;

/// How long a refusal is believed.
const LIFETIME: Duration = Duration::from_secs(30);
/// How many are remembered; the oldest makes way.
const MOST: usize = 64;

/// Addresses with the time until which something is not tried.
#[derive(Default)]
pub(super) struct Refusals(Vec<(IpAddr, Instant)>);

impl Refusals {
    /// Notes that it was refused.
    pub(super) fn note(&mut self, address: IpAddr, now: Instant) {
        self.0.retain(|(known, until)| *known != address && *until > now);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((address, now + LIFETIME));
    }

    /// Whether it was refused lately.
    pub(super) fn holds(&self, address: &IpAddr, now: Instant) -> bool {
        self.0
            .iter()
            .any(|(known, until)| known == address && *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn a_refusal_is_believed_for_a_while() {
        let mut refusals = Refusals::default();
        refusals.note(address(1), at(0));
        assert!(refusals.holds(&address(1), at(29)));
        assert!(!refusals.holds(&address(2), at(29)));
        assert!(!refusals.holds(&address(1), at(30)));
    }

    #[test]
    fn the_oldest_of_too_many_makes_way() {
        let mut refusals = Refusals::default();
        for number in 0..100 {
            refusals.note(address(number), at(0));
        }
        assert_eq!(refusals.0.len(), MOST);
        assert!(!refusals.holds(&address(0), at(1)));
        assert!(refusals.holds(&address(99), at(1)));
    }
}
