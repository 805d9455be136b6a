//! What is allowed: rules of a peer, and what is known of the interface.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::headers::{ICMP, ICMPV6, TCP, UDP};
use crate::allowed_ips::Prefix;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Any protocol, those without ports, too.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6: echo requests.
    Icmp,
}

impl Protocol {
    /// The name in the UAPI text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// Something that a peer may start: flows of a protocol to a network, perhaps to some ports only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    network: Prefix,
    protocol: Protocol,
    first: u16,
    last: u16,
}

impl Rule {
    /// Allows flows of a protocol to a network, whatever the port.
    #[must_use]
    pub const fn new(protocol: Protocol, network: Prefix) -> Self {
        Self {
            network,
            protocol,
            first: 0,
            last: u16::MAX,
        }
    }

    /// Allows TCP or UDP to the ports from `first` to `last`. `None` for another protocol, or if there are no such ports.
    #[must_use]
    pub fn with_ports(protocol: Protocol, network: Prefix, first: u16, last: u16) -> Option<Self> {
        let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp);
        (has_ports && first <= last).then_some(Self {
            network,
            protocol,
            first,
            last,
        })
    }

    /// Where it leads.
    #[must_use]
    pub const fn network(&self) -> Prefix {
        self.network
    }

    /// What it is about.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The first and the last port, unless it is about all.
    #[must_use]
    pub const fn ports(&self) -> Option<(u16, u16)> {
        if self.first == 0 && self.last == u16::MAX {
            None
        } else {
            Some((self.first, self.last))
        }
    }

    fn covers(&self, destination: IpAddr, protocol: u8, port: u16) -> bool {
        let fits = match self.protocol {
            Protocol::Any => true,
            Protocol::Tcp => protocol == TCP,
            Protocol::Udp => protocol == UDP,
            Protocol::Icmp => protocol == if destination.is_ipv4() { ICMP } else { ICMPV6 },
        };
        fits && self.first <= port && port <= self.last && self.network.contains(destination)
    }
}

/// As the UAPI text has it.
impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.protocol.name(), self.network)?;
        match self.ports() {
            Some((first, last)) if first == last => write!(formatter, " {first}"),
            Some((first, last)) => write!(formatter, " {first}-{last}"),
            None => Ok(()),
        }
    }
}

/// The text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleError;

impl fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a rule is a protocol, a network and perhaps ports, as in `tcp 10.0.0.0/8 80-89`")
    }
}

impl core::error::Error for RuleError {}

/// From `any 10.0.0.0/8`, `icmp ::/0`, `tcp 10.0.0.0/8`, or with ports `udp 10.0.0.1/32 53` and `tcp 10.0.0.1/32 80-89`.
impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = text.split(' ');
        let protocol = match words.next() {
            Some("any") => Protocol::Any,
            Some("tcp") => Protocol::Tcp,
            Some("udp") => Protocol::Udp,
            Some("icmp") => Protocol::Icmp,
            _ => return Err(RuleError),
        };
        let network = words.next().and_then(|word| word.parse().ok());
        let network = network.ok_or(RuleError)?;
        let Some(ports) = words.next() else {
            return Ok(Self::new(protocol, network));
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (port(first)?, port(last)?);
        Self::with_ports(protocol, network, first, last)
            .filter(|_| words.next().is_none())
            .ok_or(RuleError)
    }
}

/// A decimal number, and nothing else: `parse` alone would take a plus sign.
fn port(text: &str) -> Result<u16, RuleError> {
    let number = text.parse().map_err(|_| RuleError)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then_some(number).ok_or(RuleError)
}

/// All that a peer may start. Without rules it may start nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Box<[Rule]>);

impl Policy {
    /// A policy of these rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules.into_boxed_slice())
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// Whether a flow to `destination` may be started. `port` is 0 where there are none.
    #[must_use]
    pub fn allows(&self, guard: &Guard, destination: IpAddr, protocol: u8, port: u16) -> bool {
        let mut covering = self
            .0
            .iter()
            .filter(|rule| rule.covers(destination, protocol, port));
        if guard.protects(destination) {
            covering.any(|rule| guard.holds(rule.network))
        } else {
            covering.next().is_some()
        }
    }
}

/// What the filter must know of the interface itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    own: Vec<IpAddr>,
    protected: Vec<Prefix>,
}

impl Guard {
    /// How many addresses, and how many prefixes, a guard has at most: each is looked at for each new flow.
    pub const MOST: usize = 64;

    /// The host's own addresses inside the tunnel, and the prefixes in which its peers are. `None`: more than
    /// [`Guard::MOST`] of either.
    #[must_use]
    pub fn new(own: Vec<IpAddr>, protected: Vec<Prefix>) -> Option<Self> {
        (own.len() <= Self::MOST && protected.len() <= Self::MOST).then_some(Self { own, protected })
    }

    /// One more address of the host's own. `None`: there are [`Guard::MOST`].
    pub fn add_own(&mut self, address: IpAddr) -> Option<()> {
        (self.own.len() < Self::MOST).then(|| self.own.push(address))
    }

    /// One more prefix in which peers are. `None`: there are [`Guard::MOST`].
    pub fn add_protected(&mut self, prefix: Prefix) -> Option<()> {
        (self.protected.len() < Self::MOST).then(|| self.protected.push(prefix))
    }

    /// The host's own addresses.
    #[must_use]
    pub fn own(&self) -> &[IpAddr] {
        &self.own
    }

    /// Where peers are.
    #[must_use]
    pub fn protected(&self) -> &[Prefix] {
        &self.protected
    }

    /// Whether an address is the host's own.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.own.contains(&address)
    }

    /// Whether an address is a peer's, or may be.
    fn protects(&self, address: IpAddr) -> bool {
        !self.owns(address) && self.protected.iter().any(|prefix| prefix.contains(address))
    }

    /// Whether a network lies inside a protected prefix.
    fn holds(&self, network: Prefix) -> bool {
        self.protected
            .iter()
            .any(|prefix| prefix.len() <= network.len() && prefix.contains(network.address()))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;

    use super::*;

    fn guard() -> Guard {
        let own = vec!["10.88.0.1".parse().unwrap(), "fd88::1".parse().unwrap()];
        let protected = vec!["10.88.0.0/16".parse().unwrap(), "fd88::/64".parse().unwrap()];
        Guard::new(own, protected).unwrap()
    }

    fn opens(network: &str, destination: &str) -> bool {
        let policy = Policy::new(vec![Rule::new(Protocol::Any, network.parse().unwrap())]);
        policy.allows(&guard(), destination.parse().unwrap(), TCP, 80)
    }

    #[test]
    fn a_peer_is_opened_only_by_a_network_inside_a_protected_prefix() {
        for (network, destination, expected) in [
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "10.88.0.1", true),
            ("0.0.0.0/0", "10.88.0.7", false),
            ("10.0.0.0/8", "10.88.0.7", false),
            ("10.0.0.0/8", "10.89.0.7", true),
            ("10.88.0.0/16", "10.88.0.7", true),
            ("10.88.0.7/32", "10.88.0.7", true),
            ("10.88.0.7/32", "10.88.0.8", false),
            ("10.88.0.1/32", "10.88.0.1", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "fd88::1", true),
            ("::/0", "fd88::7", false),
            ("fd88::/64", "fd88::7", true),
            ("::/0", "192.0.2.1", false),
        ] {
            assert_eq!(opens(network, destination), expected, "{network} {destination}");
        }
    }

    #[test]
    fn a_rule_is_about_its_protocol_and_its_ports() {
        let world = "0.0.0.0/0".parse().unwrap();
        let rule = Rule::with_ports(Protocol::Udp, world, 53, 60).unwrap();
        let policy = Policy::new(vec![rule, Rule::new(Protocol::Icmp, world)]);
        let to = "192.0.2.1".parse().unwrap();
        let allows = |protocol, port| policy.allows(&guard(), to, protocol, port);
        assert_eq!(
            [52, 53, 60, 61].map(|port| allows(UDP, port)),
            [false, true, true, false]
        );
        assert_eq!(
            [allows(TCP, 53), allows(ICMP, 0), allows(ICMPV6, 0), allows(47, 0)],
            [false, true, false, false]
        );
        assert_eq!(Rule::with_ports(Protocol::Icmp, world, 1, 2), None);
        assert_eq!(Rule::with_ports(Protocol::Any, world, 1, 2), None);
        assert_eq!(Rule::with_ports(Protocol::Tcp, world, 2, 1), None);
    }

    #[test]
    fn a_rule_is_read_as_it_is_written_and_nothing_else_is() {
        for text in [
            "any 0.0.0.0/0",
            "icmp fd00::/8",
            "tcp 10.0.0.0/8",
            "udp 10.0.0.1/32 53",
            "tcp ::/0 80-89",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "any",
            "gre 0.0.0.0/0",
            "any 0.0.0.0/0 ",
            "any 0.0.0.0/0 1",
            "icmp ::/0 1-2",
            "tcp ::/0 2-1",
            "tcp ::/0 +1",
            "tcp ::/0 1 2",
            "tcp ::/0 65536",
            "tcp ::/0 1-",
            "tcp  ::/0",
            "tcp x",
        ] {
            assert_eq!(text.parse::<Rule>(), Err(RuleError), "{text}");
        }
    }

    #[test]
    fn without_rules_nothing_is_allowed() {
        let none = Policy::default();
        assert!(!none.allows(&guard(), "10.88.0.1".parse().unwrap(), TCP, 1));
    }
}
