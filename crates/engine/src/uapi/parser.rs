//! From lines to a request.

use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use wirewright_protocol::{PresharedKey, PublicKey, SecretKey};

use super::changes::{Changes, PeerChange, Request};
use super::error::{Mistake, Problem};
use super::hex;
use super::lines::{Lines, Taken};
use crate::allowed_ips::Prefix;
use crate::filter::{Guard, Rule};
use crate::limits::Limits;

/// The index of the interface with a name, as the machine knows it: the scope of a link-local endpoint is a name in what
/// `wg(8)` sends.
pub type Interfaces<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// Reads requests, one after the other.
pub struct Parser {
    lines: Lines,
    line: u32,
    operation: Operation,
    most_peers: usize,
    most_allowed_ips: usize,
    allowed_ips: usize,
    most_rules: usize,
    rules: usize,
}

enum Operation {
    None,
    Get,
    Counters,
    Filter,
    Set(Changes),
}

impl Parser {
    /// A parser that takes requests for an interface with these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            lines: Lines::new(),
            line: 0,
            operation: Operation::None,
            // A request may name a peer twice: to remove it and to add it afresh.
            most_peers: limits.peers.saturating_mul(2),
            most_allowed_ips: limits.allowed_ips,
            allowed_ips: 0,
            most_rules: limits.rules,
            rules: 0,
        }
    }

    /// Whether a request was begun.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.operation, Operation::None) && self.lines.is_empty()
    }

    /// Whether the request that was begun is a set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        matches!(self.operation, Operation::Set(_))
    }

    /// Bytes that the request that was begun takes, about.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.operation {
            Operation::Set(changes) => {
                changes.peers.capacity() * size_of::<PeerChange>()
                    + self.allowed_ips * size_of::<Prefix>()
                    + self.rules * size_of::<Rule>()
            }
            _ => 0,
        }
    }

    /// Takes bytes from the front of `input`, up to the end of a request. `None`: it needs more.
    ///
    /// # Errors
    /// What is wrong and where. What follows in the stream has no meaning then.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        interfaces: Interfaces<'_>,
    ) -> Result<Option<Request>, Mistake> {
        while !input.is_empty() {
            let mut lines = core::mem::take(&mut self.lines);
            let mut outcome = Ok(None);
            let taken = lines.take(input, |line| outcome = self.line(line, interfaces));
            self.lines = lines;
            if taken == Taken::TooLong {
                outcome = Err(Problem::TooLong);
                self.line += 1;
            }
            let request = outcome.map_err(|problem| Mistake {
                line: self.line,
                problem,
            })?;
            if request.is_some() {
                return Ok(request);
            }
        }
        Ok(None)
    }

    fn line(&mut self, line: &[u8], interfaces: Interfaces<'_>) -> Result<Option<Request>, Problem> {
        self.line += 1;
        if line.is_empty() {
            return self.end();
        }
        let equals = line.iter().position(|byte| *byte == b'=');
        let (key, value) = line.split_at(equals.ok_or(Problem::NotAssignment)?);
        let value = value.get(1..).unwrap_or(&[]);
        match &mut self.operation {
            Operation::None => {
                self.operation = match (key, value) {
                    (b"get", b"1") => Operation::Get,
                    (b"counters", b"1") => Operation::Counters,
                    (b"filter", b"1") => Operation::Filter,
                    (b"set", b"1") => Operation::Set(Changes::default()),
                    _ => return Err(Problem::NoOperation),
                };
                Ok(None)
            }
            Operation::Get | Operation::Counters | Operation::Filter => Err(Problem::GetWithContent),
            Operation::Set(changes) => {
                if key == b"allowed_ip" {
                    self.allowed_ips += 1;
                    if self.allowed_ips > self.most_allowed_ips {
                        return Err(Problem::TooManyAllowedIps);
                    }
                }
                if key == b"allow" {
                    self.rules += 1;
                    if self.rules > self.most_rules {
                        return Err(Problem::TooManyRules);
                    }
                }
                assign(changes, key, value, interfaces)?;
                if changes.peers.len() > self.most_peers {
                    return Err(Problem::TooManyPeers);
                }
                Ok(None)
            }
        }
    }

    fn end(&mut self) -> Result<Option<Request>, Problem> {
        let request = match core::mem::replace(&mut self.operation, Operation::None) {
            Operation::None => return Err(Problem::NoOperation),
            Operation::Get => Request::Get,
            Operation::Counters => Request::Counters,
            Operation::Filter => Request::Filter,
            Operation::Set(changes) => Request::Set(changes),
        };
        (self.line, self.allowed_ips, self.rules) = (0, 0, 0);
        Ok(Some(request))
    }
}

const DEVICE_KEYS: [&str; 7] = [
    "private_key",
    "listen_port",
    "fwmark",
    "replace_peers",
    "filter",
    "filter_own",
    "filter_protected",
];
const PEER_KEYS: [&str; 10] = [
    "remove",
    "update_only",
    "preshared_key",
    "endpoint",
    "persistent_keepalive_interval",
    "replace_allowed_ips",
    "allowed_ip",
    "protocol_version",
    "replace_rules",
    "allow",
];

/// A key as one of these names, so that errors repeat nothing that a client sent.
fn known(key: &[u8], names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| name.as_bytes() == key)
}

fn assign(
    changes: &mut Changes,
    key: &[u8],
    value: &[u8],
    interfaces: Interfaces<'_>,
) -> Result<(), Problem> {
    if key == b"public_key" {
        let mut bytes = [0; 32];
        hex::read(value, &mut bytes).map_err(|_| Problem::BadValue("public_key"))?;
        changes.first_of_peer = changes.peers.len();
        changes.peers.push(PeerChange::new(PublicKey::from_bytes(bytes)));
        return Ok(());
    }
    match known(key, &DEVICE_KEYS) {
        None => assign_peer(changes, key, value, interfaces),
        Some(_) if changes.peers.is_empty() => assign_device(changes, key, value),
        Some(name) => Err(Problem::DeviceKeyAfterPeer(name)),
    }
}

fn assign_device(changes: &mut Changes, key: &[u8], value: &[u8]) -> Result<(), Problem> {
    match key {
        b"private_key" => {
            let key = SecretKey::written(|key| hex::read(value, key));
            let key = key.map_err(|_| Problem::BadValue("private_key"))?;
            let is_zero = key.as_bytes().iter().fold(0, |all, byte| all | byte) == 0;
            changes.private_key = Some((!is_zero).then_some(key));
        }
        b"listen_port" => changes.listen_port = Some(number(value, "listen_port")?),
        b"fwmark" => changes.fwmark = Some(number(value, "fwmark")?),
        b"filter" if value == b"false" => changes.filter = Some(None),
        b"filter" => {
            yes(value, "filter")?;
            changes.filter = Some(Some(Guard::default()));
        }
        b"filter_own" => guard(changes, "filter_own", |guard| {
            guard.add_own(text(value)?.parse().ok()?)
        })?,
        b"filter_protected" => guard(changes, "filter_protected", |guard| {
            guard.add_protected(text(value)?.parse().ok()?)
        })?,
        _ => changes.replace_peers = yes(value, "replace_peers")?,
    }
    Ok(())
}

fn assign_peer(
    changes: &mut Changes,
    key: &[u8],
    value: &[u8],
    interfaces: Interfaces<'_>,
) -> Result<(), Problem> {
    let name = known(key, &PEER_KEYS).ok_or(Problem::UnknownKey)?;
    // What concerns the whole peer counts for all its changes, wherever it stands (see `allowed_ip`).
    let Some(peer) = changes.peers.get_mut(changes.first_of_peer) else {
        return Err(Problem::PeerKeyBeforePeer(name));
    };
    match key {
        b"remove" => peer.remove = yes(value, "remove")?,
        b"update_only" => peer.update_only = yes(value, "update_only")?,
        b"preshared_key" => {
            let key = PresharedKey::written(|key| hex::read(value, key));
            peer.config.preshared_key = Some(key.map_err(|_| Problem::BadValue("preshared_key"))?);
        }
        b"endpoint" => peer.config.endpoint = Some(endpoint(value, interfaces)?),
        b"persistent_keepalive_interval" => {
            let seconds: u16 = number(value, "persistent_keepalive_interval")?;
            let interval = Duration::from_secs(seconds.into());
            peer.config.persistent_keepalive = Some(Some(interval).filter(|interval| !interval.is_zero()));
        }
        b"replace_allowed_ips" => peer.config.replace_allowed_ips = yes(value, "replace_allowed_ips")?,
        b"allowed_ip" => return allowed_ip(changes, value),
        b"replace_rules" => {
            yes(value, "replace_rules")?;
            peer.rules = Some(Vec::new());
        }
        b"allow" => {
            let rule = text(value).and_then(|text| text.parse().ok());
            let rule = rule.ok_or(Problem::BadValue("allow"))?;
            let rules = peer.rules.as_mut().ok_or(Problem::BadValue("allow"))?;
            rules.push(rule);
        }
        _ => {
            if value != b"1" {
                return Err(Problem::BadValue("protocol_version"));
            }
        }
    }
    Ok(())
}

/// Adds something to the filter that the request sets.
fn guard(
    changes: &mut Changes,
    key: &'static str,
    add: impl FnOnce(&mut Guard) -> Option<()>,
) -> Result<(), Problem> {
    let guard = changes.filter.as_mut().and_then(Option::as_mut);
    guard.and_then(add).ok_or(Problem::BadValue(key))
}

/// A prefix to add, or with a minus before it one to take away. Their order counts, and a change adds before it takes
/// away, so that an addition after a removal begins another change of the same peer.
fn allowed_ip(changes: &mut Changes, value: &[u8]) -> Result<(), Problem> {
    let bad = Problem::BadValue("allowed_ip");
    let (removal, value) = match value.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, value),
    };
    let prefix = text(value).and_then(|text| text.parse().ok()).ok_or(bad)?;
    let Some(peer) = changes.peers.last_mut() else {
        return Err(Problem::PeerKeyBeforePeer("allowed_ip"));
    };
    if removal {
        peer.disallowed_ips.push(prefix);
    } else if peer.disallowed_ips.is_empty() {
        peer.config.allowed_ips.push(prefix);
    } else {
        let mut next = PeerChange::new(peer.public_key);
        next.update_only = true;
        next.config.allowed_ips.push(prefix);
        changes.peers.push(next);
    }
    Ok(())
}

/// `192.0.2.1:51820`, `[2001:db8::1]:51820`, or with a scope `[fe80::1%eth0]:51820`.
fn endpoint(value: &[u8], interfaces: Interfaces<'_>) -> Result<SocketAddr, Problem> {
    let bad = Problem::BadValue("endpoint");
    let text = text(value).ok_or(bad)?;
    let address: SocketAddr = match text.split_once('%') {
        Some((address, rest)) => scoped(address, rest, interfaces)?.into(),
        None => text.parse().map_err(|_| bad)?,
    };
    Some(address).filter(|address| address.port() != 0).ok_or(bad)
}

/// What stands before and behind the `%`. As getaddrinfo(3) has it, a link-local address may name its interface, and only
/// what is no name is taken for a number; with other addresses it must be one.
fn scoped(address: &str, rest: &str, interfaces: Interfaces<'_>) -> Result<SocketAddrV6, Problem> {
    let bad = Problem::BadValue("endpoint");
    let ip: Ipv6Addr = address
        .strip_prefix('[')
        .and_then(|address| address.parse().ok())
        .ok_or(bad)?;
    // An interface's name may hold brackets, but no colon.
    let (scope, port) = rest.rsplit_once("]:").ok_or(bad)?;
    let named = Some(scope)
        .filter(|_| ip.is_unicast_link_local())
        .and_then(interfaces);
    let index = match named {
        Some(index) => index,
        None => number(scope.as_bytes(), "endpoint").map_err(|_| Problem::UnknownInterface)?,
    };
    let port = number(port.as_bytes(), "endpoint")?;
    Ok(SocketAddrV6::new(ip, port, 0, index))
}

fn yes(value: &[u8], key: &'static str) -> Result<bool, Problem> {
    if value == b"true" {
        Ok(true)
    } else {
        Err(Problem::BadValue(key))
    }
}

/// A decimal number, and nothing else: `parse` alone would take a plus sign.
fn number<T: core::str::FromStr>(value: &[u8], key: &'static str) -> Result<T, Problem> {
    text(value)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Problem::BadValue(key))
}

fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value).ok()
}
