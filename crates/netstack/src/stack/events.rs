//! The queue of what is to be told.

use super::{Netstack, make_ready};
use crate::connection;
use crate::datagram;
use crate::event::Event;
use crate::slots::{ConnectionId, Handle, ListenerId, SocketId};

/// Who has something to tell. Connections, listeners and sockets stand in the queue once, whatever happens to them
/// before the caller asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Connection(Handle),
    Listener(Handle),
    Datagram(Handle),
    Told(Event),
}

impl Netstack {
    /// The next thing to know, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let source = *self.events.front()?;
            let event = match source {
                Source::Connection(handle) => self.connection_event(handle),
                Source::Listener(handle) => self.listener_event(handle),
                Source::Datagram(handle) => self.socket_event(handle),
                Source::Told(event) => {
                    self.events.pop_front();
                    Some(event)
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Whether [`Self::next_event`] may have something to tell.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Everything there is to know now.
    pub fn events(&mut self) -> impl Iterator<Item = Event> {
        core::iter::from_fn(|| self.next_event())
    }

    pub(super) fn list_connection(&mut self, handle: Handle) {
        let Some(connection) = self.connections.get_mut(handle) else {
            return;
        };
        // Whoever has not accepted it does not know its name, and whoever released it does not care.
        let known = connection.listener.is_none() && !connection.released;
        if known && connection.pending.any() && !connection.listed {
            connection.listed = true;
            if connection.carried.is_some() {
                self.carried_events.push_back(handle);
            } else {
                self.events.push_back(Source::Connection(handle));
            }
        }
    }

    /// Takes one event; the source leaves the queue when it has no more.
    fn connection_event(&mut self, handle: Handle) -> Option<Event> {
        let Some(connection) = self.connections.get_mut(handle) else {
            self.events.pop_front();
            return None;
        };
        let event = take_connection_event(ConnectionId(handle), &mut connection.pending);
        if !connection.pending.any() {
            connection.listed = false;
            self.events.pop_front();
            if connection.released {
                // It could not be freed while it stood here.
                make_ready(connection, handle, &mut self.ready);
            }
        }
        event
    }

    fn listener_event(&mut self, handle: Handle) -> Option<Event> {
        self.events.pop_front();
        self.listeners.get_mut(handle)?.listed = false;
        Some(Event::Accepted(ListenerId(handle)))
    }

    fn socket_event(&mut self, handle: Handle) -> Option<Event> {
        let Some(socket) = self.datagrams.get_mut(handle) else {
            self.events.pop_front();
            return None;
        };
        let event = take_socket_event(SocketId(handle), &mut socket.pending);
        if !socket.pending.any() {
            socket.listed = false;
            self.events.pop_front();
        }
        event
    }
}

/// In the order in which they can have happened.
fn take_connection_event(id: ConnectionId, pending: &mut connection::Pending) -> Option<Event> {
    if core::mem::take(&mut pending.connected) {
        return Some(Event::Connected(id));
    }
    if let Some(kind) = pending.unreachable.take() {
        return Some(Event::ConnectionUnreachable(id, kind));
    }
    if let Some(reason) = pending.failed.take() {
        return Some(Event::ConnectFailed(id, reason));
    }
    if core::mem::take(&mut pending.readable) {
        return Some(Event::Readable(id));
    }
    if core::mem::take(&mut pending.writable) {
        return Some(Event::Writable(id));
    }
    pending.closed.take().map(|reason| Event::Closed(id, reason))
}

fn take_socket_event(id: SocketId, pending: &mut datagram::Pending) -> Option<Event> {
    if core::mem::take(&mut pending.readable) {
        return Some(Event::Datagram(id));
    }
    if core::mem::take(&mut pending.writable) {
        return Some(Event::DatagramWritable(id));
    }
    pending
        .unreachable
        .take()
        .map(|kind| Event::DatagramUnreachable(id, kind))
}
