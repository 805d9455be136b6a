//! What the control plane and the other shards ask of a shard.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use rand_core::CryptoRng;
use wirewright_protocol::{CookieIssuer, Identity, PresharedKey, PublicKey};

use super::{Moment, Shard, peer_at};
use crate::counters::Event;
use crate::directory::{Directory, PeerRef};
use crate::output::{Handover, Output};
use crate::peer::{Endpoint, Peer};

/// A change that the control plane sends to a shard. Commands are to be carried out in the order they were made.
#[derive(Clone)]
pub enum Command {
    /// A newer directory.
    Directory(Arc<Directory>),
    /// Another identity, or none, and the seed of its cookies, which all shards share. All sessions end.
    Identity(Option<Arc<Identity>>, [u8; 32]),
    /// A peer whose home is this shard.
    AddPeer(PeerRef, PublicKey),
    /// The peer is gone: its sessions end and its keys are wiped.
    RemovePeer(PeerRef),
    /// Settings of a home peer.
    UpdatePeer(PeerRef, PeerUpdate),
    /// What the packet filter allows a home peer, or any, is another by the newest directory.
    Reconsider(Option<PeerRef>),
}

/// Settings to change; what is `None` stays.
#[derive(Clone, Default)]
pub struct PeerUpdate {
    pub(crate) preshared_key: Option<PresharedKey>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) persistent_keepalive: Option<Option<Duration>>,
}

impl<R: CryptoRng> Shard<R> {
    /// Carries out a command.
    pub fn command(&mut self, at: Moment, command: Command) {
        match command {
            Command::Directory(directory) => self.directory = directory,
            Command::Identity(identity, cookie_seed) => self.set_identity(identity, cookie_seed),
            Command::AddPeer(id, key) => self.add_peer(id, key),
            Command::RemovePeer(id) => self.remove_peer(id),
            Command::UpdatePeer(id, update) => self.update_peer(at, id, update),
            Command::Reconsider(id) => self.reconsider(at.now, id),
        }
    }

    /// Goes on with what another shard handed over.
    pub fn take_over(&mut self, at: Moment, handover: Handover, output: &mut Output) {
        match handover {
            Handover::Send(batch) => self.send_now(at, batch, output),
            Handover::Receive(batch) => self.receive_now(at, batch, output),
            Handover::Initiation(opened, path, peer, opener) => {
                self.accept_opened(at, *opened, path, peer, opener, output);
            }
            Handover::KnownSource(source) => self.known_sources.note(source, &self.limits),
        }
    }

    fn set_identity(&mut self, identity: Option<Arc<Identity>>, cookie_seed: [u8; 32]) {
        self.cookies = identity
            .as_ref()
            .map(|identity| CookieIssuer::new(cookie_seed, identity.public()));
        // What waits was written to another key.
        let event = if identity.is_some() {
            Event::BadMac1
        } else {
            Event::NoIdentity
        };
        self.counters.add(event, self.handshakes_waiting() as u64);
        self.proven.clear();
        self.waiting.clear();
        self.identity = identity;
        for slot in 0..self.peers.bound() {
            if let Some(peer) = peer_at(&mut self.peers, slot) {
                peer.conversation.forget(&mut self.retired);
                self.settle(slot);
            }
        }
    }

    fn add_peer(&mut self, id: PeerRef, key: PublicKey) {
        self.peers.insert(id.slot, Box::new(Peer::new(id, key)));
    }

    fn remove_peer(&mut self, id: PeerRef) {
        if self.peer(id).is_none() {
            return;
        }
        self.drop_staged(id.slot);
        self.forget_flows(id.slot);
        if let Some(peer) = peer_at(&mut self.peers, id.slot) {
            peer.conversation.forget(&mut self.retired);
        }
        self.peers.remove(id.slot);
        self.settle(id.slot);
    }

    fn update_peer(&mut self, at: Moment, id: PeerRef, update: PeerUpdate) {
        let Some(peer) = self.peer_mut(id) else { return };
        if let Some(key) = update.preshared_key {
            peer.conversation.set_preshared_key(key);
        }
        if let Some(remote) = update.endpoint {
            peer.endpoint = Some(Endpoint::new(remote));
        }
        if let Some(interval) = update.persistent_keepalive {
            peer.conversation.set_persistent_keepalive(at.now, interval);
        }
        self.settle(id.slot);
    }
}
