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

/// Jobs that are done, without batch and keys, kept for their lists: so steady traffic allocates nothing.
pub(crate) struct Spares<J>(Vec<J>);

/// Without helpers one job is out at a time; a few more serve those.
const SPARES: usize = 8;

impl<J> Spares<J> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl Spares<SealJob> {
    /// A job for this batch.
    pub(crate) fn take(&mut self, batch: Batch) -> SealJob {
        let mut job = self.0.pop().unwrap_or_else(|| SealJob::new(0, Batch::new(0, 0)));
        job.batch = batch;
        job
    }

    /// Takes a job apart that is done: its batch is for the next stage, its keys are let go.
    pub(crate) fn put(&mut self, mut job: SealJob) -> Batch {
        let batch = core::mem::replace(&mut job.batch, Batch::new(0, 0));
        job.keys.clear();
        job.packets.clear();
        job.sealed = false;
        if self.0.len() < SPARES {
            self.0.push(job);
        }
        batch
    }
}

impl Spares<OpenJob> {
    /// A job for this batch.
    pub(crate) fn take(&mut self, batch: Batch) -> OpenJob {
        let mut job = self.0.pop().unwrap_or_else(|| OpenJob::new(0, Batch::new(0, 0)));
        job.batch = batch;
        job
    }

    /// Takes a job apart that is done: its batch is for the next stage, its keys are let go.
    pub(crate) fn put(&mut self, mut job: OpenJob) -> Batch {
        let batch = core::mem::replace(&mut job.batch, Batch::new(0, 0));
        job.keys.clear();
        job.packets.clear();
        job.sessions.clear();
        job.verdicts.clear();
        if self.0.len() < SPARES {
            self.0.push(job);
        }
        batch
    }
}

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

    /// Leaves in the batch what may leave. Nothing may unsealed: it is empty if the job was never run, or if the cipher
    /// refused the layout (which is our own, and so cannot be wrong).
    pub(crate) fn keep_sealed(&mut self) {
        if !self.sealed {
            self.batch.clear();
        }
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
