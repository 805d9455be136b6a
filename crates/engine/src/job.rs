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

/// A batch whose data messages are to be sealed.
pub struct SealJob {
    pub(crate) number: u64,
    pub(crate) batch: Batch,
    pub(crate) keys: Vec<SealKey>,
    pub(crate) packets: Vec<Packet>,
    failed: bool,
}

impl SealJob {
    pub(crate) fn new(number: u64, batch: Batch) -> Self {
        Self {
            number,
            batch,
            keys: Vec::new(),
            packets: Vec::new(),
            failed: false,
        }
    }

    /// Seals all packets. This is the expensive part, and needs nothing but the job.
    pub fn run(&mut self) {
        // The layout is our own and cannot be wrong; if it were, nothing may leave unsealed.
        self.failed = wirewright_aead::seal(&self.keys, &self.packets, self.batch.slab()).is_err();
    }

    /// The batch of sealed datagrams; empty if the cipher refused it.
    pub(crate) fn into_batch(mut self) -> Batch {
        if self.failed {
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
    /// The home peer's place in the shard.
    pub(crate) slot: u32,
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

    /// Opens all packets and notes a verdict for each. This is the expensive part, and needs nothing but the job.
    pub fn run(&mut self) {
        self.verdicts.clear();
        self.verdicts.resize(self.packets.len(), Verdict::Forged);
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
