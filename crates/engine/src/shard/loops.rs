//! Routing loops: our own messages, routed back into the interface.
//!
//! # Theory
//!
//! If the way to a peer's endpoint leads into the tunnel, a message goes round, longer by a header and a tag each time,
//! until it is cut into fragments, which multiply. Three things end that.
//!
//! - **Our own messages are known.** A message of ours names a session by its receiver's index, so that an outgoing packet
//!   that holds a data message to one of the sessions in use here is taken for such, and dropped. Sessions are remembered in a
//!   small table, which the shards of an interface share, and in which a newer one takes the place of another; a stranger's
//!   message hits one with a chance of at most 2^-24.
//! - **A tunnel in a tunnel is paid for.** If two interfaces lead into each other, each gets messages of the other, as in any
//!   tunnel through a tunnel, and cannot know what is inside. So a message that holds another does not leave with the
//!   system's hop limit but with fewer hops than the inner packet had: with the next lower multiple of [`NESTING`], and at most
//!   [`MOST`]; where that is zero, it is dropped. That leaves seven levels, wherever a loop begins and however many routers
//!   are in it, and hops enough at each of the three or four that somebody may want. The hop limit stands in clear, and
//!   the inner packet's own would tell the system it comes from (64, 128 or 255 at first) and how far away that is. In
//!   steps, nearly all leave with [`MOST`], and one in a second tunnel with a step less.
//! - **A later fragment pays, too, but is not dropped.** It may be of a message, and may as well be of anything else in UDP, to
//!   which few hops are enough. It leaves with [`NESTING`] hops at least: the message that holds it has too few for
//!   another level, and ends there. Only what is cut off that message goes on, and that gets shorter each time: some 100
//!   bytes are added, and the first fragment, which is the one that ends, takes nearly an MTU away. An interface with less
//!   than [`SHRINKING`] bytes of MTU cannot rely on that, and drops such fragments.
//!
//! A table is written to only where a session is not in it, so that its memory is not pulled from shard to shard.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::packet::Nested;

const SLOTS: usize = 256;
/// Steps of hops, one of which a tunnel in a tunnel costs.
const NESTING: u8 = 8;
/// With how many hops a message that holds another leaves at most: a step below the usual 64.
const MOST: u8 = 64 - NESTING;
/// The least MTU with which fragments of fragments get shorter: more than twice what a level adds, 80 bytes and the padding.
const SHRINKING: usize = 256;

/// The sessions to which an interface seals. Clones are one table.
#[derive(Clone)]
pub(crate) struct Loops {
    receivers: Arc<[AtomicU32; SLOTS]>,
}

/// What is to be done with an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing special.
    Free,
    /// It may pass no more routers than so many.
    Limited(u8),
    /// It goes round in circles.
    Loop,
}

impl Loops {
    pub(crate) fn new() -> Self {
        // What an empty place holds belongs to another place: zero may be an index as any other.
        let nobody = |place| if place == slot(0) { u32::MAX } else { 0 };
        Self {
            receivers: Arc::new(core::array::from_fn(|place| AtomicU32::new(nobody(place)))),
        }
    }

    /// Something is sealed to the session that its receiver knows by `receiver_index`.
    pub(super) fn note(&self, receiver_index: u32) {
        if let Some(place) = self.receivers.get(slot(receiver_index))
            && place.load(Relaxed) != receiver_index
        {
            place.store(receiver_index, Relaxed);
        }
    }

    /// What is to be done with an outgoing packet of an interface with an MTU.
    pub(super) fn course(&self, packet: &[u8], mtu: usize) -> Course {
        let Some(nested) = Nested::parse(packet) else {
            return Course::Free;
        };
        if nested.receiver.is_some_and(|receiver| self.knows(receiver)) {
            return Course::Loop;
        }
        let left = left(nested.hop_limit);
        if nested.receiver.is_none() && mtu >= SHRINKING {
            return Course::Limited(left.max(NESTING));
        }
        match left {
            0 => Course::Loop,
            left => Course::Limited(left),
        }
    }

    fn knows(&self, receiver: u32) -> bool {
        let place = self.receivers.get(slot(receiver));
        place.is_some_and(|place| place.load(Relaxed) == receiver)
    }
}

/// The hops of a message that holds a packet with a hop limit.
fn left(hop_limit: u8) -> u8 {
    (hop_limit.saturating_sub(1) / NESTING * NESTING).min(MOST)
}

/// Indices need not be random, so that they are spread (Knuth's multiplicative hash).
fn slot(receiver_index: u32) -> usize {
    (receiver_index.wrapping_mul(0x9e37_79b1) >> 24) as usize
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn message_to(receiver: u32, hop_limit: u8) -> [u8; 40] {
        let mut packet = [0; 40];
        (packet[0], packet[8], packet[9], packet[28]) = (0x45, hop_limit, 17, 4);
        packet[32..36].copy_from_slice(&receiver.to_le_bytes());
        packet
    }

    fn is_ours(loops: &Loops, receiver: u32) -> bool {
        loops.course(&message_to(receiver, 64), 1420) == Course::Loop
    }

    #[test]
    fn an_empty_table_knows_nobody() {
        let loops = Loops::new();
        for receiver in (0..1000).chain([u32::MAX]) {
            assert!(!is_ours(&loops, receiver), "{receiver}");
        }
    }

    #[test]
    fn a_session_is_known_until_another_takes_its_place() {
        let loops = Loops::new();
        let other = (8..).find(|other| slot(*other) == slot(7)).unwrap();
        loops.note(7);
        assert!(is_ours(&loops, 7) && !is_ours(&loops, other));
        loops.note(other);
        assert!(!is_ours(&loops, 7) && is_ours(&loops, other));
        loops.note(0);
        assert!(is_ours(&loops, 0));
    }

    #[test]
    fn each_level_of_a_tunnel_in_tunnels_costs_hops_until_none_is_left() {
        let loops = Loops::new();
        // Routers between the levels take some, too.
        for (first, routers, expected) in [(64, 0, 7), (64, 1, 7), (255, 0, 7), (255, 1, 7), (64, 9, 4)] {
            let (mut hops, mut levels) = (first, 0);
            while let Course::Limited(left) = loops.course(&message_to(1, hops), 1420) {
                (hops, levels) = (left.saturating_sub(routers), levels + 1);
            }
            assert_eq!(levels, expected, "{first} hops, {routers} routers");
        }
    }

    #[test]
    fn every_hop_limit_leads_to_a_lower_one_in_a_few_levels() {
        let loops = Loops::new();
        for first in 0..=u8::MAX {
            let (mut hops, mut levels) = (first, 0);
            while let Course::Limited(left) = loops.course(&message_to(1, hops), 1420) {
                assert!(left < hops && left > 0, "{hops} to {left}");
                (hops, levels) = (left, levels + 1);
            }
            assert_eq!(loops.course(&message_to(1, hops), 1420), Course::Loop);
            assert!(levels <= 7, "{first}: {levels}");
        }
    }

    #[test]
    fn a_message_does_not_tell_which_system_the_inner_packet_is_of_nor_how_near_that_is() {
        let loops = Loops::new();
        // The systems' own hop limits, and those of neighbours.
        for hops in (57..=64).chain(120..=128).chain(247..=255) {
            let course = loops.course(&message_to(1, hops), 1420);
            assert_eq!(course, Course::Limited(MOST), "{hops}");
        }
        let told: BTreeSet<u8> = (9..=u8::MAX).map(left).collect();
        assert_eq!(Vec::from_iter(told), [8, 16, 24, 32, 40, 48, 56]);
    }

    #[test]
    fn a_later_fragment_pays_as_long_as_it_can_and_leaves_with_too_few_hops_for_another_level() {
        let loops = Loops::new();
        for (hops, left) in [
            (255, 56),
            (64, 56),
            (57, 56),
            (56, 48),
            (17, 16),
            (16, 8),
            (9, 8),
            (8, 8),
            (1, 8),
        ] {
            let mut fragment = message_to(1, hops);
            fragment[7] = 1;
            assert_eq!(loops.course(&fragment, 1420), Course::Limited(left), "{hops}");
        }
        assert_eq!(loops.course(&message_to(1, 8), 1420), Course::Loop);
    }

    #[test]
    fn where_fragments_would_not_get_shorter_one_with_few_hops_is_dropped() {
        let loops = Loops::new();
        for (hops, mtu, course) in [
            (8, SHRINKING, Course::Limited(8)),
            (8, SHRINKING - 1, Course::Loop),
            (9, SHRINKING - 1, Course::Limited(8)),
        ] {
            let mut fragment = message_to(1, hops);
            fragment[7] = 1;
            assert_eq!(loops.course(&fragment, mtu), course);
        }
    }

    /// The theory: fragments of any interface that is wide enough end, whatever the others' MTUs, and are not too many.
    #[test]
    fn a_loop_of_fragments_ends() {
        const OUTER: usize = 28 + 32;
        for mtus in [
            [1420, 1420],
            [256, 256],
            [256, 68],
            [68, 256],
            [9000, 256],
            [65_535, 576],
            [1500, 1420],
        ] {
            let (mut fragments, mut sent, mut turn) = (vec![mtus[0]], 0, 0);
            while !fragments.is_empty() {
                let loops = Loops::new();
                let (mtu, next) = (mtus[turn % 2], mtus[(turn + 1) % 2]);
                let mut following = vec![];
                for len in fragments {
                    let mut fragment = message_to(1, 1);
                    fragment[7] = 1;
                    if loops.course(&fragment, mtu) == Course::Loop {
                        continue;
                    }
                    sent += 1;
                    let payload = len.next_multiple_of(16).min(mtu) + OUTER - 20;
                    let most = (next - 20) / 8 * 8;
                    // The first fragment, or the whole, has too few hops.
                    let mut left = if payload + 20 > next { payload - most } else { 0 };
                    while left > 0 {
                        following.push(left.min(most) + 20);
                        left -= left.min(most);
                    }
                }
                (fragments, turn) = (following, turn + 1);
                assert!(turn < 100 && sent < 2000, "{mtus:?}: {sent}");
            }
        }
    }

    #[test]
    fn what_goes_to_many_is_no_tunnel() {
        let mut fragment = message_to(1, 1);
        (fragment[7], fragment[16]) = (1, 239);
        assert_eq!(Loops::new().course(&fragment, 1420), Course::Free);
        let mut fragment = [0; 56];
        (fragment[0], fragment[6], fragment[7], fragment[24]) = (0x60, 44, 1, 0xff);
        (fragment[40], fragment[42]) = (17, 1);
        assert_eq!(Loops::new().course(&fragment, 1420), Course::Free);
    }

    #[test]
    fn what_is_no_tunnel_goes_on_as_it_is() {
        let mut packet = message_to(1, 1);
        packet[9] = 1;
        assert_eq!(Loops::new().course(&packet, 1420), Course::Free);
    }
}
