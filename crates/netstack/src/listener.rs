//! Listening sockets: who listens where, and the connections nobody accepted yet.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::slots::{Handle, Slots};

/// A listening TCP socket.
///
/// `backlog` bounds half-open and established connections together. A SYN above it is dropped, not reset: the
/// client sends it again a second later, when there may be room (RFC 9293 leaves the choice; Linux does the same).
/// But whoever sends SYNs without end and never answers must not keep others out, so a full backlog makes room for
/// a newcomer at the cost of the address that has most half-open connections ([`HalfOpen::crowding_out`]).
pub(crate) struct Listener {
    local: Option<IpAddr>,
    port: u16,
    backlog: usize,
    half_open: HalfOpen,
    established: VecDeque<Handle>,
    /// Whether it stands in the queue of events.
    pub(crate) listed: bool,
}

impl Listener {
    pub(crate) fn has_room(&self) -> bool {
        self.half_open.len + self.established.len() < self.backlog
    }

    pub(crate) fn begun(&mut self, source: IpAddr, connection: Handle) {
        self.half_open.insert(source, connection);
    }

    pub(crate) fn dropped(&mut self, source: IpAddr, connection: Handle) {
        self.half_open.remove(source, connection);
    }

    pub(crate) fn established(&mut self, source: IpAddr, connection: Handle) {
        self.dropped(source, connection);
        self.established.push_back(connection);
    }

    /// If there is no room for a newcomer: which half-open connection should make some.
    pub(crate) fn crowding_out(&self, newcomer: IpAddr) -> Option<Handle> {
        if self.has_room() {
            return None;
        }
        self.half_open.crowding_out(newcomer)
    }

    pub(crate) fn accept(&mut self) -> Option<Handle> {
        self.established.pop_front()
    }
}

/// Half-open connections by the address that they come from, each address's oldest first.
#[derive(Default)]
struct HalfOpen {
    by_source: BTreeMap<IpAddr, VecDeque<Handle>>,
    /// How many each address has.
    ranks: BTreeSet<(usize, IpAddr)>,
    len: usize,
}

impl HalfOpen {
    fn insert(&mut self, source: IpAddr, connection: Handle) {
        let queue = self.by_source.entry(source).or_default();
        self.ranks.remove(&(queue.len(), source));
        queue.push_back(connection);
        self.ranks.insert((queue.len(), source));
        self.len += 1;
    }

    fn remove(&mut self, source: IpAddr, connection: Handle) {
        let Some(queue) = self.by_source.get_mut(&source) else {
            return;
        };
        // What takes too long is at the front.
        let Some(at) = queue.iter().position(|known| *known == connection) else {
            return;
        };
        self.ranks.remove(&(queue.len(), source));
        queue.remove(at);
        self.len -= 1;
        if queue.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.ranks.insert((queue.len(), source));
        }
    }

    /// The oldest of the address that has most, if it would still have as many as the newcomer's address
    /// (compare RFC 4987 3.3, which takes the oldest of all: a flood drives out everybody that way).
    fn crowding_out(&self, newcomer: IpAddr) -> Option<Handle> {
        let (most, source) = self.ranks.last()?;
        let has = self.by_source.get(&newcomer).map_or(0, VecDeque::len);
        let crowd = self.by_source.get(source).filter(|_| has + 1 < *most)?;
        crowd.front().copied()
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
            half_open: HalfOpen::default(),
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
