//! The plaintext side of a rootless tunnel: a [`Netstack`] where a system tunnel has its TUN.

use core::net::IpAddr;

use wirewright_engine::{Batch, Moment, Notice};
use wirewright_offload::coalesce::Coalescer;
use wirewright_protocol::Instant;
use wirewright_runtime::outside::{Orders, Reports};
use wirewright_runtime::{Interface, Owner};

use crate::notices::Notices;
use crate::stack::destination_of;
use crate::{Netstack, PacketSink};

/// Flows whose segments are joined at a time, and the size of a joined segment.
const FLOWS: usize = 8;
const JOINED: usize = 65_535;

/// A user-space host behind a tunnel, with what its user has not fetched yet.
pub struct Rootless {
    /// The TCP/IP stack.
    pub netstack: Netstack,
    /// Segments of one flow are joined first, so that the stack pays once for many.
    coalescer: Coalescer,
    notices: Notices,
    stopped: Option<String>,
}

impl Rootless {
    /// Puts a stack behind a tunnel.
    #[must_use]
    pub fn new(netstack: Netstack) -> Self {
        Self {
            netstack,
            coalescer: Coalescer::new(FLOWS, JOINED),
            notices: Notices::default(),
            stopped: None,
        }
    }

    /// The next notice of the engine: of each peer the newest, and none of endpoints.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }

    /// Why the tunnel ended by itself, once.
    pub fn take_stopped(&mut self) -> Option<String> {
        self.stopped.take()
    }
}

impl Interface for Rootless {
    fn deliver(&mut self, at: Moment, packets: &Batch, owner: Owner<'_>) {
        let netstack = &mut self.netstack;
        // Packets of a batch mostly go to the same few addresses.
        let mut last = None;
        for (_, packet) in packets.packets() {
            if netstack.forwards() && is_between(netstack, packet, owner, &mut last) {
                netstack.pass_between(at.now, packet, owner);
                continue;
            }
            self.coalescer
                .push(packet, |packet| netstack.receive_for(at.now, packet, owner));
        }
        self.coalescer
            .flush(|packet| netstack.receive_for(at.now, packet, owner));
    }

    fn collect(&mut self, at: Moment, batch: &mut Batch) -> bool {
        self.netstack.poll(at.now, &mut Sink(batch));
        batch.is_full()
            && self
                .netstack
                .deadline()
                .is_some_and(|deadline| deadline <= at.now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.netstack.deadline()
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn stopped(&mut self, reason: &str) {
        self.stopped = Some(reason.to_owned());
    }

    fn has_events(&self) -> bool {
        self.netstack.has_events() || !self.notices.is_empty() || self.stopped.is_some()
    }

    fn reported(&mut self, at: Moment, reports: &Reports) {
        self.netstack.reported(at.now, reports);
    }

    fn order(&mut self, _: Moment, orders: &mut Orders) {
        self.netstack.order(orders);
    }
}

/// Whether a packet is for a peer, and not for the stack. `last` is what was found of the last address.
fn is_between(
    netstack: &Netstack,
    packet: &[u8],
    owner: Owner<'_>,
    last: &mut Option<(IpAddr, bool)>,
) -> bool {
    let Some(destination) = destination_of(packet) else {
        return false;
    };
    match *last {
        Some((known, is_peer)) if known == destination => is_peer,
        _ => {
            let is_peer = !netstack.is_own(destination) && owner(destination).is_some();
            *last = Some((destination, is_peer));
            is_peer
        }
    }
}

/// Packets go straight into the slots where they will be sealed.
struct Sink<'a>(&'a mut Batch);

impl PacketSink for Sink<'_> {
    fn has_room(&self) -> bool {
        !self.0.is_full()
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut fill = Some(fill);
        let mut result = None;
        self.0
            .push_plaintext(len, |bytes| result = fill.take().map(|fill| fill(bytes)));
        match (result, fill) {
            (Some(result), _) => result,
            // Longer than the engine's MTU, which is the stack's own: written to nowhere, so that nothing is sent.
            (None, Some(fill)) => fill(&mut vec![0; len]),
            (None, None) => unreachable!("fill is taken only to give a result"),
        }
    }
}
