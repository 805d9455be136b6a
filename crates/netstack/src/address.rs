//! The stack's own addresses, and which addresses others can have.

use core::net::IpAddr;

pub(crate) struct LocalAddresses(Vec<(IpAddr, u8)>);

impl LocalAddresses {
    pub(crate) fn new(addresses: Vec<(IpAddr, u8)>) -> Self {
        Self(addresses)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(own, _)| *own == address)
    }

    /// Whether an address lies in a network that one of the own is in.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.0
            .iter()
            .any(|&(own, prefix)| common_prefix(own, address).is_some_and(|common| common >= prefix.into()))
    }

    /// The own address to use towards `remote`: the one that shares the longest prefix with it, as RFC 6724 5
    /// rule 8 chooses; the first of equals. `None` if there is none of that family.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let mut best: Option<(IpAddr, u32)> = None;
        for &(own, prefix) in &self.0 {
            let Some(common) = common_prefix(own, remote) else {
                continue;
            };
            // Beyond the own prefix, likeness is chance.
            let common = common.min(prefix.into());
            if best.is_none_or(|(_, longest)| common > longest) {
                best = Some((own, common));
            }
        }
        best.map(|(own, _)| own)
    }
}

/// Whether a packet may come from, or go to, this address: that of one host on a network.
pub(crate) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            // Class E (240/4, with the broadcast address) and 0/8 are no host's (RFC 6890).
            first != 0 && first < 240 && !v4.is_multicast() && !v4.is_loopback()
        }
        // An address that embeds an IPv4 address must not be on the wire; refusing it also keeps the 4-tuple
        // table's key, which maps IPv4 into IPv6, unambiguous.
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_multicast() && !v6.is_loopback() && v6.to_ipv4_mapped().is_none()
        }
    }
}

/// The leading bits two addresses share; `None` across families.
fn common_prefix(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_source_is_the_own_address_nearest_to_the_remote() {
        let own = LocalAddresses::new(vec![
            (ip("10.0.0.1"), 24),
            (ip("10.1.0.1"), 16),
            (ip("fd00::1"), 64),
            (ip("2001:db8::1"), 64),
        ]);
        assert_eq!(own.source_for(ip("10.1.200.1")), Some(ip("10.1.0.1")));
        assert_eq!(own.source_for(ip("10.0.0.9")), Some(ip("10.0.0.1")));
        assert_eq!(own.source_for(ip("2001:db8:5::1")), Some(ip("2001:db8::1")));
        assert_eq!(
            LocalAddresses::new(vec![(ip("10.0.0.1"), 24)]).source_for(ip("::5")),
            None
        );
    }

    #[test]
    fn groups_and_placeholders_are_not_hosts() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "::ffff:1.2.3.4",
        ] {
            assert!(!is_host(ip(text)), "{text}");
        }
        for text in ["10.0.0.1", "192.168.1.255", "fe80::1", "2001:db8::1"] {
            assert!(is_host(ip(text)), "{text}");
        }
    }
}
