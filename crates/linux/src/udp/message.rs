//! Addresses and control messages, as the kernel wants them.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::sys;

/// Room for the control messages of one datagram: where it came to or leaves from, how many routers it may pass, and the
/// length of a train's parts.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control([u8; CONTROL]);

const CONTROL: usize = 96;

impl Control {
    pub(super) const EMPTY: Self = Self([0; CONTROL]);

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    pub(super) const fn len() -> usize {
        CONTROL
    }
}

/// Writes control messages of a datagram to be sent, one behind the other.
pub(super) struct Writer<'a> {
    control: &'a mut Control,
    filled: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(control: &'a mut Control) -> Self {
        Self { control, filled: 0 }
    }

    /// Bytes written.
    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// The local address that the datagram is to leave from.
    pub(super) fn source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(address) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: to_v4(address),
                    ipi_addr: to_v4(Ipv4Addr::UNSPECIFIED),
                };
                self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            IpAddr::V6(address) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: to_v6(address),
                    ipi6_ifindex: 0,
                };
                self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
        }
    }

    /// How many routers the datagram may pass.
    pub(super) fn hop_limit(&mut self, hops: u8, is_ipv6: bool) {
        let hops = i32::from(hops);
        if is_ipv6 {
            self.put(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, hops);
        } else {
            self.put(libc::IPPROTO_IP, libc::IP_TTL, hops);
        }
    }

    /// The length of the datagrams that the message is to be cut into.
    pub(super) fn segment(&mut self, len: u16) {
        self.put(libc::SOL_UDP, libc::UDP_SEGMENT, len);
    }

    fn put<T: Copy>(&mut self, level: i32, kind: i32, value: T) {
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
        let (space, len) = unsafe {
            (
                libc::CMSG_SPACE(size_of::<T>() as u32) as usize,
                libc::CMSG_LEN(size_of::<T>() as u32) as usize,
            )
        };
        assert!(
            self.filled + space <= CONTROL,
            "the room is made for all messages there are"
        );
        let header = libc::cmsghdr {
            cmsg_len: len as _,
            cmsg_level: level,
            cmsg_type: kind,
        };
        // SAFETY: `space` bytes from `filled` on lie in the buffer, as was just asserted; they hold a header and, after
        // CMSG_LEN(0) bytes, the value. Both are written without regard to alignment.
        unsafe {
            let at = self.control.0.as_mut_ptr().add(self.filled);
            at.cast::<libc::cmsghdr>().write_unaligned(header);
            at.add(libc::CMSG_LEN(0) as usize)
                .cast::<T>()
                .write_unaligned(value);
        }
        self.filled += space;
    }
}

/// What the kernel said of a received datagram.
#[derive(Default)]
pub(super) struct Arrival {
    /// The local address that it came to.
    pub(super) destination: Option<IpAddr>,
    /// The length of the datagrams in a train; `None` if it is a single one.
    pub(super) segment: Option<usize>,
}

impl Arrival {
    /// Reads the control messages of a message that `recvmmsg` filled in.
    ///
    /// # Safety
    /// `message` must have been filled in by the kernel, and its control buffer still be there.
    pub(super) unsafe fn read(message: &libc::msghdr) -> Self {
        let mut arrival = Self::default();
        // SAFETY: the macros walk over what the kernel wrote, within msg_controllen; each value read is of the type
        // that its kind documents, and is read without regard to alignment.
        unsafe {
            let mut at = libc::CMSG_FIRSTHDR(message);
            while let Some(header) = at.as_ref() {
                let data = libc::CMSG_DATA(at);
                match (header.cmsg_level, header.cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                        let address = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                        arrival.destination = Some(address.into());
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        arrival.destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                    }
                    (libc::SOL_UDP, libc::UDP_GRO) => {
                        let segment = data.cast::<libc::c_int>().read_unaligned();
                        arrival.segment = usize::try_from(segment).ok().filter(|len| *len > 0);
                    }
                    _ => (),
                }
                at = libc::CMSG_NXTHDR(message, at);
            }
        }
        arrival
    }
}

/// A socket address of either family.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Address {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Address {
    pub(super) fn empty() -> Self {
        // SAFETY: socket addresses are numbers and arrays of them.
        unsafe { sys::zeroed() }
    }

    pub(super) fn new(address: SocketAddr) -> (Self, libc::socklen_t) {
        let mut new = Self::empty();
        match address {
            SocketAddr::V4(address) => {
                new.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: to_v4(*address.ip()),
                    sin_zero: [0; 8],
                };
                (new, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(address) => {
                new.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: to_v6(*address.ip()),
                    sin6_scope_id: address.scope_id(),
                };
                (new, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut *self).cast()
    }

    /// What the kernel wrote; `None` if that is no internet address.
    pub(super) fn read(&self) -> Option<SocketAddr> {
        // SAFETY: the family is the first field of all of them, and says which one was written; all bit patterns are
        // valid for all of them.
        unsafe {
            match i32::from(self.family) {
                libc::AF_INET => {
                    let ip = Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes());
                    Some(SocketAddrV4::new(ip, u16::from_be(self.v4.sin_port)).into())
                }
                libc::AF_INET6 => {
                    let (ip, port) = (Ipv6Addr::from(self.v6.sin6_addr.s6_addr), self.v6.sin6_port);
                    Some(SocketAddrV6::new(ip, u16::from_be(port), 0, self.v6.sin6_scope_id).into())
                }
                _ => None,
            }
        }
    }
}

fn to_v4(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from_ne_bytes(address.octets()),
    }
}

fn to_v6(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        for text in ["192.0.2.1:51820", "[2001:db8::1]:1", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::new(address).0.read(), Some(address));
        }
        assert_eq!(Address::empty().read(), None);
    }

    #[test]
    fn all_control_messages_of_a_datagram_fit() {
        for source in ["192.0.2.1", "2001:db8::1"] {
            let source: IpAddr = source.parse().unwrap();
            let mut control = Control::EMPTY;
            let mut writer = Writer::new(&mut control);
            // One that does not fit is a panic.
            writer.source(source);
            writer.hop_limit(56, source.is_ipv6());
            writer.segment(1452);
            assert!(writer.len() <= CONTROL);
        }
    }
}
