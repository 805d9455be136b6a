//! What a caller does with listening sockets.

use core::net::{IpAddr, SocketAddr};

use super::{Netstack, events, make_ready};
use crate::error::ListenError;
use crate::event::CloseReason;
use crate::ports;
use crate::slots::{ConnectionId, Handle, ListenerId};

impl Netstack {
    /// Listens on a port of one of the tunnel's addresses, or of all of both families with `None`. Port 0 chooses
    /// one. At most `backlog` connections wait, half-open and established together; a SYN above that is dropped
    /// and counted, and the client's next one may find room; but an address with fewer half-open ones than another
    /// takes the place of one of the other's.
    pub fn listen(
        &mut self,
        local: Option<IpAddr>,
        port: u16,
        backlog: usize,
    ) -> Result<ListenerId, ListenError> {
        if let Some(address) = local.filter(|address| !self.own.contains(*address)) {
            return Err(ListenError::NotOurAddress(address));
        }
        if self.listeners.is_full() {
            return Err(ListenError::TooManyListeners);
        }
        let listeners = &self.listeners;
        let port = match port {
            0 => ports::choose(&mut self.rng, &self.limits.ephemeral_ports, |port| {
                listeners.is_taken(local, port)
            })
            .ok_or(ListenError::PortsExhausted)?,
            taken if listeners.is_taken(local, taken) => return Err(ListenError::AddressInUse),
            port => port,
        };
        let handle = self.listeners.insert(local, port, backlog.max(1));
        handle.map(ListenerId).ok_or(ListenError::TooManyListeners)
    }

    /// The port a listener listens on.
    #[must_use]
    pub fn listener_port(&self, listener: ListenerId) -> Option<u16> {
        self.listeners.port(listener.0)
    }

    /// The next established connection, its own and its remote address and port.
    pub fn accept(&mut self, listener: ListenerId) -> Option<(ConnectionId, SocketAddr, SocketAddr)> {
        let handle = self.listeners.get_mut(listener.0)?.accept()?;
        let connection = self.connections.get_mut(handle)?;
        connection.listener = None;
        let tuple = connection.tuple();
        self.list_connection(handle);
        Some((ConnectionId(handle), tuple.local, tuple.remote))
    }

    /// Listens no longer. Connections nobody accepted are reset.
    pub fn close_listener(&mut self, listener: ListenerId) {
        let Some(closed) = self.listeners.remove(listener.0) else {
            return;
        };
        if closed.listed {
            self.events
                .retain(|source| *source != events::Source::Listener(listener.0));
        }
        // The half-open ones are not listed anywhere; closing a listener is rare enough to look for them.
        let orphans: Vec<Handle> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.listener == Some(listener.0))
            .map(|(handle, _)| handle)
            .collect();
        for handle in orphans {
            let Some(connection) = self.connections.get_mut(handle) else {
                continue;
            };
            connection.abort(CloseReason::Aborted);
            connection.release();
            make_ready(connection, handle, &mut self.ready);
        }
    }

    pub(super) fn queue_for_accept(&mut self, listening: Handle, source: IpAddr, connection: Handle) {
        let Some(listener) = self.listeners.get_mut(listening) else {
            return;
        };
        listener.established(source, connection);
        if !listener.listed {
            listener.listed = true;
            self.events.push_back(events::Source::Listener(listening));
        }
    }
}
