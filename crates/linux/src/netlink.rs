//! The little of rtnetlink that an interface needs: what it is set to, and which namespace is meant.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::sys;

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/net_namespace.h
const RTMGRP_LINK: u32 = 1;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_GSO_MAX_SEGS: u16 = 40;
const IFLA_TARGET_NETNSID: u16 = 46;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const NSID_NOT_ASSIGNED: i32 = -1;
const NLMSGHDR: usize = 16;
const IFINFOMSG: usize = 16;
const RTGENMSG: usize = 4;

/// What the kernel says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) index: i32,
    pub(crate) is_up: bool,
    pub(crate) mtu: usize,
}

/// A socket that hears when any interface of this network namespace changes.
pub(crate) fn news() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, RTMGRP_LINK))?;
    Ok(socket)
}

/// Lets such a socket also hear of all namespaces that ours has a number for. It takes `CAP_NET_BROADCAST`.
pub(crate) fn hear_all(news: impl AsFd) -> io::Result<()> {
    sys::set_option(news, libc::SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID, 1_i32)
}

/// Whether news, as they were read, say that an interface was down at the time.
pub(crate) fn says_down(news: &[u8], index: i32) -> bool {
    messages(news).any(|(kind, body)| {
        let word = |at: usize| body.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes);
        kind == RTM_NEWLINK
            && word(4) == Some(index)
            && word(8).is_some_and(|flags| flags & libc::IFF_UP == 0)
    })
}

/// Asks for an interface by its name, in our namespace or in the one that ours has a number for.
pub(crate) fn facts(name: &str, namespace: Option<i32>) -> io::Result<Facts> {
    let mut request = Request::new(RTM_GETLINK, NLM_F_REQUEST, &[0; IFINFOMSG])
        .with(IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat())
        .with(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    if let Some(namespace) = namespace {
        request = request.with(IFLA_TARGET_NETNSID, &namespace.to_ne_bytes());
    }
    let answer = request.exchange()?;
    read_facts(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_facts(answer: &[u8]) -> Option<Facts> {
    let word = |bytes: &[u8]| bytes.first_chunk().copied().map(i32::from_ne_bytes);
    let (head, rest) = answer.split_at_checked(IFINFOMSG)?;
    let mtu = attribute(rest, IFLA_MTU).and_then(word)?;
    Some(Facts {
        index: word(head.get(4..)?)?,
        is_up: word(head.get(8..)?)? & libc::IFF_UP != 0,
        mtu: usize::try_from(mtu).ok()?,
    })
}

/// Bounds the segments of a super-packet from an interface of our namespace.
pub(crate) fn set_most_segments(index: i32, segments: u32) -> io::Result<()> {
    let mut body = [0; IFINFOMSG];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    Request::new(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &body)
        .with(IFLA_GSO_MAX_SEGS, &segments.to_ne_bytes())
        .exchange()
        .map(drop)
}

/// The number that our namespace has for another; it is given one if it has none.
pub(crate) fn number_of(namespace: impl AsFd) -> io::Result<i32> {
    let descriptor = namespace.as_fd().as_raw_fd().to_ne_bytes();
    let known = || {
        let answer = Request::new(RTM_GETNSID, NLM_F_REQUEST, &[0; RTGENMSG])
            .with(NETNSA_FD, &descriptor)
            .exchange()?;
        let number = answer
            .get(RTGENMSG..)
            .and_then(|rest| attribute(rest, NETNSA_NSID)?.first_chunk().copied());
        io::Result::Ok(number.map_or(NSID_NOT_ASSIGNED, i32::from_ne_bytes))
    };
    let number = known()?;
    if number != NSID_NOT_ASSIGNED {
        return Ok(number);
    }
    let given = Request::new(RTM_NEWNSID, NLM_F_REQUEST | NLM_F_ACK, &[0; RTGENMSG])
        .with(NETNSA_FD, &descriptor)
        .with(NETNSA_NSID, &NSID_NOT_ASSIGNED.to_ne_bytes())
        .exchange();
    match (given, known()?) {
        (Err(error), NSID_NOT_ASSIGNED) => Err(error),
        (Ok(_), NSID_NOT_ASSIGNED) => Err(io::ErrorKind::InvalidData.into()),
        // Somebody else may have been first.
        (_, number) => Ok(number),
    }
}

/// A request, being written.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; NLMSGHDR];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    /// Adds an attribute, which is short.
    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let len = 4 + value.len() as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Sends it; returns the body of the answer, which is empty if it was an acknowledgement.
    fn exchange(mut self) -> io::Result<Vec<u8>> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::io::write(&socket, &self.0)?;
        let mut answer = [0_u8; 16 << 10];
        let len = rustix::io::read(&socket, &mut answer)?;
        let (kind, body) = messages(answer.get(..len).unwrap_or(&[]))
            .next()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if kind != NLMSG_ERROR {
            return Ok(body.to_vec());
        }
        // nlmsgerr begins with the negative error number, zero for an acknowledgement.
        match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
            Some(0) => Ok(Vec::new()),
            Some(code) => Err(io::Error::from_raw_os_error(-code)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The kinds and the bodies of messages.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        let body = rest.get(NLMSGHDR..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, body))
    })
}

/// The value of the first attribute of a kind.
fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news_of(index: i32, flags: i32) -> Vec<u8> {
        let mut body = [0; IFINFOMSG];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        let mut bytes = Request::new(RTM_NEWLINK, 0, &body).with(IFLA_IFNAME, b"wg0\0").0;
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes
    }

    #[test]
    fn news_say_whether_an_interface_was_down_between() {
        let both = [news_of(7, 0), news_of(7, libc::IFF_UP)].concat();
        assert!(says_down(&both, 7));
        assert!(!says_down(&both, 8));
        assert!(!says_down(&news_of(7, libc::IFF_UP), 7));
    }

    #[test]
    fn what_is_cut_short_says_nothing() {
        let whole = news_of(7, 0);
        for len in 0..whole.len() {
            assert!(!says_down(&whole[..len], 7), "{len}");
        }
        for len in 0..40 {
            assert_eq!(read_facts(&whole[..len.min(whole.len())]), None);
        }
    }

    #[test]
    fn the_loopback_interface_is_known() {
        let facts = facts("lo", None).unwrap();
        assert_eq!(facts.index, 1);
        assert!(facts.mtu >= 1280);
        assert_eq!(
            super::facts("none-such", None).unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
    }
}
