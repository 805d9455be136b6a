//! The outer sockets: one for IPv4, one for IPv6, on the same port.
//!
//! Receive offload fills a batch with a whole train of datagrams in one call, send offload takes one away; quinn-udp
//! knows which system can do what. Nothing here looks into a datagram.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use wirewright_engine::{Batch, Endpoint};
use wirewright_offload::segments::{MAX_BYTES, Outgoing, runs};

/// Bytes asked for each socket's buffers; the system may give less.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long a full send buffer is waited for before datagrams are dropped.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// The outer sockets of an interface.
pub struct UdpSockets {
    sockets: Vec<Bound>,
    port: u16,
    /// Counts calls of receive, to be fair to both sockets.
    turn: AtomicUsize,
}

struct Bound {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
}

/// Buffers that live as long as the thread that sends and receives.
pub struct Scratch {
    train: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            train: Vec::with_capacity(MAX_BYTES),
        }
    }
}

impl UdpSockets {
    fn new(sockets: Vec<Bound>, port: u16) -> Self {
        Self {
            sockets,
            port,
            turn: AtomicUsize::new(0),
        }
    }

    /// Binds to `port` (0: any that is free in both families) of `address`, or of all addresses.
    ///
    /// # Errors
    /// What the operating system says, such as that the port is in use.
    pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<Self> {
        if let Some(address) = address {
            let socket = Bound::new(SocketAddr::new(address, port))?;
            let port = socket.socket.local_addr()?.port();
            return Ok(Self::new(vec![socket], port));
        }
        // A port that is free for IPv4 may be taken for IPv6, so a free one takes a few tries.
        let mut attempts = if port == 0 { 16 } else { 1 };
        loop {
            attempts -= 1;
            let first = Bound::new((Ipv4Addr::UNSPECIFIED, port).into())?;
            let chosen = first.socket.local_addr()?.port();
            match Bound::new((Ipv6Addr::UNSPECIFIED, chosen).into()) {
                Ok(second) => {
                    return Ok(Self::new(vec![first, second], chosen));
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => (),
                Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
                // A machine without IPv6 is no error.
                Err(_) => {
                    return Ok(Self::new(vec![first], chosen));
                }
            }
        }
    }

    /// The port that the sockets are bound to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The descriptors to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|bound| bound.socket.as_fd())
    }

    /// In a forked child: lets go of the sockets, so that the parent's port is not kept in use.
    pub(crate) fn part_from_parent(&self) {
        for bound in &self.sockets {
            crate::fork::give_up_descriptor(&bound.socket);
        }
    }

    /// Fills as many of `batches` as there are datagrams waiting; returns how many.
    ///
    /// # Errors
    /// What the operating system says, but for an empty queue (which gives 0) and for errors of earlier sends that
    /// it reports here.
    pub fn receive(&self, batches: &mut [Batch]) -> io::Result<usize> {
        // Each in turn is the first, lest a flood of one family keep the other out.
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut filled = 0;
        for offset in 0..self.sockets.len() {
            if let Some(bound) = self.sockets.get(first.wrapping_add(offset) % self.sockets.len()) {
                filled += bound.receive(batches.get_mut(filled..).unwrap_or(&mut []))?;
            }
        }
        Ok(filled)
    }

    /// Sends all datagrams of a batch. Returns how many could not be sent.
    pub fn send(&self, batch: &Batch, scratch: &mut Scratch) -> u64 {
        let mut failed = 0;
        let outgoing = |index: usize| {
            let slot = batch.slot(index).filter(|slot| slot.len > 0)?;
            Some(Outgoing {
                destination: slot.path,
                len: slot.len as usize,
            })
        };
        for run in runs(batch.len(), MAX_BYTES, outgoing) {
            let Some(first) = batch.slot(run.start) else {
                continue;
            };
            let (path, segment) = (first.path, first.len as usize);
            let contents = if run.len() == 1 {
                batch.packet(run.start)
            } else {
                scratch.train.clear();
                for index in run.clone() {
                    scratch.train.extend_from_slice(batch.packet(index));
                }
                &scratch.train
            };
            if let Err(error) = self.transmit(path, contents, segment) {
                failed += run.len() as u64;
                if error.kind() == ErrorKind::WouldBlock {
                    // The system takes nothing more: to wait for each of the rest would keep receiving and timers waiting.
                    failed += (run.end..batch.len())
                        .filter(|index| !batch.packet(*index).is_empty())
                        .count() as u64;
                    break;
                }
            }
        }
        failed
    }

    fn transmit(&self, path: Endpoint, contents: &[u8], segment: usize) -> io::Result<()> {
        let wants_ipv6 = path.remote.is_ipv6();
        let bound = self
            .sockets
            .iter()
            .find(|bound| bound.is_ipv6 == wants_ipv6)
            .ok_or(ErrorKind::AddrNotAvailable)?;
        let most = bound.state.max_gso_segments().max(1) * segment;
        for contents in contents.chunks(most) {
            match bound.transmit(path, contents, segment) {
                // The local address that the peer wrote to may be gone (as the kernel's send4() finds out): let the
                // system choose another.
                Err(_) if path.source.is_some() => {
                    bound.transmit(Endpoint::new(path.remote), contents, segment)?;
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

impl Bound {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The system clips these to what it allows; less is slower, not wrong.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        allow_fragments(&socket, address.is_ipv6());
        Ok(Self {
            socket,
            state,
            is_ipv6: address.is_ipv6(),
        })
    }

    fn receive(&self, batches: &mut [Batch]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < batches.len() {
            let mut metas = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
            let free = batches.get_mut(filled..).unwrap_or(&mut []);
            let count = free.len().min(quinn_udp::BATCH_SIZE);
            let mut buffers: [IoSliceMut<'_>; quinn_udp::BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(&mut []));
            for (buffer, batch) in buffers.iter_mut().zip(free.iter_mut()) {
                *buffer = IoSliceMut::new(batch.buffer_mut());
            }
            let Some(buffers) = buffers.get_mut(..count) else {
                break;
            };
            let received = match self
                .state
                .recv(UdpSockRef::from(&self.socket), buffers, &mut metas)
            {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => continue,
                    // What an ICMP message did to an earlier datagram says nothing about the next.
                    ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable => continue,
                    _ => return Err(error),
                },
            };
            for (meta, batch) in metas.iter().take(received).zip(free) {
                batch.set_received(
                    meta.len,
                    meta.stride,
                    Endpoint {
                        remote: meta.addr,
                        source: meta.dst_ip,
                    },
                );
            }
            filled += received;
            if received < count {
                break;
            }
        }
        Ok(filled)
    }

    fn transmit(&self, path: Endpoint, contents: &[u8], segment: usize) -> io::Result<()> {
        let transmit = Transmit {
            destination: path.remote,
            ecn: None,
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: path.source,
        };
        loop {
            match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
                    if poll(&mut fds, Some(&PATIENCE))? == 0 {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                result => return result,
            }
        }
    }
}

/// Lets routers and the system cut datagrams that are too long for a path, as the kernel's WireGuard does. (quinn-udp
/// forbids it, since QUIC searches for the path's MTU itself.) A system that refuses drops them instead.
#[cfg(target_os = "linux")]
fn allow_fragments(socket: &UdpSocket, is_ipv6: bool) {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    let _ = if is_ipv6 {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)
    } else {
        sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)
    };
}

#[cfg(not(target_os = "linux"))]
fn allow_fragments(_: &UdpSocket, _: bool) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(sockets: &UdpSockets) -> Vec<u8> {
        let mut batches = [Batch::new(1, 2048)];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while sockets.receive(&mut batches).unwrap() == 0 {
            assert!(std::time::Instant::now() < deadline, "nothing came");
            std::thread::yield_now();
        }
        batches[0].packet(0).to_vec()
    }

    #[test]
    fn a_source_address_that_is_gone_does_not_keep_a_datagram_back() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (from, to) = (
            UdpSockets::bind(None, 0).unwrap(),
            UdpSockets::bind(Some(loopback), 0).unwrap(),
        );
        let path = Endpoint {
            remote: (loopback, to.port()).into(),
            source: Some([192, 0, 2, 77].into()),
        };
        let mut batch = Batch::new(1, 64);
        batch.push_datagram(path, 5, |bytes| bytes.copy_from_slice(b"hello"));
        assert_eq!(from.send(&batch, &mut Scratch::default()), 0);
        assert_eq!(received(&to), b"hello");
    }
}
