//! A packet socket on one interface: whole frames in and out, many with one call.

use std::io::{self, ErrorKind};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::line::BEFORE_PACKET;
use crate::{ifreq, sys};

/// Frames that one call moves.
pub(super) const FRAMES: usize = 32;
/// Bytes that any frame fits, a super-packet too.
const FRAME: usize = BEFORE_PACKET + 65_535;
/// Bytes that the kernel may hold for us in each direction.
const BUFFER: i32 = 16 << 20;

// linux/if_packet.h
const PACKET_VNET_HDR: i32 = 15;
const PACKET_IGNORE_OUTGOING: i32 = 23;

/// One end of a line.
pub(super) struct Port(OwnedFd);

impl Port {
    /// Opens the interface `name` of this network namespace.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let index = ifreq::index(name)?;
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: makes a descriptor, touches no memory. Protocol 0: nothing arrives before it is bound.
        let socket = sys::outcome(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: it was just made, and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // Checksums that the sender left to its device travel as that, so that none has to be worked out here.
        sys::set_option(&socket, libc::SOL_PACKET, PACKET_VNET_HDR, 1_i32)?;
        sys::set_option(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1_i32)?;
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER)?;
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER)?;
        // SAFETY: the address is made of numbers and an array of them.
        let mut address: libc::sockaddr_ll = unsafe { sys::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        // SAFETY: the pointer and the length describe `address`, which lives through the call and is only read.
        let bound = unsafe {
            let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len)
        };
        sys::outcome(bound)?;
        Ok(Self(socket))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where frames are read to.
pub(super) struct Buffers {
    bytes: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; FRAMES * FRAME],
        }
    }

    /// Reads the frames that wait, up to a bound, and hands each to `each`. An interface that went down or away gives
    /// none; what the kernel cannot describe is an error that costs one frame.
    pub(super) fn read(&mut self, port: &Port, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut pieces: [libc::iovec; FRAMES] = [EMPTY; FRAMES];
        // SAFETY: message headers are made of numbers and pointers, which may be null.
        let mut headers: [libc::mmsghdr; FRAMES] = unsafe { sys::zeroed() };
        for ((piece, header), bytes) in pieces
            .iter_mut()
            .zip(&mut headers)
            .zip(self.bytes.chunks_exact_mut(FRAME))
        {
            piece.iov_base = bytes.as_mut_ptr().cast();
            piece.iov_len = bytes.len();
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header was just filled in with a piece that describes a part of `bytes` of its own; all of it
        // lives through the call and is borrowed by nobody else.
        let count = unsafe {
            libc::recvmmsg(
                port.0.as_raw_fd(),
                headers.as_mut_ptr(),
                FRAMES as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = match sys::outcome(count) {
            Ok(count) => count as usize,
            Err(error) if is_quiet(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for (header, bytes) in headers.iter().zip(self.bytes.chunks_exact(FRAME)).take(count) {
            each(bytes.get(..header.msg_len as usize).unwrap_or(bytes));
        }
        Ok(())
    }
}

/// Sends up to [`FRAMES`] frames; returns how many were taken. What was not is the caller's to drop.
pub(super) fn send(port: &Port, frames: &[Vec<u8>]) -> usize {
    let mut pieces: [libc::iovec; FRAMES] = [EMPTY; FRAMES];
    // SAFETY: message headers are made of numbers and pointers, which may be null.
    let mut headers: [libc::mmsghdr; FRAMES] = unsafe { sys::zeroed() };
    let count = frames.len().min(FRAMES);
    for ((piece, header), frame) in pieces.iter_mut().zip(&mut headers).zip(frames) {
        piece.iov_base = frame.as_ptr().cast_mut().cast();
        piece.iov_len = frame.len();
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers were filled in with pieces that describe frames, which live through the call and
    // are only read.
    let sent = unsafe {
        libc::sendmmsg(
            port.0.as_raw_fd(),
            headers.as_mut_ptr(),
            count as u32,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).unwrap_or(0)
}

const EMPTY: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

/// Whether there is merely nothing to read. An interface that goes down says so once.
fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENODEV))
}
