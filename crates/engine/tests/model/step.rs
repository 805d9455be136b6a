//! What may happen to the nodes of a world, and how often.

use proptest::prelude::*;

use super::interface::Harm;
use super::world::NODES;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A node sends packets to another one, some of them from a third one's address or to nobody.
    Send {
        node: usize,
        to: usize,
        packets: Vec<bool>,
    },
    /// Some datagrams arrive, counted from the oldest; they stay on the wire if they are to arrive again.
    Arrive {
        first: usize,
        count: usize,
        again: bool,
        elsewhere: bool,
        harm: Harm,
    },
    Lose {
        first: usize,
    },
    /// Everything arrives, and what follows from it.
    Carry,
    Pass {
        milliseconds: u64,
    },
    /// A node gives an address, or the network of all, to a peer.
    Allow {
        node: usize,
        peer: usize,
        address: usize,
        all: bool,
    },
    Remove {
        node: usize,
        peer: usize,
    },
    Add {
        node: usize,
        peer: usize,
        endpoint: bool,
    },
    Move {
        node: usize,
        place: u8,
    },
    Initiate {
        node: usize,
        peer: usize,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let harm = prop_oneof![
        8 => Just(Harm::None),
        1 => Just(Harm::Type),
        1 => Just(Harm::Index),
        2 => Just(Harm::Text),
    ];
    let span = prop_oneof![3 => 0..40u64, 3 => 0..6_000u64, 1 => 0..200_000u64];
    let packets = proptest::collection::vec(prop::bool::weighted(0.8), 1..6);
    prop_oneof![
        8 => (node(), node(), packets).prop_map(|(node, to, packets)| Step::Send { node, to, packets }),
        16 => (0..20usize, 1..6usize, prop::bool::weighted(0.25), prop::bool::weighted(0.1), harm)
            .prop_map(|(first, count, again, elsewhere, harm)| Step::Arrive { first: first.saturating_sub(10), count, again, elsewhere, harm }),
        2 => (0..40usize).prop_map(|first| Step::Lose { first }),
        4 => Just(Step::Carry),
        6 => span.prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => (node(), node(), node(), any::<bool>()).prop_map(|(node, peer, address, all)| Step::Allow { node, peer, address, all }),
        1 => (node(), node()).prop_map(|(node, peer)| Step::Remove { node, peer }),
        2 => (node(), node(), any::<bool>()).prop_map(|(node, peer, endpoint)| Step::Add { node, peer, endpoint }),
        1 => (node(), 0..4u8).prop_map(|(node, place)| Step::Move { node, place }),
        1 => (node(), node()).prop_map(|(node, peer)| Step::Initiate { node, peer }),
    ]
}
