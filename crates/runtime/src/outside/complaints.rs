//! ICMP errors about what a datagram socket sent, from the queue that Linux keeps of them (ip(7), `IP_RECVERR`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use super::orders::Complaint;

/// Has the queue kept, for a socket of that family.
pub(super) fn listen(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    let (level, option) = if is_ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, since it is borrowed; the option is an int, and pointer and length are those of one
    // that lives until the call returns.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What was found in the queue.
pub(super) enum Found {
    /// An ICMP error.
    Complaint(Complaint),
    /// Something that this host says itself, by its error number.
    Local(i32),
    /// The queue is empty.
    Nothing,
}

/// Room for the error, the offender's address and what else the kernel may add; aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 512]);

/// Takes the oldest error.
pub(super) fn take(socket: &impl AsFd) -> Found {
    let mut control = Control([0; 512]);
    // Of an echo request it begins with the ICMP header.
    let mut payload = [0_u8; 8];
    let mut vector = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: a msghdr of zeros is one that names no buffer.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: the descriptor is open, since it is borrowed; the message names buffers that live until the call returns, with
    // their lengths.
    let outcome = unsafe {
        libc::recvmsg(
            socket.as_fd().as_raw_fd(),
            &raw mut message,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    if outcome < 0 {
        return Found::Nothing;
    }
    let filled = (message.msg_controllen as usize).min(control.0.len());
    let [.., s1, s2] = payload;
    let sequence = (outcome >= 8).then_some(u16::from_be_bytes([s1, s2]));
    read(control.0.get(..filled).unwrap_or_default(), sequence)
}

/// Reads control messages: each a length of the machine's word, a level, a type, and what it is about (cmsg(3)); the next
/// begins at a multiple of the word. `struct sock_extended_err` is followed by the address of who says so.
fn read(mut control: &[u8], sequence: Option<u16>) -> Found {
    const WORD: usize = size_of::<usize>();
    const HEAD: usize = WORD + 8;
    while let Some(head) = control.first_chunk::<HEAD>() {
        let Some((len, rest)) = head.split_first_chunk::<WORD>() else {
            break;
        };
        let len = usize::from_ne_bytes(*len);
        let &[l1, l2, l3, l4, t1, t2, t3, t4] = rest else {
            break;
        };
        let level = i32::from_ne_bytes([l1, l2, l3, l4]);
        let kind = i32::from_ne_bytes([t1, t2, t3, t4]);
        let Some(body) = control.get(HEAD..len) else {
            break;
        };
        if (level, kind) == (libc::IPPROTO_IP, libc::IP_RECVERR)
            || (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        {
            return extended(body, sequence);
        }
        control = control.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    }
    Found::Local(0)
}

/// `struct sock_extended_err`: errno, origin, type, code, and eleven bytes that do not matter here.
fn extended(body: &[u8], sequence: Option<u16>) -> Found {
    let Some((&[e1, e2, e3, e4, origin, kind, code, ..], address)) = body.split_first_chunk::<16>() else {
        return Found::Local(0);
    };
    match origin {
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => Found::Complaint(Complaint {
            kind,
            code,
            offender: offender(address),
            sequence,
        }),
        _ => Found::Local(i32::from_ne_bytes([e1, e2, e3, e4])),
    }
}

/// A `sockaddr_in` or `sockaddr_in6`.
fn offender(address: &[u8]) -> Option<IpAddr> {
    let family = i32::from(u16::from_ne_bytes(*address.first_chunk()?));
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = *address.get(4..)?.first_chunk()?;
            Some(IpAddr::V4(Ipv4Addr::from(octets)))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = *address.get(8..)?.first_chunk()?;
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => None,
    }
}
