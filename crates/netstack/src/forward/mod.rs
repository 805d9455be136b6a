//! What a gateway without root carries for its peers: their packets end here, and sockets of the host go on from here.
//!
//! # Theory
//!
//! A packet of a peer cannot leave the host as it is, for that takes a privilege. So each TCP connection, UDP flow and
//! ping of a peer is *carried*: it has a socket of the host, and what comes by one goes out by the other. The stack stands
//! in for every address outside; the host's kernel speaks with that address in its own name.
//!
//! ```text
//!  SYN ──► Dialing ── connected ──► Joined ── both directions ended ──► Leaving ── acknowledged ──► gone
//!             │                        └── either side broke ──► the other is reset ──► gone
//!             └── refused: RST · unreachable, forbidden, no answer: ICMP error ──► gone
//!
//!  first datagram or echo request ──► flow: unanswered ── an answer ──► answered ── idle ──► gone
//! ```
//!
//! **The peer sees what is true.** A SYN is not answered before the host's own connection is there. Errors that the host's
//! sockets meet are told as the ICMP errors that they came from. A packet has one hop less behind here; one that has
//! none left is answered by the tunnel's own address.
//!
//! **Nothing grows.** What a peer sent and the host does not take stays in the connection's buffer and closes its window;
//! the host's socket is read only as far as there is room for it on the way to the peer ([`streams`]). All that is carried has
//! a place, of which there is a number for all and for each peer ([`places`]), until nothing of it is left, and ends if it is
//! idle.
//!
//! Fragments are joined before they are carried on ([`reassembly`]), and answers longer than the tunnel's MTU are cut
//! ([`cut`]).
//!
//! **What may be reached** is a list ([`reach`]). What is the host's own or special is not, unless it is named.
//!
//! **Between peers** packets go back into the tunnel as they came, one hop less ([`between`]): the engine's filter has judged
//! them before, and judges them again.
//!
//! A peer is told from others by its key, to which the source address belongs. When an address changes hands what was
//! carried for it ends ([`Netstack::recheck`](crate::Netstack::recheck)).

pub(crate) mod between;
mod counters;
pub(crate) mod cut;
pub(crate) mod flows;
#[cfg(test)]
pub(crate) mod kept;
pub(crate) mod places;
pub(crate) mod quote;
pub(crate) mod reach;
pub(crate) mod reassembly;
mod settings;
pub(crate) mod streams;

use std::collections::{HashMap, VecDeque};

use rand_core::Rng;
use wirewright_runtime::outside::Orders;

use crate::config::Limits;
use crate::deadlines::Deadlines;
use crate::demux::TupleKey;
use crate::hash::KeyedHash;
use crate::slots::{Handle, Slots};

use between::Between;
use cut::Cutter;
use flows::{Flow, FlowKey};
use places::Places;
use reach::Reach;
use reassembly::Reassembly;
use streams::Stream;

pub use counters::ForwardCounters;
pub use settings::Forwarding;

/// Buffers of a carried connection, each way: enough for most paths, and windows grow where they are not.
const BUFFER: usize = 128 << 10;
/// What windows of carried connections may grow to.
const LARGEST_WINDOW: usize = 4 << 20;

/// Everything that is carried.
pub(crate) struct Forwarder {
    pub(crate) settings: Forwarding,
    pub(crate) reach: Reach,
    /// Buffers of carried connections.
    pub(crate) limits: Limits,
    pub(crate) carried: Slots<Carried>,
    /// Connections that the host has not answered yet. The others are found by the stack.
    pub(crate) dialing: HashMap<TupleKey, Handle, KeyedHash>,
    pub(crate) flows: HashMap<FlowKey, Handle, KeyedHash>,
    pub(crate) stream_places: Places,
    pub(crate) flow_places: Places,
    pub(crate) deadlines: Deadlines,
    /// Streams that may have bytes for the host, each once.
    pub(crate) pumps: VecDeque<Handle>,
    pub(crate) orders: Orders,
    pub(crate) between: Between,
    pub(crate) cutter: Cutter,
    pub(crate) reassembly: Reassembly,
    pub(crate) counters: ForwardCounters,
}

/// One thing that is carried.
pub(crate) enum Carried {
    Stream(Box<Stream>),
    Flow(Box<Flow>),
}

impl Forwarder {
    pub(crate) fn new(settings: Forwarding, limits: &Limits, mtu: usize, rng: &mut impl Rng) -> Self {
        Self {
            reach: Reach::new(&settings.reach, settings.host),
            limits: Limits {
                receive_buffer: BUFFER,
                transmit_buffer: BUFFER,
                largest_window: LARGEST_WINDOW,
                ..limits.clone()
            },
            carried: Slots::new(settings.connections.saturating_add(settings.flows)),
            dialing: HashMap::with_hasher(KeyedHash::new(rng)),
            flows: HashMap::with_hasher(KeyedHash::new(rng)),
            stream_places: Places::new(settings.connections, settings.connections_per_peer, rng),
            flow_places: Places::new(settings.flows, settings.flows_per_peer, rng),
            deadlines: Deadlines::default(),
            pumps: VecDeque::new(),
            orders: Orders::default(),
            between: Between::new(limits.outbox, mtu),
            cutter: Cutter::new(rng.next_u32()),
            reassembly: Reassembly::default(),
            counters: ForwardCounters::default(),
            settings,
        }
    }
}

/// The name of a socket of the host is that of what it carries.
pub(crate) fn name_of(handle: Handle) -> u64 {
    handle.to_bits()
}
