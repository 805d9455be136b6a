//! Listening sockets: who listens where, and the connections nobody accepted yet.

use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

use crate::slots::{Handle, Slots};

/// A listening TCP socket.
///
/// `backlog` bounds half-open and established connections together. A SYN above it is dropped, not reset: the
/// client sends it again a second later, when there may be room (RFC 9293 leaves the choice; Linux does the same).
pub(crate) struct Listener {
    local: Option<IpAddr>,
    port: u16,
    backlog: usize,
    half_open: usize,
    established: VecDeque<Handle>,
    /// Whether it stands in the queue of events.
    pub(crate) listed: bool,
}

impl Listener {
    pub(crate) fn has_room(&self) -> bool {
        self.half_open + self.established.len() < self.backlog
    }

    pub(crate) fn begun(&mut self) {
        self.half_open += 1;
    }

    pub(crate) fn dropped(&mut self) {
        self.half_open = self.half_open.saturating_sub(1);
    }

    pub(crate) fn established(&mut self, connection: Handle) {
        self.dropped();
        self.established.push_back(connection);
    }

    pub(crate) fn accept(&mut self) -> Option<Handle> {
        self.established.pop_front()
    }
}

/// All listeners.
pub(crate) struct Listeners {
    slots: Slots<Listener>,
    by_address: BTreeMap<(u16, Option<IpAddr>), Handle>,
}

impl Listeners {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: Slots::new(limit),
            by_address: BTreeMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.is_full()
    }

    pub(crate) fn is_taken(&self, local: Option<IpAddr>, port: u16) -> bool {
        self.by_address.contains_key(&(port, local))
    }

    pub(crate) fn insert(&mut self, local: Option<IpAddr>, port: u16, backlog: usize) -> Option<Handle> {
        let listener = Listener {
            local,
            port,
            backlog,
            half_open: 0,
            established: VecDeque::new(),
            listed: false,
        };
        let handle = self.slots.insert(listener)?;
        self.by_address.insert((port, local), handle);
        Some(handle)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Listener> {
        let listener = self.slots.remove(handle)?;
        self.by_address.remove(&(listener.port, listener.local));
        Some(listener)
    }

    /// The listener for a SYN: one on the very address before one on all addresses.
    pub(crate) fn find(&self, local: IpAddr, port: u16) -> Option<Handle> {
        let exact = self.by_address.get(&(port, Some(local)));
        exact.or_else(|| self.by_address.get(&(port, None))).copied()
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Listener> {
        self.slots.get_mut(handle)
    }

    pub(crate) fn port(&self, handle: Handle) -> Option<u16> {
        self.slots.get(handle).map(|listener| listener.port)
    }
}
