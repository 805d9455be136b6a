//! What a request comes to, read off the interface's documentation and as naive as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use wirewright_engine::Limits;
use wirewright_engine::allowed_ips::Prefix;
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
    /// What the text of a set makes of it, if it is taken: a well-formed one.
    pub(super) fn after(&self, request: &str) -> Self {
        let mut after = self.clone();
        let lines: Vec<(&str, &str)> = request.lines().filter_map(|line| line.split_once('=')).collect();
        let mut parts = lines.split(|(key, _)| *key == "public_key");
        let device = parts.next().unwrap_or(&[]);
        let last = |lines: &[(&str, &str)], key| last_of(lines, key).map(str::to_owned);
        if let Some(key) = last(device, "private_key") {
            after.private_key = Some(bytes(&key)).filter(|key| *key != [0; 32]);
            if let Some(own) = after.own() {
                after.remove(&own);
            }
        }
        if let Some(port) = last(device, "listen_port") {
            after.port = port.parse().expect("a port");
        }
        if let Some(mark) = last(device, "fwmark") {
            after.mark = mark.parse().expect("a mark");
        }
        if last(device, "replace_peers").is_some() {
            (after.peers, after.owners) = Default::default();
        }
        let keys = lines.iter().filter(|(key, _)| *key == "public_key");
        for ((_, key), lines) in keys.zip(parts) {
            after.change(bytes(key), lines);
        }
        after
    }

    fn change(&mut self, key: [u8; 32], lines: &[(&str, &str)]) {
        let is_told = |name| last_of(lines, name).is_some();
        if is_told("remove") {
            return self.remove(&key);
        }
        if Some(key) == self.own() || is_told("update_only") && !self.peers.contains_key(&key) {
            return;
        }
        let peer = self.peers.entry(key).or_default();
        if let Some(preshared_key) = last_of(lines, "preshared_key") {
            peer.preshared_key = bytes(preshared_key);
        }
        if let Some(endpoint) = last_of(lines, "endpoint") {
            let numbered = endpoint.replace("%lo]", "%1]").replace("%eth0]", "%2]");
            peer.endpoint = Some(undisguised(numbered.parse().expect("an endpoint")));
        }
        if let Some(keepalive) = last_of(lines, "persistent_keepalive_interval") {
            peer.keepalive = keepalive.parse().expect("seconds");
        }
        if is_told("replace_allowed_ips") {
            self.owners.retain(|_, owner| *owner != key);
        }
        for (_, value) in lines.iter().filter(|(name, _)| *name == "allowed_ip") {
            let prefix: Prefix = value.trim_start_matches(['-', '+']).parse().expect("a prefix");
            let prefix = prefix.to_string();
            if !value.starts_with('-') {
                self.owners.insert(prefix, key);
            } else if self.owners.get(&prefix) == Some(&key) {
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
            assert!(
                !line.contains(|letter: char| letter.is_ascii_uppercase()),
                "wg writes lowercase"
            );
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

fn last_of<'a>(lines: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
    lines
        .iter()
        .rev()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| *value)
}

/// 64 digits.
fn bytes(text: &str) -> [u8; 32] {
    assert_eq!(text.len(), 64);
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
