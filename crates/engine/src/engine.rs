//! A control plane and its shards on one thread.
//!
//! Hand-overs are carried out until none is left, so that a caller sees one interface, however many shards it has.
//! The rootless shell drives an engine this way, and so do all tests in virtual time, with one shard and with four.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use rand_core::CryptoRng;
use wirewright_protocol::{Instant, Message, PublicKey, SecretKey};

use crate::batch::{Batch, Slot};
use crate::control::{ConfigureError, Control, PeerConfig};
use crate::counters::{Counters, Event};
use crate::directory::PeerRef;
use crate::limits::Limits;
use crate::output::{Handover, Output};
use crate::peer::PeerStatus;
use crate::shard::{Indices, Loops, Moment, Pace, Shard};

/// An interface: a control plane with its shards.
pub struct Engine<R> {
    control: Control,
    shards: Vec<Shard<R>>,
    handovers: VecDeque<(u8, Handover)>,
    /// One for all shards, since they share a thread.
    pace: Pace,
    /// The shard whose turn it is to work on a handshake message.
    turn: usize,
}

impl<R: CryptoRng> Engine<R> {
    /// An interface with a shard for each of `rngs` (at least one, at most [`Shard::MAX_SHARDS`] count), for inner
    /// packets of up to `mtu` bytes.
    pub fn new(rngs: impl IntoIterator<Item = R>, limits: &Limits, mtu: usize) -> Self {
        let mut rngs: Vec<R> = rngs
            .into_iter()
            .take(usize::from(Shard::<R>::MAX_SHARDS))
            .collect();
        let count = rngs.len() as u8;
        let mut seed = [0; 16];
        if let Some(rng) = rngs.first_mut() {
            rng.fill_bytes(&mut seed);
        }
        let control = Control::new(count, limits.clone(), u128::from_le_bytes(seed));
        let loops = Loops::new();
        let shards = rngs
            .into_iter()
            .enumerate()
            .map(|(id, rng)| {
                Shard::new(
                    id as u8,
                    count,
                    rng,
                    limits.clone(),
                    mtu,
                    control.directory().clone(),
                    loops.clone(),
                )
            })
            .collect();
        Self {
            control,
            shards,
            handovers: VecDeque::new(),
            pace: Pace::new(limits),
            turn: 0,
        }
    }

    /// Sets the private key, or removes it.
    pub fn set_private_key(&mut self, at: Moment, key: Option<SecretKey>, output: &mut Output) {
        if let Some(shard) = self.shards.first_mut() {
            self.control.set_private_key(key, shard.rng_mut());
        }
        self.apply(at, output);
    }

    /// Adds a peer or changes it.
    ///
    /// # Errors
    /// See [`Control::set_peer`].
    pub fn set_peer(
        &mut self,
        at: Moment,
        key: PublicKey,
        config: PeerConfig,
        output: &mut Output,
    ) -> Result<PeerRef, ConfigureError> {
        let result = self.control.set_peer(key, config);
        self.apply(at, output);
        result
    }

    /// Begins a handshake with a peer, unless one was begun within the last five seconds.
    pub fn initiate(&mut self, at: Moment, key: &PublicKey, output: &mut Output) {
        let Some(peer) = self.control.peer(key) else {
            return;
        };
        if let Some(shard) = self.shards.get_mut(usize::from(peer.shard)) {
            shard.initiate(at, peer, output);
        }
        self.carry_over(at, output);
    }

    /// Removes a peer; false if there was none.
    pub fn remove_peer(&mut self, at: Moment, key: &PublicKey, output: &mut Output) -> bool {
        let removed = self.control.remove_peer(key);
        self.apply(at, output);
        removed
    }

    /// Changes several things at once; what they lead to is published once.
    pub fn configure<T>(
        &mut self,
        at: Moment,
        change: impl FnOnce(&mut Control) -> T,
        output: &mut Output,
    ) -> T {
        let result = change(&mut self.control);
        self.apply(at, output);
        result
    }

    /// The configuration.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Receives a batch of datagrams in the shard of its first one; in the first shard if there are initiations in it,
    /// so that one shard knows whence they came before.
    pub fn receive(&mut self, at: Moment, batch: Batch, output: &mut Output) {
        let initiation =
            |(_, datagram): (_, &[u8])| matches!(Message::parse(datagram), Ok(Message::Initiation(_)));
        let shard = if batch.packets().any(initiation) {
            0
        } else {
            self.steer(batch.packets().next().map_or(&[], |(_, datagram)| datagram))
        };
        self.receive_in(shard, at, batch, output);
    }

    /// Receives a batch of datagrams in a certain shard, right or wrong.
    pub fn receive_in(&mut self, shard: u8, at: Moment, batch: Batch, output: &mut Output) {
        if let Some(shard) = self.shards.get_mut(usize::from(shard)) {
            shard.receive_now(at, batch, output);
        }
        self.carry_over(at, output);
    }

    /// Works on handshake messages that wait, those of all shards in turns; see [`Shard::handshakes`].
    pub fn handshakes(&mut self, at: Moment, busy: bool, output: &mut Output) {
        let shards = self.shards.iter_mut();
        let datagrams = shards
            .map(|shard| shard.begin_handshakes(busy))
            .fold(0, u32::saturating_add);
        self.pace.begin(at.now, busy, datagrams);
        while self.has_handshakes() && self.pace.spend() {
            let count = self.shards.len();
            let next = (self.turn..self.turn + count)
                .map(|shard| shard % count)
                .find(|shard| self.shards.get(*shard).is_some_and(Shard::has_handshakes));
            if let Some(shard) = next.and_then(|next| self.shards.get_mut(next)) {
                self.turn = usize::from(shard.id()) + 1;
                shard.next_handshake(at, output);
            }
        }
        self.carry_over(at, output);
    }

    /// Whether handshake messages wait.
    #[must_use]
    pub fn has_handshakes(&self) -> bool {
        self.shards.iter().any(Shard::has_handshakes)
    }

    /// When [`Engine::handshakes`] wants to be called at the latest, if handshake messages wait: at once, or when time
    /// has paid for the next one.
    #[must_use]
    pub fn handshakes_due(&self) -> Option<Instant> {
        self.has_handshakes().then(|| self.pace.due())
    }

    /// Whether no data came within the last ten milliseconds; see [`Shard::is_quiet`].
    #[must_use]
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.shards.iter().all(|shard| shard.is_quiet(now))
    }

    /// Sends a batch of plaintext packets.
    pub fn send(&mut self, at: Moment, batch: Batch, output: &mut Output) {
        if let Some(shard) = self.shards.first_mut() {
            shard.send_now(at, batch, output);
        }
        self.carry_over(at, output);
    }

    /// Lets timers that are due expire.
    pub fn tick(&mut self, at: Moment, output: &mut Output) {
        for shard in &mut self.shards {
            shard.tick(at, output);
        }
        self.carry_over(at, output);
    }

    /// The machine was suspended until now: wipes the keys of all sessions and handshakes; see [`Shard::suspended`].
    pub fn suspended(&mut self, at: Moment, output: &mut Output) {
        for shard in &mut self.shards {
            shard.suspended(at, output);
        }
        self.carry_over(at, output);
    }

    /// The interface was set down; see [`Shard::stop`].
    pub fn stop(&mut self) {
        for shard in &mut self.shards {
            shard.stop();
        }
    }

    /// The interface is up again; see [`Shard::resume`].
    pub fn resume(&mut self, at: Moment) {
        for shard in &mut self.shards {
            shard.resume(at);
        }
    }

    /// When [`Engine::tick`] wants to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.shards.iter().filter_map(Shard::deadline).min()
    }

    /// An empty batch for plaintext packets.
    pub fn batch(&mut self) -> Option<Batch> {
        self.shards.first_mut().map(Shard::batch)
    }

    /// An empty batch of one slab of `bytes` bytes, for a socket that coalesces datagrams.
    pub fn receive_batch(&mut self, bytes: usize) -> Batch {
        match self.shards.first_mut() {
            Some(shard) => shard.receive_batch(bytes),
            None => Batch::new(1, bytes),
        }
    }

    /// Takes a batch back for reuse.
    pub fn recycle(&mut self, batch: Batch) {
        if let Some(shard) = self.shards.first_mut() {
            shard.recycle(batch);
        }
    }

    /// The counters of all shards together.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for shard in &self.shards {
            sum.merge(shard.counters());
        }
        sum
    }

    /// Counts an event that the shell saw.
    pub fn count(&mut self, event: Event, by: u64) {
        if let Some(shard) = self.shards.first_mut() {
            shard.count(event, by);
        }
    }

    /// Counts a datagram that the operating system refused, in the shard that sent it; see [`Shard::refused`].
    pub fn refused(&mut self, datagram: &Slot, event: Event) {
        let shard = datagram.peer.map_or(0, |peer| peer.shard);
        if let Some(shard) = self.shards.get_mut(usize::from(shard)) {
            shard.refused(datagram, event);
        }
    }

    /// Leaves out counters of a peer's session; see [`Shard::skip_counters`].
    pub fn skip_counters(&mut self, key: &PublicKey, packets: u64) {
        if let Some(peer) = self.control.peer(key)
            && let Some(shard) = self.shards.get_mut(usize::from(peer.shard))
        {
            shard.skip_counters(peer, packets);
        }
    }

    /// All peers, shard by shard.
    pub fn statuses(&self, now: Instant) -> impl Iterator<Item = PeerStatus> + '_ {
        self.shards.iter().flat_map(move |shard| shard.statuses(now))
    }

    /// One peer.
    #[must_use]
    pub fn status(&self, key: &PublicKey, now: Instant) -> Option<PeerStatus> {
        let peer = self.control.peer(key)?;
        self.shards.get(usize::from(peer.shard))?.status(peer, now)
    }

    /// Bytes of heap memory that slots and tables hold, in the control plane and all shards; what each peer itself
    /// holds is not counted. O(n).
    #[must_use]
    pub fn allocated(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::allocated).sum();
        shards + self.control.allocated()
    }

    /// The peer to which packets for `address` go.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<PublicKey> {
        let peer = self.control.directory().allowed_ips.lookup(address)?;
        self.shards.get(usize::from(peer.shard))?.public_key(peer)
    }

    /// The shards, for what only one of them can tell.
    #[must_use]
    pub fn shards(&self) -> &[Shard<R>] {
        &self.shards
    }

    /// Takes the interface apart, for a shell that gives each shard a thread of its own and carries commands and
    /// hand-overs between them.
    #[must_use]
    pub fn into_parts(self) -> (Control, Vec<Shard<R>>) {
        (self.control, self.shards)
    }

    /// The shard that a socket filter would steer a datagram to: by receiver index; the first if it has none.
    #[must_use]
    pub fn steer(&self, datagram: &[u8]) -> u8 {
        let receiver = match Message::parse(datagram) {
            Ok(Message::Data(header)) => header.receiver(),
            Ok(Message::Response(response)) => response.receiver(),
            Ok(Message::CookieReply(reply)) => reply.receiver(),
            _ => return 0,
        };
        Some(Indices::shard_of(receiver))
            .filter(|shard| usize::from(*shard) < self.shards.len())
            .unwrap_or(0)
    }

    fn apply(&mut self, at: Moment, output: &mut Output) {
        for (shard, command) in self.control.commands() {
            if let Some(shard) = self.shards.get_mut(usize::from(shard)) {
                shard.command(at, command);
            }
        }
        self.carry_over(at, output);
    }

    /// Lets shards go on with what others handed over, until nothing is left.
    fn carry_over(&mut self, at: Moment, output: &mut Output) {
        loop {
            self.handovers.extend(output.handovers.drain(..));
            let Some((shard, handover)) = self.handovers.pop_front() else {
                return;
            };
            match self.shards.get_mut(usize::from(shard)) {
                Some(shard) => shard.take_over(at, handover, output),
                None => self.count(Event::HandoverStale, 1),
            }
        }
    }
}
