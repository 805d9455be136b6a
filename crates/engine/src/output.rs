//! What a call of a shard leaves to be done.

use alloc::vec::Vec;
use core::net::SocketAddr;

use wirewright_protocol::{OpenedInitiation, PublicKey};

use crate::batch::Batch;
use crate::directory::PeerRef;
use crate::peer::Endpoint;

/// Collects what a shard wants done. The shell empties it after each call and gives the batches back with
/// [`crate::Shard::recycle`].
#[derive(Default)]
pub struct Output {
    /// Datagrams to be sent, in order; each slot's path says where to.
    pub datagrams: Vec<Batch>,
    /// Plaintext packets for the interface, in order.
    pub packets: Vec<Batch>,
    /// What belongs to other shards.
    pub handovers: Vec<(u8, Handover)>,
    /// What a user may want to know.
    pub notices: Vec<Notice>,
}

impl Output {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
            && self.packets.is_empty()
            && self.handovers.is_empty()
            && self.notices.is_empty()
    }
}

impl Output {
    /// Adds a message to a peer that is sealed already: a handshake message or a keepalive.
    pub(crate) fn signal_to(&mut self, peer: PeerRef, path: Endpoint, message: &[u8]) {
        self.signal(path, message);
        if let Some(batch) = self.datagrams.last_mut()
            && let Some(slot) = batch.len().checked_sub(1).and_then(|last| batch.slot_mut(last))
        {
            slot.peer = Some(peer);
        }
    }

    /// Adds a message to an address that may be anybody's: a cookie reply.
    pub(crate) fn signal(&mut self, path: Endpoint, message: &[u8]) {
        let room = self
            .datagrams
            .last()
            .is_some_and(|batch| batch.stride() == SIGNAL_STRIDE && !batch.is_full());
        if !room {
            self.datagrams.push(Batch::new(SIGNALS, SIGNAL_STRIDE));
        }
        if let Some(batch) = self.datagrams.last_mut() {
            batch.push_datagram(path, message.len(), |bytes| bytes.copy_from_slice(message));
        }
    }
}

/// The longest message that is not data has 148 bytes. Batches of signals are few, small and not pooled.
const SIGNAL_STRIDE: usize = 192;
const SIGNALS: usize = 8;

/// Something that another shard has to go on with.
pub enum Handover {
    /// Plaintext packets for peers at home there.
    Send(Batch),
    /// Datagrams that carry that shard's receiver indices.
    Receive(Batch),
    /// An initiation, decrypted by the last-named shard as far as it can be without the peer (boxed: it is rare and
    /// large).
    Initiation(alloc::boxed::Box<OpenedInitiation>, Endpoint, PeerRef, u8),
    /// A peer's initiation from this address was genuine; for the shard that decrypted it.
    KnownSource(SocketAddr),
}

/// How much came to another shard than its own, and was handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Datagrams, which a socket filter should have steered.
    pub datagrams: u64,
    /// Packets of the interface.
    pub packets: u64,
}

impl HandedOver {
    /// Adds those of another shard.
    pub fn merge(&mut self, other: Self) {
        self.datagrams = self.datagrams.saturating_add(other.datagrams);
        self.packets = self.packets.saturating_add(other.packets);
    }
}

/// News of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A session was established and confirmed.
    HandshakeCompleted(PublicKey),
    /// All attempts to reach the peer were used up.
    HandshakeGaveUp(PublicKey),
    /// The peer was heard from another address.
    EndpointChanged(PublicKey),
}
