//! Sealing and opening as values.
//!
//! A job holds all that the cipher needs: the batch, the keys (shared, wiped when the last holder lets go) and the
//! nonces, which were reserved before the job was made. So any thread may run it, and nothing but its number says
//! when its turn is. By default the shard that made it runs it at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;

use wirewright_aead::{Key, Packet, Verdict};
use wirewright_protocol::SessionKeys;

use crate::batch::Batch;
use crate::directory::PeerRef;

/// A batch whose data messages are to be sealed.
pub struct SealJob {
    pub(crate) number: u64,
    pub(crate) batch: Batch,
    pub(crate) keys: Vec<SealKey>,
    pub(crate) packets: Vec<Packet>,
    sealed: bool,
}

impl SealJob {
    pub(crate) fn new(number: u64, batch: Batch) -> Self {
        Self {
            number,
            batch,
            keys: Vec::new(),
            packets: Vec::new(),
            sealed: false,
        }
    }

    /// Seals all packets. This is the expensive part, and needs nothing but the job.
    pub fn run(&mut self) {
        self.sealed = wirewright_aead::seal(&self.keys, &self.packets, self.batch.slab()).is_ok();
    }

    /// The batch of sealed datagrams. Nothing may leave unsealed: it is empty if the job was never run, or if the
    /// cipher refused the layout (which is our own, and so cannot be wrong).
    pub(crate) fn into_batch(mut self) -> Batch {
        if !self.sealed {
            self.batch.clear();
        }
        self.batch
    }
}

/// A batch whose data messages are to be opened.
pub struct OpenJob {
    pub(crate) number: u64,
    pub(crate) batch: Batch,
    pub(crate) keys: Vec<OpenKey>,
    pub(crate) packets: Vec<Packet>,
    /// For each packet, the session that it claims to belong to.
    pub(crate) sessions: Vec<Claim>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// The session that a data message claims to belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The home peer.
    pub(crate) peer: PeerRef,
    /// The receiver index.
    pub(crate) index: u32,
}

impl OpenJob {
    pub(crate) fn new(number: u64, batch: Batch) -> Self {
        Self {
            number,
            batch,
            keys: Vec::new(),
            packets: Vec::new(),
            sessions: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Adds a data message that may be genuine.
    pub(crate) fn claim(&mut self, claim: Claim, packet: Packet) {
        self.sessions.push(claim);
        self.packets.push(packet);
        // Until the cipher has spoken, and for ever if it is never asked.
        self.verdicts.push(Verdict::Forged);
    }

    /// Opens all packets and notes a verdict for each. This is the expensive part, and needs nothing but the job.
    pub fn run(&mut self) {
        if wirewright_aead::open(&self.keys, &self.packets, self.batch.slab(), &mut self.verdicts).is_err() {
            self.verdicts.fill(Verdict::Forged);
        }
    }
}

/// A session's key for sending.
pub(crate) struct SealKey(pub(crate) Arc<SessionKeys>);

impl Borrow<Key> for SealKey {
    fn borrow(&self) -> &Key {
        &self.0.seal
    }
}

/// A session's key for receiving.
pub(crate) struct OpenKey(pub(crate) Arc<SessionKeys>);

impl Borrow<Key> for OpenKey {
    fn borrow(&self) -> &Key {
        &self.0.open
    }
}
