//! Local ports nobody can guess, and none again soon (RFC 6056).

use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;

use rand_core::Rng;

use crate::hash::KeyedHash;

/// Counters of ports. With more, fewer remote addresses share one, and each learns less of the others' connections.
const COUNTERS: usize = 1_024;

/// Local ports for connections, by double-hash selection (RFC 6056 3.3.4).
///
/// The ports to one remote address and port follow each other from where a keyed hash says, so that all others
/// are used before one is used again; of 300 chosen at random two are likely to be the same. Who does not know the key
/// cannot tell from the ports to one remote address which ones another sees.
pub(crate) struct ConnectionPorts {
    offsets: KeyedHash,
    choices: KeyedHash,
    counters: Box<[u32]>,
}

impl ConnectionPorts {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            offsets: KeyedHash::new(rng),
            choices: KeyedHash::new(rng),
            counters: (0..COUNTERS).map(|_| rng.next_u32() >> 16).collect(),
        }
    }

    /// The next port of `range` for a connection from `local` to `remote` for which `in_use` says no.
    pub(crate) fn choose(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        range: &RangeInclusive<u16>,
        in_use: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let count = width(range)?;
        let ends = (local, remote);
        let offset = self.offsets.hash_one(ends) % u64::from(count);
        let choice = self.choices.hash_one(ends) % COUNTERS as u64;
        let counter = self.counters.get_mut(usize::try_from(choice).ok()?)?;
        for _ in 0..count {
            let step = (offset + u64::from(*counter)) % u64::from(count);
            *counter = counter.wrapping_add(1);
            let port = u16::try_from(u64::from(*range.start()) + step).ok()?;
            if !in_use(port) {
                return Some(port);
            }
        }
        None
    }
}

/// A random port of `range` for which `in_use` says no, where there is no remote address yet (RFC 6056 3.3.1, simple
/// port randomisation).
///
/// One random start and a walk from there, so that it ends even when nearly all ports are taken. Behind a run of
/// ports in use a port is a little likelier than others, which RFC 6056 accepts.
pub(crate) fn choose(
    rng: &mut impl Rng,
    range: &RangeInclusive<u16>,
    in_use: impl Fn(u16) -> bool,
) -> Option<u16> {
    let (low, count) = (u32::from(*range.start()), width(range)?);
    let start = below(rng, count);
    (0..count)
        .filter_map(|step| u16::try_from(low + (start + step) % count).ok())
        .find(|port| !in_use(*port))
}

/// Ports in a range, if there are any.
fn width(range: &RangeInclusive<u16>) -> Option<u32> {
    let (low, high) = (u32::from(*range.start()), u32::from(*range.end()));
    (high + 1).checked_sub(low).filter(|count| *count > 0)
}

/// A uniform number below `bound` (which is at most 65536, so the bias of a 64-bit multiply is below 2^-47).
fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    let wide = u128::from(rng.next_u64()) * u128::from(bound);
    u32::try_from(wide >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn local() -> IpAddr {
        [10, 0, 0, 1].into()
    }

    fn remote(port: u16) -> SocketAddr {
        ([10, 0, 0, 2], port).into()
    }

    #[test]
    fn every_free_port_is_found_and_then_none() {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut taken = Vec::new();
        while let Some(port) = choose(&mut rng, &(100..=109), |port| taken.contains(&port)) {
            taken.push(port);
        }
        taken.sort_unstable();
        assert_eq!(taken, (100..=109).collect::<Vec<u16>>());
    }

    #[test]
    fn the_whole_range_is_used_and_the_order_is_not_sequential() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let ports: Vec<u16> = (0..1000)
            .filter_map(|_| choose(&mut rng, &(1..=65535), |_| false))
            .collect();
        assert!(ports.iter().any(|port| *port < 8192) && ports.iter().any(|port| *port > 57344));
        let sequential = ports
            .windows(2)
            .filter(|pair| pair[1].wrapping_sub(pair[0]) == 1)
            .count();
        assert!(sequential < 5);
    }

    #[test]
    fn a_port_returns_to_the_same_remote_address_only_after_all_others() {
        let mut ports = ConnectionPorts::new(&mut ChaCha20Rng::from_seed([7; 32]));
        let mut round = || -> Vec<u16> {
            (0..1_000)
                .filter_map(|_| ports.choose(local(), remote(80), &(101..=1_100), |_| false))
                .collect()
        };
        let (first, second) = (round(), round());
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (101..=1_100).collect::<Vec<u16>>());
        assert_eq!(first, second);
    }

    #[test]
    fn ports_in_use_are_passed_over_until_there_are_no_others() {
        let mut ports = ConnectionPorts::new(&mut ChaCha20Rng::from_seed([7; 32]));
        let mut taken = Vec::new();
        while let Some(port) = ports.choose(local(), remote(80), &(65_526..=65_535), |port| {
            taken.contains(&port)
        }) {
            taken.push(port);
        }
        taken.sort_unstable();
        assert_eq!(taken, (65_526..=65_535).collect::<Vec<u16>>());
    }

    #[test]
    fn where_the_ports_begin_differs_by_remote_address_and_by_key() {
        let begin = |seed: u8, port: u16| {
            ConnectionPorts::new(&mut ChaCha20Rng::from_seed([seed; 32])).choose(
                local(),
                remote(port),
                &(1..=65_535),
                |_| false,
            )
        };
        let near = |one: Option<u16>, other: Option<u16>| {
            one.zip(other)
                .is_some_and(|(one, other)| one.abs_diff(other) < 16)
        };
        let (by_address, by_key) = (1..=200).fold((0, 0), |(by_address, by_key), port| {
            let this = begin(1, port);
            (
                by_address + usize::from(near(this, begin(1, port + 1))),
                by_key + usize::from(near(this, begin(2, port))),
            )
        });
        assert!(by_address < 5 && by_key < 5, "{by_address} {by_key}");
    }
}
