//! What peers may reach outside.
//!
//! An address is reached if a network of the list contains it. *Special* addresses (the host's loopback, its links, groups,
//! where clouds keep their metadata) are reached only if a network of the list lies inside the special one, so that
//! "everything" never means them. So are addresses that embed a special one of IPv4, for a translator behind the host would
//! lead there.
//!
//! Whether an ordinary address is the host's own is not known here; [`Permit::own`] says whether it may be.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> (IpAddr, u8) {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length)
}

const fn v6(parts: [u16; 8], length: u8) -> (IpAddr, u8) {
    let [a, b, c, d, e, f, g, h] = parts;
    (IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), length)
}

/// RFC 6890 as far as it names what is no host elsewhere, and where clouds serve metadata to their machines.
const SPECIAL: [(IpAddr, u8); 22] = [
    v4(0, 0, 0, 0, 8),
    v4(127, 0, 0, 0, 8),
    // Link-local, and the metadata of most clouds.
    v4(169, 254, 0, 0, 16),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // Metadata and agents of Alibaba, Azure and Oracle.
    v4(100, 100, 100, 200, 32),
    v4(168, 63, 129, 16, 32),
    v4(192, 0, 0, 192, 32),
    // Unspecified, loopback, and IPv4 in its lowest bits (RFC 4291 2.5.5.1).
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    // IPv4-mapped, which is never on a wire, and IPv4-translated (RFC 2765).
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    // Translation inside one site (RFC 8215), whose form is not known here.
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // Metadata, credentials, names and time of Amazon; metadata of Scaleway, Oracle, Alibaba, Akamai and Google.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
    v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
    v6([0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200], 128),
    v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], 128),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
];

/// An address that may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// Even if it is the host's own.
    pub(crate) own: bool,
}

pub(crate) struct Reach {
    networks: Vec<(IpAddr, u8)>,
    host: bool,
}

impl Reach {
    pub(crate) fn new(networks: &[(IpAddr, u8)], host: bool) -> Self {
        Self {
            networks: networks.to_vec(),
            host,
        }
    }

    /// Whether `address` may be reached, and how. `None` if not.
    pub(crate) fn judge(&self, address: IpAddr) -> Option<Permit> {
        if let Some(special) = special(address) {
            return self.names(address, Some(special)).map(|_| Permit { own: true });
        }
        if let Some(embedded) = embedded(address).map(IpAddr::V4)
            && let Some(special) = special(embedded)
        {
            self.names(embedded, Some(special))?;
        }
        let longest = self.names(address, None)?;
        let is_named_alone = longest == if address.is_ipv4() { 32 } else { 128 };
        Some(Permit {
            own: self.host || is_named_alone,
        })
    }

    /// The longest prefix of the networks that contain `address` and lie inside `limits`.
    fn names(&self, address: IpAddr, limits: Option<(IpAddr, u8)>) -> Option<u8> {
        let inside = |network: &&(IpAddr, u8)| {
            contains(**network, address)
                && limits.is_none_or(|limits| network.1 >= limits.1 && contains(limits, network.0))
        };
        self.networks
            .iter()
            .filter(inside)
            .map(|(_, length)| *length)
            .max()
    }
}

/// The narrowest special network that an address lies in.
fn special(address: IpAddr) -> Option<(IpAddr, u8)> {
    let around = SPECIAL.iter().filter(|network| contains(**network, address));
    around.max_by_key(|(_, length)| *length).copied()
}

/// The IPv4 address to which a translator or a tunnel on the way would turn an address of IPv6: NAT64 (RFC 6052), 6to4
/// (RFC 3056) or Teredo (RFC 4380, where it stands inverted).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let bytes = v6.octets();
    let four = |at: usize| -> Option<[u8; 4]> { bytes.get(at..)?.first_chunk().copied() };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => four(12).map(Ipv4Addr::from),
        [0x2002, ..] => four(2).map(Ipv4Addr::from),
        [0x2001, 0, ..] => four(12).map(|bytes| Ipv4Addr::from(bytes.map(|byte| !byte))),
        _ => None,
    }
}

fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differs = network.to_bits() ^ address.to_bits();
            differs.leading_zeros() >= length.into()
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differs = network.to_bits() ^ address.to_bits();
            differs.leading_zeros() >= length.into()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(networks: &[&str]) -> Reach {
        let networks: Vec<_> = networks
            .iter()
            .map(|text| {
                let (address, length) = text.split_once('/').unwrap();
                (address.parse().unwrap(), length.parse().unwrap())
            })
            .collect();
        Reach::new(&networks, false)
    }

    fn judge(reach: &Reach, address: &str) -> Option<Permit> {
        reach.judge(address.parse().unwrap())
    }

    const HIDDEN: [&str; 32] = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "169.254.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd00:ec2:0:1::1",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "fd00:100::100:200",
        "fd00:a9fe:a9fe::1",
        "fd20:ce::254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "2001:0:1:2:3:4:80ff:fffe",
    ];

    #[test]
    fn everything_does_not_mean_what_is_special() {
        let all = reach(&["0.0.0.0/0", "::/0"]);
        for address in HIDDEN {
            assert_eq!(judge(&all, address), None, "{address}");
        }
        for address in [
            "8.8.8.8",
            "10.0.0.1",
            "100.64.0.1",
            "2001:db8::1",
            "fd00::1",
            "64:ff9b::808:808",
        ] {
            assert_eq!(judge(&all, address), Some(Permit { own: false }), "{address}");
        }
    }

    #[test]
    fn a_network_inside_what_is_special_opens_it_and_a_wider_one_does_not() {
        for (network, address) in [
            ("127.0.0.1/32", "127.0.0.1"),
            ("127.0.0.0/8", "127.9.9.9"),
            ("169.254.169.254/32", "169.254.169.254"),
            ("::1/128", "::1"),
            ("fe80::/10", "fe80::1"),
        ] {
            assert_eq!(
                judge(&reach(&[network]), address),
                Some(Permit { own: true }),
                "{network}"
            );
        }
        assert_eq!(judge(&reach(&["126.0.0.0/7"]), "127.0.0.1"), None);
        assert_eq!(judge(&reach(&["127.0.0.1/32"]), "127.0.0.2"), None);
        assert_eq!(judge(&reach(&["169.0.0.0/8"]), "169.254.169.254"), None);
    }

    #[test]
    fn what_embeds_a_special_address_is_opened_with_both() {
        let address = "64:ff9b::7f00:1";
        assert_eq!(judge(&reach(&["64:ff9b::/96"]), address), None);
        assert!(judge(&reach(&["64:ff9b::/96", "127.0.0.1/32"]), address).is_some());
    }

    #[test]
    fn only_what_is_named_alone_may_be_the_hosts_own() {
        let some = reach(&["192.0.2.0/24", "192.0.2.7/32", "2001:db8::1/128"]);
        assert_eq!(judge(&some, "192.0.2.8"), Some(Permit { own: false }));
        assert_eq!(judge(&some, "192.0.2.7"), Some(Permit { own: true }));
        assert_eq!(judge(&some, "2001:db8::1"), Some(Permit { own: true }));
        assert_eq!(judge(&some, "198.51.100.1"), None);
        let host = Reach::new(&[("192.0.2.0".parse().unwrap(), 24)], true);
        assert_eq!(judge(&host, "192.0.2.8"), Some(Permit { own: true }));
        assert_eq!(judge(&host, "127.0.0.1"), None);
    }
}
