//! UDP (RFC 768), and what a caller does with datagram sockets.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, IpRepr, UDP_HEADER_LEN, UdpPacket};
use wirewright_protocol::Instant;
use wirewright_runtime::Owner;

use super::{Netstack, events};
use crate::address::is_host;
use crate::datagram::Datagram;
use crate::demux::{Discard, IpPacket};
use crate::device::{PacketSink, checksums};
use crate::error::{BindError, SendError};
use crate::icmp;
use crate::ports;
use crate::slots::{Handle, SocketId};

const HOP_LIMIT: u8 = 64;

impl Netstack {
    /// A datagram socket on a port of one of the tunnel's addresses, or of all of both families with `None`.
    /// Port 0 chooses one at random.
    pub fn bind(&mut self, local: Option<IpAddr>, port: u16) -> Result<SocketId, BindError> {
        if let Some(address) = local.filter(|address| !self.own.contains(*address)) {
            return Err(BindError::NotOurAddress(address));
        }
        if self.datagrams.is_full() {
            return Err(BindError::TooManySockets);
        }
        let sockets = &self.datagrams;
        let port = match port {
            0 => ports::choose(&mut self.rng, &self.limits.ephemeral_ports, |port| {
                sockets.is_taken(local, port)
            })
            .ok_or(BindError::PortsExhausted)?,
            taken if sockets.is_taken(local, taken) => return Err(BindError::AddressInUse),
            port => port,
        };
        self.datagrams
            .insert(local, port)
            .map(SocketId)
            .ok_or(BindError::TooManySockets)
    }

    /// From here on the socket receives from `remote` only, sends there by default, and is told of ICMP errors.
    pub fn connect_socket(&mut self, socket: SocketId, remote: SocketAddr) -> Result<(), BindError> {
        if !is_host(remote.ip()) || remote.port() == 0 {
            return Err(BindError::InvalidRemote);
        }
        let source = self
            .own
            .source_for(remote.ip())
            .ok_or(BindError::NoLocalAddress)?;
        let socket = self.datagrams.get_mut(socket.0).ok_or(BindError::Closed)?;
        if socket.local.unwrap_or(source).is_ipv4() != remote.is_ipv4() {
            return Err(BindError::NoLocalAddress);
        }
        socket.remote = Some(remote);
        Ok(())
    }

    /// The socket's own address (`None`: all of the tunnel's) and port, and the remote it is connected to.
    #[must_use]
    pub fn socket_addresses(&self, socket: SocketId) -> Option<(Option<IpAddr>, u16, Option<SocketAddr>)> {
        self.datagrams
            .get(socket.0)
            .map(|socket| (socket.local, socket.port, socket.remote))
    }

    /// Sends one datagram to `remote`, or to where the socket is connected. It leaves with the next poll.
    pub fn send_to(
        &mut self,
        socket: SocketId,
        remote: Option<SocketAddr>,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let handle = socket.0;
        let socket = self.datagrams.get_mut(handle).ok_or(SendError::Closed)?;
        let remote = match (remote, socket.remote) {
            (Some(remote), Some(connected)) if remote != connected => return Err(SendError::InvalidRemote),
            (Some(remote), _) | (None, Some(remote)) => remote,
            (None, None) => return Err(SendError::NotConnected),
        };
        if !is_host(remote.ip()) || remote.port() == 0 {
            return Err(SendError::InvalidRemote);
        }
        let source = match socket.local {
            Some(local) if local.is_ipv4() == remote.is_ipv4() => local,
            Some(_) => return Err(SendError::NoLocalAddress),
            None => self
                .own
                .source_for(remote.ip())
                .ok_or(SendError::NoLocalAddress)?,
        };
        let header = if remote.is_ipv4() { 20 } else { 40 } + UDP_HEADER_LEN;
        let most = self.mtu - header;
        if payload.len() > most {
            return Err(SendError::TooLong {
                len: payload.len(),
                most,
            });
        }
        if !self.outbox.has_room_for_sender(header + payload.len()) {
            if !socket.wants_send {
                socket.wants_send = true;
                self.blocked_senders.push(handle);
            }
            return Err(SendError::Full);
        }
        let source = SocketAddr::new(source, socket.port);
        self.outbox.packet(header + payload.len(), |buffer| {
            emit(buffer, source, remote, payload)
        });
        self.counters.datagrams_sent += 1;
        Ok(())
    }

    /// The oldest received datagram, its payload copied into `buffer`. After `None`, `Event::Datagram` will tell.
    pub fn receive_from(&mut self, socket: SocketId, buffer: &mut [u8]) -> Option<Datagram> {
        self.datagrams.get_mut(socket.0)?.pop(buffer)
    }

    /// Closes the socket. What it had not received is lost; what it sent still leaves.
    pub fn close_socket(&mut self, socket: SocketId) {
        let Some(closed) = self.datagrams.remove(socket.0) else {
            return;
        };
        if closed.listed {
            self.events
                .retain(|source| *source != events::Source::Datagram(socket.0));
        }
        if closed.wants_send {
            self.blocked_senders.retain(|blocked| *blocked != socket.0);
        }
    }

    pub(super) fn receive_datagram(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        owner: Owner<'_>,
    ) -> Result<(), Discard> {
        let datagram = packet.udp()?;
        let found = self
            .datagrams
            .find(datagram.destination.ip(), datagram.destination.port());
        let admitted = found.and_then(|handle| {
            let socket = self.datagrams.get_mut(handle)?;
            socket.admits(datagram.source).then_some((handle, socket))
        });
        if let Some((handle, socket)) = admitted {
            if socket.push(datagram.source, datagram.destination.ip(), datagram.payload) {
                self.counters.datagrams_received += 1;
                self.list_socket(handle);
            } else {
                self.counters.datagram_queue_overflow += 1;
            }
            return Ok(());
        }
        self.counters.datagrams_unclaimed += 1;
        if !self.limiters.allow(owner(packet.source), now) {
            self.counters.error_replies_suppressed += 1;
            return Ok(());
        }
        let reply = icmp::Outgoing::port_unreachable(packet);
        self.outbox.packet(reply.len(), |buffer| reply.emit(buffer));
        self.counters.port_unreachables_sent += 1;
        Ok(())
    }

    /// Tells the sockets that found no room that there is some.
    pub(super) fn wake_senders(&mut self) {
        while let Some(handle) = self.blocked_senders.pop() {
            if let Some(socket) = self.datagrams.get_mut(handle) {
                socket.wants_send = false;
                socket.pending.writable = true;
            }
            self.list_socket(handle);
        }
    }

    pub(super) fn list_socket(&mut self, handle: Handle) {
        let Some(socket) = self.datagrams.get_mut(handle) else {
            return;
        };
        if socket.pending.any() && !socket.listed {
            socket.listed = true;
            self.events.push_back(events::Source::Datagram(handle));
        }
    }
}

/// Writes a datagram into a buffer of exactly the packet's length.
pub(super) fn emit(buffer: &mut [u8], source: SocketAddr, remote: SocketAddr, payload: &[u8]) {
    let len = UDP_HEADER_LEN + payload.len();
    let (from, to) = (source.ip().into(), remote.ip().into());
    let ip = IpRepr::new(from, to, IpProtocol::Udp, len, HOP_LIMIT);
    ip.emit(&mut *buffer, &checksums());
    let Some(rest) = buffer.get_mut(ip.header_len()..) else {
        return;
    };
    let Some(body) = rest.get_mut(UDP_HEADER_LEN..) else {
        return;
    };
    body.copy_from_slice(payload);
    let mut packet = UdpPacket::new_unchecked(rest);
    packet.set_src_port(source.port());
    packet.set_dst_port(remote.port());
    packet.set_len(u16::try_from(len).unwrap_or(u16::MAX));
    packet.fill_checksum(&from, &to);
}
