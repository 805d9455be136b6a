//! A shard: home of some peers, single-threaded, sharing nothing with the others.
//!
//! # Theory
//!
//! What a peer's packets need (conversation, endpoint, staged packets, timers, counters) belongs to one shard
//! alone. The shard's number stands in the low bits of each receiver index that it gives out, so that the datagram
//! itself says where it belongs: the kernel can read it when it picks a socket, and a shard that gets a foreign
//! datagram hands it over. What all shards read (the directory, the identity) they hold as published values and
//! replace when a [`Command`] brings newer ones.
//!
//! Per packet there is no clock, no allocation and no timer: these are done once per batch and peer.

mod command;
mod fences;
mod filtering;
mod handover;
mod handshake;
mod indices;
mod loops;
mod purse;
mod receive;
mod send;
mod state;
mod suspend;
mod timers;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use wirewright_protocol::{CookieIssuer, Identity, Instant, PublicKey, WallTime};

pub use self::command::Command;
pub(crate) use self::command::PeerUpdate;
use self::fences::{Allowance, Waiting};
pub(crate) use self::indices::Indices;
pub(crate) use self::loops::Loops;
pub(crate) use self::purse::Pace;
use crate::batch::{Batch, Pool, Slot};
use crate::counters::{Counters, Event};
use crate::deadlines::Deadlines;
use crate::directory::{Directory, PeerRef};
use crate::job::{OpenJob, SealJob, Spares};
use crate::limits::Limits;
use crate::load::{KnownSources, Load, RateLimiter};
use crate::output::{HandedOver, Output};
use crate::pages::Pages;
use crate::peer::{Peer, PeerReport, PeerStatus, Retired};
use crate::sequence::Sequence;

/// The time of a call: monotonic across suspend for timers, and wall time for the handshake's timestamp.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic time, which goes on during suspend.
    pub now: Instant,
    /// Wall time.
    pub wall: WallTime,
}

/// A shard of an interface. `R` is its source of randomness.
pub struct Shard<R> {
    id: u8,
    shards: u8,
    rng: R,
    limits: Limits,
    mtu: usize,
    identity: Option<Arc<Identity>>,
    cookies: Option<CookieIssuer>,
    directory: Arc<Directory>,
    peers: Pages<Box<Peer>>,
    indices: Indices,
    deadlines: Deadlines,
    /// Handshake messages that proved their source address, before those that came while nothing was to be proved.
    proven: VecDeque<Waiting>,
    waiting: VecDeque<Waiting>,
    load: Load,
    /// Handshakes of sources that proved their address.
    rate_limiter: RateLimiter,
    known_sources: KnownSources,
    /// Messages of known sources that are read without being paid for.
    readings: RateLimiter,
    allowance: Allowance,
    pace: Pace,
    staged_bytes: usize,
    /// Flows that the packet filter remembers, of all home peers.
    flows: usize,
    loops: Loops,
    sealing: Sequence<SealJob>,
    opening: Sequence<OpenJob>,
    spares: (Spares<SealJob>, Spares<OpenJob>),
    counters: Counters,
    handed_over: HandedOver,
    retired: Retired,
    pool: Pool,
    scratch: Scratch,
}

/// Lists that live no longer than a call, kept to spare their allocation.
#[derive(Default)]
struct Scratch {
    groups: Vec<send::Group>,
    heard: Vec<receive::Heard>,
    slots: Vec<u32>,
    homes: Vec<u8>,
}

impl<R: CryptoRng> Shard<R> {
    /// The most shards that an interface can have: the number of values of the low bits of a receiver index.
    pub const MAX_SHARDS: u8 = 1 << Indices::SHARD_BITS;

    pub(crate) fn new(
        id: u8,
        shards: u8,
        mut rng: R,
        limits: Limits,
        mtu: usize,
        directory: Arc<Directory>,
        loops: Loops,
    ) -> Self {
        let seeds = [random_u128(&mut rng), random_u128(&mut rng)];
        let (allowance, pace) = (Allowance::new(&limits), Pace::new(&limits));
        Self {
            id,
            shards,
            rng,
            limits,
            mtu,
            identity: None,
            cookies: None,
            directory,
            peers: Pages::new(),
            indices: Indices::new(id, seeds[0]),
            deadlines: Deadlines::new(),
            proven: VecDeque::new(),
            waiting: VecDeque::new(),
            load: Load::default(),
            rate_limiter: RateLimiter::new(seeds[1]),
            known_sources: KnownSources::new(seeds[1]),
            readings: RateLimiter::new(seeds[1]),
            allowance,
            pace,
            staged_bytes: 0,
            flows: 0,
            loops,
            sealing: Sequence::new(),
            opening: Sequence::new(),
            spares: (Spares::new(), Spares::new()),
            counters: Counters::default(),
            handed_over: HandedOver::default(),
            retired: Retired::new(),
            pool: Pool::default(),
            scratch: Scratch::default(),
        }
    }

    /// This shard's number.
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    /// When [`Shard::tick`] wants to be called at the latest. `None`: not before something else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.peek()
    }

    /// Whether handshake messages wait, so that [`Shard::handshakes`] should be called soon.
    #[must_use]
    pub fn has_handshakes(&self) -> bool {
        self.handshakes_waiting() > 0
    }

    /// How many handshake messages wait.
    #[must_use]
    pub fn handshakes_waiting(&self) -> usize {
        self.proven.len() + self.waiting.len()
    }

    /// Sends a batch of plaintext packets and everything that follows from it, sealing on this thread.
    pub fn send_now(&mut self, at: Moment, batch: Batch, output: &mut Output) {
        if let Some(mut job) = self.send(at, batch, output) {
            job.run();
            self.sealed(job, output);
        }
    }

    /// Receives a batch of datagrams and everything that follows from it, opening on this thread.
    pub fn receive_now(&mut self, at: Moment, batch: Batch, output: &mut Output) {
        if let Some(mut job) = self.receive(at, batch, output) {
            job.run();
            self.opened(at, job, output);
        }
    }

    /// Inner packets are of up to `mtu` bytes from now on.
    pub fn set_mtu(&mut self, mtu: usize) {
        if mtu != self.mtu {
            self.mtu = mtu;
            // Batches of another size would only take the places of those that fit.
            self.pool = Pool::default();
        }
    }

    /// An empty batch for plaintext packets, from the pool if one is there.
    pub fn batch(&mut self) -> Batch {
        let stride = Batch::stride_for(self.mtu);
        self.pool.take(BATCH_SLOTS, stride)
    }

    /// An empty batch of one slab of `bytes` bytes, for a socket that coalesces datagrams.
    pub fn receive_batch(&mut self, bytes: usize) -> Batch {
        self.pool.take(1, bytes)
    }

    /// Takes a batch back for reuse.
    pub fn recycle(&mut self, batch: Batch) {
        self.pool.put(batch, self.limits.pooled_batches);
    }

    /// What happened in this shard, to known peers and unknown senders alike.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How much this shard handed over to others.
    #[must_use]
    pub fn handed_over(&self) -> HandedOver {
        self.handed_over
    }

    /// Counts an event that the shell saw, such as a datagram that the operating system refused.
    pub fn count(&mut self, event: Event, by: u64) {
        self.counters.add(event, by);
    }

    /// Counts a datagram of this shard that the operating system refused, for its peer, too, if that is known. `event`
    /// says why, as far as a remedy depends on it: [`Event::SendError`] or one of its kind.
    pub fn refused(&mut self, datagram: &Slot, event: Event) {
        match datagram.peer.filter(|peer| self.peer(*peer).is_some()) {
            Some(peer) => self.count_peer(peer.slot, event, 1),
            None => self.count(event, 1),
        }
    }

    /// Leaves out counters of a home peer's session, as if so many packets had been sent; see
    /// [`wirewright_protocol::Conversation::skip_counters`].
    pub fn skip_counters(&mut self, id: PeerRef, packets: u64) {
        if let Some(peer) = self.peer_mut(id) {
            peer.conversation.skip_counters(packets);
        }
    }

    /// All home peers, in the order of their slots.
    pub fn statuses(&self, now: Instant) -> impl Iterator<Item = PeerStatus> + '_ {
        self.peers.iter().map(move |peer| status(peer, now))
    }

    /// The home peers in up to `most` slots from `from` on, with their pre-shared keys, and the slot to go on from if there are
    /// more. In portions, so that a list of a million peers does not keep packets waiting.
    #[must_use]
    pub fn reports(&self, now: Instant, from: u32, most: u32) -> (Vec<PeerReport>, Option<u32>) {
        let to = self.peers.bound().min(from.saturating_add(most));
        let reports = (from..to)
            .filter_map(|slot| self.peers.get(slot))
            .map(|peer| PeerReport {
                id: peer.id,
                status: status(peer, now),
                preshared_key: peer.conversation.preshared_key().cloned(),
            });
        (reports.collect(), (to < self.peers.bound()).then_some(to))
    }

    /// The home peer `id`.
    #[must_use]
    pub fn status(&self, id: PeerRef, now: Instant) -> Option<PeerStatus> {
        self.peer(id).map(|peer| status(peer, now))
    }

    /// The public key of the home peer `id`.
    #[must_use]
    pub fn public_key(&self, id: PeerRef) -> Option<PublicKey> {
        self.peer(id).map(key_of)
    }

    /// How many receiver indices are given out.
    #[must_use]
    pub fn indices_in_use(&self) -> usize {
        self.indices.len()
    }

    /// How many plaintext bytes wait for sessions.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// Bytes of heap memory that the slots and tables for peers, indices and deadlines hold; what a peer itself holds
    /// is not counted. O(n).
    #[must_use]
    pub fn allocated(&self) -> usize {
        let retired = self.retired.capacity() * size_of::<u32>();
        self.peers.allocated() + self.indices.allocated() + self.deadlines.allocated() + retired
    }

    pub(crate) fn rng_mut(&mut self) -> &mut R {
        &mut self.rng
    }

    fn peer(&self, id: PeerRef) -> Option<&Peer> {
        self.peers
            .get(id.slot)
            .map(|peer| &**peer)
            .filter(|peer| peer.id == id)
    }

    fn peer_mut(&mut self, id: PeerRef) -> Option<&mut Peer> {
        peer_at(&mut self.peers, id.slot).filter(|peer| peer.id == id)
    }

    /// Counts for the shard and for the peer in `slot`.
    fn count_peer(&mut self, slot: u32, event: Event, by: u64) {
        if by == 0 {
            return;
        }
        self.counters.add(event, by);
        if let Some(peer) = peer_at(&mut self.peers, slot) {
            peer.count(event, by);
        }
    }

    /// Releases what a conversation gave up, and asks to be woken when it wants to. Packets wait for as long as a
    /// timer runs that can bring a session; without one, they would wait for ever.
    fn settle(&mut self, slot: u32) {
        for index in self.retired.drain(..) {
            self.indices.release(index);
        }
        let peer = self.peers.get(slot);
        let deadline = peer.and_then(|peer| peer.conversation.deadline());
        let stranded = deadline.is_none() && peer.is_some_and(|peer| !peer.staged.is_empty());
        let sweep = peer.and_then(|peer| peer.ledger()?.deadline());
        self.deadlines.set(slot, deadline.into_iter().chain(sweep).min());
        if stranded {
            self.drop_staged(slot);
        }
    }
}

/// Slots of a pooled batch. 45 packets of 1420 bytes make the largest super-packet; 64 fit one offloaded send.
pub(crate) const BATCH_SLOTS: usize = 64;

fn peer_at(peers: &mut Pages<Box<Peer>>, slot: u32) -> Option<&mut Peer> {
    peers.get_mut(slot).map(|peer| &mut **peer)
}

fn status(peer: &Peer, now: Instant) -> PeerStatus {
    PeerStatus {
        public_key: *peer.conversation.peer(),
        endpoint: peer.endpoint.map(|endpoint| endpoint.remote),
        last_handshake: peer.last_handshake,
        received_bytes: peer.received_bytes,
        sent_bytes: peer.sent_bytes,
        persistent_keepalive: peer.conversation.persistent_keepalive(),
        flows: peer.flows(),
        has_session: peer.conversation.sending_session(now).is_some(),
        counters: peer.counters(),
    }
}

fn random_u128(rng: &mut impl CryptoRng) -> u128 {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// The public key of a peer in a notice.
fn key_of(peer: &Peer) -> PublicKey {
    *peer.conversation.peer()
}
