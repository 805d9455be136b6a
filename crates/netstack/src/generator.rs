//! smoltcp's random generator, turned round: the seed with which a connection begins where we want.
//!
//! smoltcp takes the initial sequence number from a generator of its interface and lets nobody choose it. The generator
//! is an sPCG32 (O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
//! Generation", 2014). A step of it multiplies by an odd number and adds another, which can be undone, and its output
//! is a run of 32 bits of the new state: so every number has its seeds. The other way would be to translate the numbers
//! and SACK blocks of each segment, in both directions.
//!
//! An interface that is made first draws an identification for IPv4, and again while that is zero. The connection's
//! number is the output after that.

const FACTOR: u64 = 0xbb2e_fcec_3c39_611d;
const ADDEND: u64 = 0x7590_ef39;
/// FACTOR × INVERSE = 1 modulo 2^64.
const INVERSE: u64 = 0x4eab_3c1d_3452_6935;
/// Bits below the output, if the highest three of the state are zero.
const BELOW: u32 = 29;

/// The seed of an interface whose connection is to begin with `number`.
pub(crate) fn seed_for(number: u32) -> u64 {
    // The bits below the output are free. One try in 65,536 has an identification of zero.
    (0..1 << BELOW)
        .map(|below: u64| step_back(u64::from(number) << BELOW | below))
        .find(|before| identification(*before) != 0)
        .map_or(0, step_back)
}

/// The state before this one.
fn step_back(state: u64) -> u64 {
    state.wrapping_sub(ADDEND).wrapping_mul(INVERSE)
}

/// What smoltcp makes of a state's output.
fn identification(state: u64) -> u16 {
    let output = state >> (BELOW - (state >> 61) as u32);
    (output ^ output >> 16) as u16
}

const _: () = assert!(FACTOR.wrapping_mul(INVERSE) == 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Timing};
    use crate::demux::Tuple;
    use crate::machine::{Machine, Setup};
    use crate::outbox::Outbox;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};
    use wirewright_protocol::Instant;

    #[test]
    fn smoltcp_begins_with_every_number_that_is_wanted() {
        let (limits, timing) = (Limits::default(), Timing::default());
        let tuple = Tuple {
            local: ([10, 0, 0, 1], 40_000).into(),
            remote: ([10, 0, 0, 2], 80).into(),
        };
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let edges = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX];
        for number in edges.into_iter().chain((0..500).map(|_| rng.next_u32())) {
            let setup = Setup {
                mtu: 1_420,
                limits: &limits,
                timing: &timing,
                initial_sequence: number,
            };
            let now = Instant::from_nanos(1);
            let mut machine = Machine::connect(&setup, tuple, now).unwrap();
            let (_, sent) = machine.egress(now, &mut Outbox::new(1 << 20, 1_420));
            // What is told is the number behind the SYN.
            assert_eq!((sent.packets, sent.last.sequence), (1, number.wrapping_add(1)));
        }
    }

    #[test]
    fn an_identification_of_zero_is_never_drawn_first() {
        // Looked for among the numbers: with the first bits below it would have been zero.
        let awkward = (0..u32::MAX)
            .find(|number| identification(step_back(u64::from(*number) << BELOW)) == 0)
            .unwrap();
        let seed = seed_for(awkward);
        let first = seed.wrapping_mul(FACTOR).wrapping_add(ADDEND);
        assert_ne!(identification(first), 0);
        let second = first.wrapping_mul(FACTOR).wrapping_add(ADDEND);
        assert_eq!(second >> BELOW, u64::from(awkward));
    }
}
