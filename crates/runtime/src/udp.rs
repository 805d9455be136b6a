//! The outer sockets: one for IPv4, one for IPv6, on the same port.
//!
//! Receive offload fills a batch with a whole train of datagrams in one call, send offload takes one away; quinn-udp
//! knows which system can do what. Nothing here looks into a datagram.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use wirewright_engine::Batch;
use wirewright_protocol::Instant;

use link::Bound;

#[cfg(test)]
mod double;
mod link;
mod receive;
mod send;

pub(crate) use receive::{Received, Receiving};
pub(crate) use send::Sending;
pub use send::cause;

/// The outer sockets of an interface.
pub struct UdpSockets {
    sockets: Vec<Bound>,
    port: u16,
}

impl UdpSockets {
    /// Binds to `port` (0: any that is free in both families) of `address`, or of all addresses.
    ///
    /// # Errors
    /// What the operating system says, such as that the port is in use.
    pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<Self> {
        if let Some(address) = address {
            let socket = Bound::new(SocketAddr::new(address, port))?;
            let port = socket.port()?;
            return Ok(Self {
                sockets: vec![socket],
                port,
            });
        }
        // A port that is free for IPv4 may be taken for IPv6, so a free one takes a few tries.
        let mut attempts = if port == 0 { 16 } else { 1 };
        loop {
            attempts -= 1;
            let first = Bound::new((Ipv4Addr::UNSPECIFIED, port).into())?;
            let port = first.port()?;
            let sockets = match Bound::new((Ipv6Addr::UNSPECIFIED, port).into()) {
                Ok(second) => vec![first, second],
                Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => continue,
                Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
                // A machine without IPv6 is no error.
                Err(_) => vec![first],
            };
            return Ok(Self { sockets, port });
        }
    }

    /// The port that the sockets are bound to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The descriptors to wait for: not those of sockets that rest after errors.
    pub(crate) fn descriptors(&self, receiving: &Receiving) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sockets = self.sockets.iter().enumerate();
        sockets
            .filter(|(number, _)| receiving.is_awake(*number))
            .map(|(_, bound)| bound.as_fd())
    }

    /// In a forked child: lets go of the sockets, so that the parent's port is not kept in use.
    pub(crate) fn part_from_parent(&self) {
        for bound in &self.sockets {
            crate::fork::give_up_descriptor(bound);
        }
    }

    /// Fills as many of `batches` as there are trains of datagrams waiting. Reads `clock` only where a socket fails.
    ///
    /// # Errors
    /// What the operating system says, where no later call can succeed. Other errors are counted, and the socket is
    /// left alone for a while if they go on.
    pub(crate) fn receive(
        &self,
        batches: &mut [Batch],
        receiving: &mut Receiving,
        clock: impl Fn() -> Instant,
    ) -> io::Result<Received> {
        receive::receive(&self.sockets, batches, receiving, clock)
    }

    /// Sends all datagrams of a batch; those that were not taken stand in `sending` afterwards. `now` is for what is
    /// remembered of destinations.
    pub(crate) fn send(&self, batch: &Batch, sending: &mut Sending, now: Instant) {
        send::send(&self.sockets, batch, sending, now);
    }
}
