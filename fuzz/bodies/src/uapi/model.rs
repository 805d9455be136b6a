//! What a request comes to, read off the interface's documentation and as naive as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use wirewright_engine::Limits;
use wirewright_engine::uapi::{Changes, PeerChange};
use wirewright_protocol::SecretKey;

/// An interface, as `wg showconf` would show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    private_key: Option<[u8; 32]>,
    port: u16,
    mark: u32,
    peers: BTreeMap<[u8; 32], Peer>,
    /// To whom each prefix belongs.
    owners: BTreeMap<String, [u8; 32]>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Peer {
    preshared_key: [u8; 32],
    endpoint: Option<SocketAddr>,
    keepalive: u64,
}

impl Model {
    /// What a request makes of it, if it is taken.
    pub(super) fn after(&self, changes: &Changes) -> Self {
        let mut after = self.clone();
        if let Some(key) = &changes.private_key {
            after.private_key = key.as_ref().map(|key| *key.as_bytes());
            if let Some(own) = after.own() {
                after.remove(&own);
            }
        }
        after.port = changes.listen_port.unwrap_or(after.port);
        after.mark = changes.fwmark.unwrap_or(after.mark);
        if changes.replace_peers {
            (after.peers, after.owners) = Default::default();
        }
        for change in &changes.peers {
            after.change(change);
        }
        after
    }

    fn change(&mut self, change: &PeerChange) {
        let (key, config) = (*change.public_key.as_bytes(), &change.config);
        if change.remove {
            return self.remove(&key);
        }
        if Some(key) == self.own() || change.update_only && !self.peers.contains_key(&key) {
            return;
        }
        let peer = self.peers.entry(key).or_default();
        if let Some(preshared_key) = &config.preshared_key {
            peer.preshared_key = *preshared_key.as_bytes();
        }
        if let Some(endpoint) = config.endpoint {
            peer.endpoint = Some(undisguised(endpoint));
        }
        if let Some(keepalive) = config.persistent_keepalive {
            peer.keepalive = keepalive.map_or(0, |interval| interval.as_secs());
        }
        if config.replace_allowed_ips {
            self.owners.retain(|_, owner| *owner != key);
        }
        for prefix in &config.allowed_ips {
            self.owners.insert(prefix.to_string(), key);
        }
        for prefix in &change.disallowed_ips {
            let prefix = prefix.to_string();
            if self.owners.get(&prefix) == Some(&key) {
                self.owners.remove(&prefix);
            }
        }
    }

    fn remove(&mut self, key: &[u8; 32]) {
        self.peers.remove(key);
        self.owners.retain(|_, owner| owner != key);
    }

    fn own(&self) -> Option<[u8; 32]> {
        let secret = self.private_key.map(SecretKey::from_bytes)?;
        Some(*secret.public().as_bytes())
    }

    pub(super) fn fits(&self, limits: &Limits) -> bool {
        self.peers.len() <= limits.peers && self.owners.len() <= limits.allowed_ips
    }

    /// What an answer to a get tells.
    ///
    /// # Panics
    ///
    /// If it is not one that `wg` understands.
    pub(super) fn told(answer: &[u8]) -> Self {
        let answer = std::str::from_utf8(answer).expect("an answer is text");
        let body = answer
            .strip_suffix("errno=0\n\n")
            .expect("an answer ends with its number");
        let (mut model, mut current) = (Self::default(), None);
        let mut seen = BTreeSet::new();
        for line in body.lines() {
            let (key, value) = line.split_once('=').expect("each line is key=value");
            if key == "public_key" {
                seen.clear();
            }
            assert!(key == "allowed_ip" || seen.insert(key), "{key} is told twice");
            if key == "public_key" {
                let public_key = bytes(value);
                assert!(
                    model.peers.insert(public_key, Peer::default()).is_none(),
                    "a peer is told twice"
                );
                current = Some(public_key);
            } else if let Some(owner) = current {
                let peer = model.peers.get_mut(&owner).expect("it was just added");
                match key {
                    "preshared_key" => peer.preshared_key = bytes(value),
                    "endpoint" => {
                        peer.endpoint = Some(value.parse().expect("an endpoint is an address and a port"))
                    }
                    "persistent_keepalive_interval" => peer.keepalive = value.parse().expect("seconds"),
                    "allowed_ip" => {
                        let before = model.owners.insert(value.to_owned(), owner);
                        assert_eq!(before, None, "a prefix belongs to two peers");
                    }
                    "protocol_version" => assert_eq!(value, "1"),
                    "tx_bytes" | "rx_bytes" | "last_handshake_time_sec" | "last_handshake_time_nsec" => {
                        assert_eq!(value, "0", "nothing was sent yet");
                    }
                    _ => panic!("wg does not know {key}"),
                }
            } else {
                match key {
                    "private_key" => model.private_key = Some(bytes(value)),
                    "listen_port" => model.port = value.parse().expect("a port"),
                    "fwmark" => model.mark = value.parse().expect("a mark"),
                    _ => panic!("wg does not know {key} of a device"),
                }
            }
        }
        model
    }
}

/// 64 lowercase digits.
fn bytes(text: &str) -> [u8; 32] {
    assert!(text.len() == 64 && !text.contains(|letter: char| letter.is_ascii_uppercase()));
    std::array::from_fn(|index| {
        let digits = text.get(2 * index..2 * index + 2).expect("two digits");
        u8::from_str_radix(digits, 16).expect("hexadecimal digits")
    })
}

/// An IPv4 address in IPv6 clothes is one of IPv4.
fn undisguised(endpoint: SocketAddr) -> SocketAddr {
    match endpoint.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, endpoint.port()),
        _ => endpoint,
    }
}
