//! Local ports nobody can guess (RFC 6056 3.3.1, simple port randomisation).

use core::ops::RangeInclusive;

use rand_core::Rng;

/// A random port of `range` for which `in_use` says no.
///
/// One random start and a walk from there, so that it ends even when nearly all ports are taken. Behind a run of
/// ports in use a port is a little likelier than others, which RFC 6056 accepts.
pub(crate) fn choose(
    rng: &mut impl Rng,
    range: &RangeInclusive<u16>,
    in_use: impl Fn(u16) -> bool,
) -> Option<u16> {
    let (low, high) = (u32::from(*range.start()), u32::from(*range.end()));
    let count = (high + 1).checked_sub(low).filter(|count| *count > 0)?;
    let start = below(rng, count);
    (0..count)
        .filter_map(|step| u16::try_from(low + (start + step) % count).ok())
        .find(|port| !in_use(*port))
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
}
