//! What a caller does with connections.

use core::net::SocketAddr;

use wirewright_protocol::Instant;

use super::{Netstack, make_ready};
use crate::address::is_host;
use crate::connection::{Connection, Received};
use crate::demux::Tuple;
use crate::error::{ConnectError, WriteError};
use crate::event::CloseReason;
use crate::slots::ConnectionId;
use crate::tcp::Setup;

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one unless the buffer was empty.
    Data(usize),
    /// Nothing yet: `Event::Readable` will tell.
    Nothing,
    /// The remote side has sent everything.
    End,
    /// The connection broke, and the stream with it.
    Failed(CloseReason),
}

impl Netstack {
    /// Begins a connection to `remote`. Without `local`, or with port 0 in it, the address nearest to the remote
    /// and a port not used lately are chosen. `Event::Connected` or `Event::ConnectFailed` tells how it went; the
    /// name is to be released either way.
    pub fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<ConnectionId, ConnectError> {
        if !is_host(remote.ip()) || remote.port() == 0 {
            return Err(ConnectError::InvalidRemote);
        }
        if self.own.contains(remote.ip()) {
            return Err(ConnectError::OwnAddress);
        }
        if self.connections.is_full() {
            return Err(ConnectError::TooManyConnections);
        }
        let tuple = self.choose_tuple(remote, local)?;
        let setup = Setup {
            mtu: self.mtu,
            control: self.control,
            limits: &self.limits,
            timing: &self.timing,
            initial_sequence: self.initial_sequences.number(&tuple, now),
            budget: &self.budget,
        };
        let connection = Connection::connect(&setup, tuple, now).map_err(|_| ConnectError::OutOfMemory)?;
        let handle = self
            .connections
            .insert(Box::new(connection))
            .ok_or(ConnectError::TooManyConnections)?;
        self.counters.connections_begun += 1;
        self.by_tuple.insert(tuple.key(), handle);
        if let Some(connection) = self.connections.get_mut(handle) {
            make_ready(connection, handle, &mut self.ready);
        }
        Ok(ConnectionId(handle))
    }

    /// The connection's own and its remote address and port.
    #[must_use]
    pub fn addresses(&self, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        self.connections
            .get(id.0)
            .map(|connection| (connection.tuple().local, connection.tuple().remote))
    }

    /// Copies received bytes into `buffer`.
    pub fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Read {
        let Some(connection) = self.connections.get_mut(id.0) else {
            return Read::Failed(CloseReason::Aborted);
        };
        match connection.read(buffer) {
            Received::Data(len) => {
                // The window may have opened enough to tell.
                make_ready(connection, id.0, &mut self.ready);
                Read::Data(len)
            }
            Received::Nothing => Read::Nothing,
            Received::End => Read::End,
            Received::Failed(reason) => Read::Failed(reason),
        }
    }

    /// Takes as many of `bytes` as there is room for and tells how many. After fewer than all,
    /// `Event::Writable` will tell when there is room again.
    pub fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<usize, WriteError> {
        let gone = WriteError::Closed(CloseReason::Aborted);
        let connection = self.connections.get_mut(id.0).ok_or(gone)?;
        let doom = connection.doom();
        let taken = connection.write(bytes);
        if taken.is_some_and(|taken| taken > 0) {
            make_ready(connection, id.0, &mut self.ready);
        }
        taken.ok_or(doom.map_or(WriteError::ShutDown, WriteError::Closed))
    }

    /// Ends the sending side behind what was written. Reading goes on.
    pub fn shutdown(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id.0) {
            connection.shutdown();
            make_ready(connection, id.0, &mut self.ready);
        }
    }

    /// Ends the connection at once with a reset. What was not sent is lost.
    pub fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id.0) {
            connection.abort(CloseReason::Aborted);
            make_ready(connection, id.0, &mut self.ready);
        }
    }

    /// Gives up the name. What was written is still sent and a FIN behind it, for a bounded time; if something was
    /// received and not read, or arrives later, the remote side is told by a reset that nobody reads it.
    pub fn release(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id.0) {
            connection.release();
            make_ready(connection, id.0, &mut self.ready);
        }
    }

    fn choose_tuple(&mut self, remote: SocketAddr, local: Option<SocketAddr>) -> Result<Tuple, ConnectError> {
        let address = match local {
            Some(local) if !self.own.contains(local.ip()) || local.is_ipv4() != remote.is_ipv4() => {
                return Err(ConnectError::NotOurAddress(local.ip()));
            }
            Some(local) => local.ip(),
            None => self
                .own
                .source_for(remote.ip())
                .ok_or(ConnectError::NoLocalAddress)?,
        };
        let tuple_with = |port| Tuple {
            local: SocketAddr::new(address, port),
            remote,
        };
        let (by_tuple, time_wait, listeners) = (&self.by_tuple, &self.time_wait, &self.listeners);
        let is_taken = |port| {
            let key = tuple_with(port).key();
            by_tuple.contains_key(&key) || time_wait.contains(&key)
        };
        let port = match local.map_or(0, |local| local.port()) {
            0 => self
                .ports
                .choose(address, remote, &self.limits.ephemeral_ports, |port| {
                    is_taken(port) || listeners.find(address, port).is_some()
                })
                .ok_or(ConnectError::PortsExhausted)?,
            port if is_taken(port) => return Err(ConnectError::AddressInUse),
            port => port,
        };
        Ok(tuple_with(port))
    }
}
