//! Requests, read.

use alloc::vec::Vec;
use core::fmt;

use wirewright_protocol::{PublicKey, SecretKey};

use crate::allowed_ips::Prefix;
use crate::control::PeerConfig;
use crate::filter::{Guard, Rule};

/// What a client asks for.
pub enum Request {
    /// Everything there is to know.
    Get,
    /// What went wrong so far.
    Counters,
    /// What the packet filter was told, and how many flows it remembers.
    Filter,
    /// To change the configuration.
    Set(Changes),
}

/// What to change of an interface; what is `None` stays.
#[derive(Default)]
pub struct Changes {
    /// The private key; `Some(None)` removes it.
    pub private_key: Option<Option<SecretKey>>,
    /// The UDP port; 0 for any. It is the shell's to carry out.
    pub listen_port: Option<u16>,
    /// The mark of outgoing datagrams; 0 for none. It is the shell's to carry out.
    pub fwmark: Option<u32>,
    /// The packet filter; `Some(None)` takes it away.
    pub filter: Option<Option<Guard>>,
    /// Whether peers that are not named are removed.
    pub replace_peers: bool,
    /// In this order. A peer may occur more than once.
    pub peers: Vec<PeerChange>,
    /// Where among them the changes of the peer that is being read begin.
    pub(super) first_of_peer: usize,
}

/// What to change of a peer.
pub struct PeerChange {
    /// Which peer.
    pub public_key: PublicKey,
    /// Whether it is to go. Then nothing else counts.
    pub remove: bool,
    /// Whether nothing is to happen if there is no such peer.
    pub update_only: bool,
    /// What to set.
    pub config: PeerConfig,
    /// Prefixes to take away, after those that are added.
    pub disallowed_ips: Vec<Prefix>,
    /// All that the peer may start, if that is to change.
    pub rules: Option<Vec<Rule>>,
}

impl PeerChange {
    pub(super) fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            config: PeerConfig::default(),
            disallowed_ips: Vec::new(),
            rules: None,
        }
    }
}

/// Shows no key but public ones.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => formatter.write_str("Get"),
            Self::Counters => formatter.write_str("Counters"),
            Self::Filter => formatter.write_str("Filter"),
            Self::Set(changes) => formatter
                .debug_struct("Set")
                .field("peers", &changes.peers.len())
                .finish_non_exhaustive(),
        }
    }
}
