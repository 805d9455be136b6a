//! What may stand between the header of an IPv6 packet and that of TCP or UDP.
//!
//! Extension headers begin with the number of what follows and with their own length, in units of 8 bytes after the first
//! 8 (RFC 8200, section 4; RFC 6564 asks the same of those to come). Three have another form, or must not be repeated before
//! each part of what they stand before: a fragment's header, and the two of IPsec.

use crate::tcp::{self, IPV6_HEADER};

const FRAGMENT: u8 = 44;
const ENCRYPTED: u8 = 50;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const NOTHING: u8 = 59;

/// An IPv6 packet, whose length is true, parted where the header of a protocol begins. `None` if that is not in the chain.
pub(crate) fn before(packet: &[u8], protocol: u8) -> Option<(&[u8], &[u8])> {
    const ENDS: [u8; 7] = [
        tcp::TCP,
        tcp::UDP,
        FRAGMENT,
        ENCRYPTED,
        AUTHENTICATION,
        ICMPV6,
        NOTHING,
    ];
    let fixed = packet.first_chunk::<IPV6_HEADER>()?;
    if !tcp::is_v6(fixed) || IPV6_HEADER + usize::from(tcp::be16(fixed, 4)) != packet.len() {
        return None;
    }
    let (mut next, mut at) = (fixed[6], IPV6_HEADER);
    while next != protocol {
        if ENDS.contains(&next) {
            return None;
        }
        let [following, eights] = *packet.get(at..)?.first_chunk::<2>()?;
        (next, at) = (following, at + 8 + usize::from(eights) * 8);
    }
    packet.split_at_checked(at)
}
