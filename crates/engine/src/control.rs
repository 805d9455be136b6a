//! The control plane: what is configured, and what each shard must be told of it.
//!
//! It holds no session and no timer. Each call changes the configuration at once and leaves [`Command`]s for the
//! shards, which [`Control::commands`] hands out in the order in which they must be carried out: a peer exists in its
//! home shard before the directory leads there.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use rand_core::CryptoRng;
use wirewright_protocol::{Identity, PresharedKey, PublicKey, SecretKey};

use crate::allowed_ips::Prefix;
use crate::directory::{Change, Directory, PeerRef, Publisher};
use crate::filter::{Guard, Policy};
use crate::limits::Limits;
use crate::shard::{Command, PeerUpdate};
use crate::slots::Slots;
use crate::table::Table;

/// What to change of a peer; what is `None` stays as it is.
#[derive(Default)]
pub struct PeerConfig {
    /// The pre-shared key; zeros for none.
    pub preshared_key: Option<PresharedKey>,
    /// Where to reach the peer before it was heard.
    pub endpoint: Option<SocketAddr>,
    /// Prefixes to add. A prefix that another peer has moves to this one.
    pub allowed_ips: Vec<Prefix>,
    /// Whether the peer loses the prefixes it had before.
    pub replace_allowed_ips: bool,
    /// The interval of persistent keepalives; `Some(None)` turns them off.
    pub persistent_keepalive: Option<Option<Duration>>,
    /// All that the peer may start, if the interface has a packet filter.
    pub policy: Option<Policy>,
}

/// Why a configuration was refused. Nothing of it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigureError {
    /// The peer's public key is the interface's own.
    OwnKey,
    /// The interface has as many peers as it may have.
    TooManyPeers,
    /// The interface has as many allowed IPs as it may have.
    TooManyAllowedIps,
    /// A peer, or all together, have more rules than they may have.
    TooManyRules,
    /// There is no such peer.
    UnknownPeer,
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OwnKey => "the peer's public key is the interface's own",
            Self::TooManyPeers => "the interface has as many peers as it may have",
            Self::TooManyAllowedIps => "the interface has as many allowed IPs as it may have",
            Self::TooManyRules => "a peer, or the interface, has as many rules as it may have",
            Self::UnknownPeer => "no peer has this public key",
        })
    }
}

impl core::error::Error for ConfigureError {}

/// The control plane of an interface with a fixed number of shards.
pub struct Control {
    shards: u8,
    limits: Limits,
    identity: Option<Arc<Identity>>,
    peers: Table<PublicKey, PeerRef>,
    slots: Vec<Slots>,
    /// How many peers were ever added, modulo 2^32.
    generation: u32,
    publisher: Publisher,
    commands: Vec<(u8, Command)>,
    /// What to do once the directory is published.
    afterwards: Vec<(u8, Command)>,
}

impl Control {
    /// A control plane for `shards` shards. The seed keys the hash tables.
    pub(crate) fn new(shards: u8, limits: Limits, seed: u128) -> Self {
        Self {
            shards,
            limits,
            identity: None,
            peers: Table::new(seed),
            slots: (0..shards).map(|_| Slots::default()).collect(),
            generation: 0,
            publisher: Publisher::new(shards, seed),
            commands: Vec::new(),
            afterwards: Vec::new(),
        }
    }

    /// Sets the private key, or removes it. All sessions end; a peer that has this key is removed.
    pub fn set_private_key(&mut self, key: Option<SecretKey>, rng: &mut impl CryptoRng) {
        let identity = key.map(|key| Arc::new(Identity::new(key)));
        if let Some(identity) = &identity {
            self.remove_peer(identity.public());
        }
        let mut cookie_seed = [0; 32];
        rng.fill_bytes(&mut cookie_seed);
        for shard in 0..self.shards {
            self.commands
                .push((shard, Command::Identity(identity.clone(), cookie_seed)));
        }
        self.identity = identity;
    }

    /// The interface's own public key.
    #[must_use]
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.identity.as_deref().map(Identity::public)
    }

    /// The private key.
    #[must_use]
    pub fn private_key(&self) -> Option<&SecretKey> {
        self.identity.as_deref().map(Identity::secret)
    }

    /// Peers, and at most how many allowed IPs.
    pub(crate) fn in_use(&self) -> (usize, usize) {
        (self.peers.len(), self.publisher.allowed_ips_bound())
    }

    /// Whether an interface may have so many peers and allowed IPs.
    pub(crate) fn check_room(&self, peers: usize, allowed_ips: usize) -> Result<(), ConfigureError> {
        if peers > self.limits.peers {
            Err(ConfigureError::TooManyPeers)
        } else if allowed_ips > self.limits.allowed_ips {
            Err(ConfigureError::TooManyAllowedIps)
        } else {
            Ok(())
        }
    }

    /// Whether a peer may have so many rules, and all together with them `others` more.
    pub(crate) fn check_rules(&self, added: usize, others: usize) -> Result<(), ConfigureError> {
        let all = self.publisher.rules_bound().saturating_add(others);
        if added > self.limits.rules_per_peer || all.saturating_add(added) > self.limits.rules {
            return Err(ConfigureError::TooManyRules);
        }
        Ok(())
    }

    /// Sets what the packet filter must know of the interface, or with `None` takes the filter away.
    pub fn set_guard(&mut self, guard: Option<Guard>) {
        self.publisher.change(Change::Guard(guard.map(Arc::new)));
        self.afterwards
            .extend((0..self.shards).map(|shard| (shard, Command::Reconsider(None))));
    }

    /// What a peer may start, as last published.
    #[must_use]
    pub fn policy(&self, peer: PeerRef) -> Option<&Policy> {
        self.publisher
            .published()
            .policy(peer, self.shards)
            .map(Arc::as_ref)
    }

    /// Adds the peer with this key, or changes it if it is there.
    ///
    /// # Errors
    /// [`ConfigureError::OwnKey`], [`ConfigureError::TooManyPeers`], [`ConfigureError::TooManyAllowedIps`] and
    /// [`ConfigureError::TooManyRules`]; nothing has changed then.
    pub fn set_peer(&mut self, key: PublicKey, config: PeerConfig) -> Result<PeerRef, ConfigureError> {
        let replaced = match self.peers.get(&key) {
            Some(peer) if config.replace_allowed_ips => self.allowed_ips(*peer).count(),
            _ => 0,
        };
        let kept = self.publisher.allowed_ips_bound().saturating_sub(replaced);
        let added = usize::from(self.peers.get(&key).is_none());
        self.check_room(self.peers.len() + added, kept + config.allowed_ips.len())?;
        self.check_rules(config.policy.as_ref().map_or(0, |policy| policy.rules().len()), 0)?;
        self.set_peer_where_there_is_room(key, config)
    }

    /// [`Control::set_peer`] without its check, for a caller that checked many changes at once.
    pub(crate) fn set_peer_where_there_is_room(
        &mut self,
        key: PublicKey,
        config: PeerConfig,
    ) -> Result<PeerRef, ConfigureError> {
        let peer = match self.peers.get(&key) {
            Some(peer) => *peer,
            None => self.add_peer(key)?,
        };
        if config.replace_allowed_ips {
            self.publisher.change(Change::DisallowAll(peer));
        }
        for prefix in config.allowed_ips {
            self.publisher.change(Change::Allow(prefix, peer));
        }
        if let Some(policy) = config.policy {
            self.publisher.change(Change::Policy(peer, Arc::new(policy)));
            self.afterwards
                .push((peer.shard, Command::Reconsider(Some(peer))));
        }
        let update = PeerUpdate {
            preshared_key: config.preshared_key,
            endpoint: config.endpoint,
            persistent_keepalive: config.persistent_keepalive,
        };
        self.commands
            .push((peer.shard, Command::UpdatePeer(peer, update)));
        Ok(peer)
    }

    /// Changes a peer that must be there already.
    ///
    /// # Errors
    /// [`ConfigureError::UnknownPeer`].
    pub fn update_peer(&mut self, key: PublicKey, config: PeerConfig) -> Result<PeerRef, ConfigureError> {
        if self.peers.get(&key).is_none() {
            return Err(ConfigureError::UnknownPeer);
        }
        self.set_peer(key, config)
    }

    /// Takes a prefix from a peer. False: the peer did not exist. (Whether it had the prefix shows when published.)
    pub fn disallow(&mut self, key: &PublicKey, prefix: Prefix) -> bool {
        let Some(peer) = self.peers.get(key).copied() else {
            return false;
        };
        self.publisher.change(Change::Disallow(prefix, peer));
        true
    }

    /// Removes a peer: its sessions end and its keys are wiped. False: there is none with this key.
    pub fn remove_peer(&mut self, key: &PublicKey) -> bool {
        let Some(peer) = self.peers.remove(key) else {
            return false;
        };
        self.publisher.change(Change::RemovePeer(*key, peer));
        self.commands.push((peer.shard, Command::RemovePeer(peer)));
        if let Some(slots) = self.slots.get_mut(usize::from(peer.shard)) {
            slots.release(peer.slot);
        }
        true
    }

    /// Where the peer with this key is at home.
    #[must_use]
    pub fn peer(&self, key: &PublicKey) -> Option<PeerRef> {
        self.peers.get(key).copied()
    }

    /// All peers, in no particular order.
    pub fn peers(&self) -> impl Iterator<Item = (&PublicKey, &PeerRef)> {
        self.peers.iter()
    }

    /// The prefixes of a peer as last published.
    pub fn allowed_ips(&self, peer: PeerRef) -> impl Iterator<Item = Prefix> + '_ {
        self.publisher
            .published()
            .allowed_ips
            .iter_peer(peer.number(self.shards))
    }

    /// The directory as last published.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        self.publisher.published()
    }

    /// Bytes of heap memory that the tables of peers and allowed IPs hold, both copies of the directory included. O(n).
    #[must_use]
    pub fn allocated(&self) -> usize {
        let slots: usize = self.slots.iter().map(Slots::allocated).sum();
        slots + self.peers.allocated() + self.publisher.allocated()
    }

    /// Publishes what changed, and hands out what the shards must be told, in order.
    pub fn commands(&mut self) -> Vec<(u8, Command)> {
        let mut commands = core::mem::take(&mut self.commands);
        if let Some(directory) = self.publisher.publish() {
            commands.extend((0..self.shards).map(|shard| (shard, Command::Directory(directory.clone()))));
        }
        commands.append(&mut self.afterwards);
        commands
    }

    /// A new peer goes to the shard that has the fewest.
    fn add_peer(&mut self, key: PublicKey) -> Result<PeerRef, ConfigureError> {
        if self.public_key() == Some(&key) {
            return Err(ConfigureError::OwnKey);
        }
        let emptiest = self
            .slots
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, slots)| slots.in_use());
        let Some((shard, slots)) = emptiest else {
            return Err(ConfigureError::TooManyPeers);
        };
        self.generation = self.generation.wrapping_add(1);
        let peer = PeerRef {
            slot: slots.take(),
            generation: self.generation,
            shard: shard as u8,
        };
        self.peers.insert(key, peer);
        self.publisher.change(Change::AddPeer(key, peer));
        self.commands.push((peer.shard, Command::AddPeer(peer, key)));
        Ok(peer)
    }
}
