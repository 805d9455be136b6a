//! What an interface is set to, and news of it: the little of netlink that a TUN needs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::sys;
use crate::tun;

// linux/rtnetlink.h, linux/if_link.h
const RTMGRP_LINK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const IFLA_GSO_MAX_SEGS: u16 = 40;
/// NETLINK_ROUTE is protocol 0, which is what a socket has by default.
const NLMSGHDR: usize = 16;
const IFINFOMSG: usize = 16;

/// Tells when any interface of this network namespace changes.
pub(crate) struct LinkNews(OwnedFd);

impl LinkNews {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, RTMGRP_LINK))?;
        Ok(Self(socket))
    }

    /// Forgets the news that came; false if there were none. What they say is asked of the interface itself, so that none can
    /// be missed.
    pub(crate) fn drain(&self) -> bool {
        let mut buffer = [0_u8; 8192];
        let mut any = false;
        // An overflow of the queue is an error once, and news as well.
        while match rustix::io::read(&self.0, &mut buffer) {
            Ok(len) => len > 0,
            Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => true,
            Err(_) => false,
        } {
            any = true;
        }
        any
    }
}

impl AsFd for LinkNews {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The MTU of an interface, in bytes.
pub(crate) fn mtu(name: &str) -> io::Result<usize> {
    let request = ask(libc::SIOCGIFMTU, tun::request_for(name)?)?;
    // SAFETY: the kernel filled in the MTU.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    usize::try_from(mtu).map_err(io::Error::other)
}

/// Whether an interface is set up.
pub(crate) fn is_up(name: &str) -> io::Result<bool> {
    let request = ask(libc::SIOCGIFFLAGS, tun::request_for(name)?)?;
    // SAFETY: the kernel filled in the flags.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok(flags & libc::IFF_UP != 0)
}

/// Sets the MTU of an interface, in bytes.
pub(crate) fn set_mtu(name: &str, mtu: usize) -> io::Result<()> {
    let mut request = tun::request_for(name)?;
    request.ifr_ifru.ifru_mtu = i32::try_from(mtu).map_err(io::Error::other)?;
    ask(libc::SIOCSIFMTU, request).map(drop)
}

/// The number of an interface.
pub(crate) fn index(name: &str) -> io::Result<i32> {
    let request = ask(libc::SIOCGIFINDEX, tun::request_for(name)?)?;
    // SAFETY: the kernel filled in the index.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The number of an interface of this network namespace, if there is one of the name.
pub(crate) fn index_of(name: &str) -> Option<u32> {
    u32::try_from(index(name).ok()?).ok()
}

/// Bounds the segments of a super-packet, so that, sealed, they fit one train of UDP.
pub(crate) fn set_most_segments(name: &str, segments: u32) -> io::Result<()> {
    let index = index(name)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    let mut message = [0_u8; NLMSGHDR + IFINFOMSG + 8];
    let len = message.len() as u32;
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &len.to_ne_bytes());
    put(4, &RTM_NEWLINK.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    put(NLMSGHDR + 4, &index.to_ne_bytes());
    put(NLMSGHDR + IFINFOMSG, &8_u16.to_ne_bytes());
    put(NLMSGHDR + IFINFOMSG + 2, &IFLA_GSO_MAX_SEGS.to_ne_bytes());
    put(NLMSGHDR + IFINFOMSG + 4, &segments.to_ne_bytes());
    rustix::io::write(&socket, &message)?;
    let mut answer = [0_u8; 512];
    let len = rustix::io::read(&socket, &mut answer)?;
    // nlmsgerr begins with the negative error number, zero for an acknowledgement.
    let code = answer
        .get(..len)
        .and_then(|answer| answer.get(NLMSGHDR..)?.first_chunk());
    match code.map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Makes a request about an interface; returns it as the kernel filled it in.
fn ask(code: libc::Ioctl, mut request: libc::ifreq) -> io::Result<libc::ifreq> {
    // SAFETY: all requests made here take a pointer to an ifreq, which lives through the call.
    unsafe { sys::ioctl(control_socket()?, code, (&raw mut request) as libc::c_ulong)? };
    Ok(request)
}

fn control_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?)
}
