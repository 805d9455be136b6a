//! A peer's books: which flows and which fragments passed, and what follows for a packet.

use core::net::IpAddr;

use wirewright_protocol::Instant;

use super::flows::{Flows, Key, Known, Side};
use super::fragments::Fragments;
use super::headers::{Content, Headers, Quoted, RST, Subject};
use crate::counters::Event;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// It came from the peer.
    FromPeer,
    /// It is for the peer.
    ToPeer,
}

/// What a packet would start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// The port that it is for; 0 where there are none.
    pub(crate) port: u16,
}

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) flows: usize,
    /// How many more flows all peers of the shard may have.
    pub(crate) room: usize,
    pub(crate) fragments: usize,
}

/// What passed.
pub(crate) struct Ledger {
    flows: Flows,
    fragments: Fragments,
}

impl Ledger {
    /// Nothing passed yet. The seed must be random and secret.
    pub(crate) fn new(now: Instant, seed: u128) -> Self {
        Self {
            flows: Flows::new(now, seed),
            fragments: Fragments::default(),
        }
    }

    /// How many flows are remembered.
    pub(crate) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Judges a packet, and remembers what follows from its passing. `may_start` is asked about what would start something
    /// new; `is_host`: the packet is from an address of the host's own, which may send what it likes.
    ///
    /// # Errors
    /// Why it must not pass.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        packet: &[u8],
        direction: Direction,
        limit: Limit,
        is_host: impl Fn(IpAddr) -> bool,
        may_start: impl FnOnce(Start) -> bool,
    ) -> Result<(), Event> {
        let headers = Headers::parse(packet).map_err(|_| Event::FilterUnreadable)?;
        let verdict = self.judge_headers(now, &headers, direction, limit, is_host, may_start);
        if let Some(first) = headers.first {
            match verdict {
                Ok(()) => self.fragments.note(now, first, limit.fragments),
                // One before it, which passed, may have had the same identification.
                Err(_) => self.fragments.forget(first.packet),
            }
        }
        verdict
    }

    fn judge_headers(
        &mut self,
        now: Instant,
        headers: &Headers,
        direction: Direction,
        limit: Limit,
        is_host: impl Fn(IpAddr) -> bool,
        may_start: impl FnOnce(Start) -> bool,
    ) -> Result<(), Event> {
        let refused = match direction {
            Direction::FromPeer => Event::FilterDenied,
            Direction::ToPeer => Event::FilterUnasked,
        };
        let passes_if = |passes: bool| passes.then_some(()).ok_or(refused);
        let free = direction == Direction::ToPeer && is_host(headers.source);
        let (subject, flags) = match headers.content {
            Content::Tcp(ports, flags) => (Subject::Ports(ports), flags),
            Content::Udp(ports) => (Subject::Ports(ports), 0),
            Content::Echo { request, id } => (Subject::Echo { request, id }, 0),
            Content::Other => (Subject::Other, 0),
            Content::Later(packet, offset) => {
                let follows = self.fragments.may_follow(now, packet, offset);
                return follows.then_some(()).ok_or(Event::FilterFragment);
            }
            Content::Error(quoted) => {
                return passes_if(free || self.is_about_flow(now, headers, quoted, direction));
            }
            Content::OtherIcmp => return passes_if(free),
        };
        let (key, start) = describe(headers, subject, direction);
        match self.flows.note(now, &key, direction.from(), flags) {
            Known::Yes => return Ok(()),
            Known::Backwards if !free => return Err(refused),
            Known::Backwards | Known::No => (),
        }
        // What ends or answers something begins nothing.
        let is_reply = matches!(subject, Subject::Echo { request: false, .. });
        passes_if(free || !is_reply && may_start(start))?;
        if !is_reply && flags & RST == 0 {
            self.begin(now, key, direction.from(), flags, limit)?;
        }
        Ok(())
    }

    /// Forgets flows that `may_start` does not allow any more.
    pub(crate) fn reconsider(&mut self, now: Instant, mut may_start: impl FnMut(Direction, Start) -> bool) {
        let before = self.flows.len();
        self.flows.retain(now, |key, began| match began {
            Side::Peer => may_start(
                Direction::FromPeer,
                Start {
                    source: key.peer(),
                    destination: key.other(),
                    protocol: key.protocol,
                    port: key.other_port,
                },
            ),
            Side::Other => may_start(
                Direction::ToPeer,
                Start {
                    source: key.other(),
                    destination: key.peer(),
                    protocol: key.protocol,
                    port: key.peer_port,
                },
            ),
        });
        if self.flows.len() < before {
            self.fragments.clear();
        }
    }

    /// When [`Ledger::sweep`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (flows, fragments) = (self.flows.deadline(), self.fragments.deadline());
        flows.into_iter().chain(fragments).min()
    }

    /// Forgets what is gone. True: nothing is left.
    pub(crate) fn sweep(&mut self, now: Instant) -> bool {
        self.flows.sweep(now);
        self.fragments.forget_old(now);
        self.flows.len() == 0 && self.fragments.len() == 0
    }

    fn begin(&mut self, now: Instant, key: Key, began: Side, flags: u8, limit: Limit) -> Result<(), Event> {
        if self.flows.are_full(limit.flows, began) {
            self.flows.make_room(now);
        }
        if self.flows.are_full(limit.flows, began) || limit.room == 0 {
            return Err(Event::FilterFull);
        }
        self.flows.insert(now, key, began, flags);
        Ok(())
    }

    /// Whether an ICMP error is about a packet that went the other way, within a flow, from whom the error is for.
    fn is_about_flow(&self, now: Instant, error: &Headers, quoted: Quoted, direction: Direction) -> bool {
        let headers = Headers {
            source: quoted.source,
            destination: quoted.destination,
            protocol: quoted.protocol,
            ..*error
        };
        let (key, _) = describe(&headers, quoted.subject, direction.reversed());
        quoted.source == error.destination && self.flows.holds(now, &key)
    }
}

impl Direction {
    fn from(self) -> Side {
        match self {
            Self::FromPeer => Side::Peer,
            Self::ToPeer => Side::Other,
        }
    }

    fn reversed(self) -> Self {
        match self {
            Self::FromPeer => Self::ToPeer,
            Self::ToPeer => Self::FromPeer,
        }
    }
}

/// Which flow a packet belongs to, and what it would start.
fn describe(headers: &Headers, subject: Subject, direction: Direction) -> (Key, Start) {
    let (source, destination) = (headers.source, headers.destination);
    let (from, to) = match subject {
        Subject::Ports(ports) => (ports.source, ports.destination),
        Subject::Echo { .. } | Subject::Other => (0, 0),
    };
    let start = Start {
        source,
        destination,
        protocol: headers.protocol,
        port: to,
    };
    let protocol = headers.protocol;
    let key = match (direction, subject) {
        // The side that asks is part of the name: both may ask with the same identifier.
        (Direction::FromPeer, Subject::Echo { request, id }) => {
            Key::new(source, destination, protocol, id, u16::from(!request))
        }
        (Direction::ToPeer, Subject::Echo { request, id }) => {
            Key::new(destination, source, protocol, id, u16::from(request))
        }
        (Direction::FromPeer, _) => Key::new(source, destination, protocol, from, to),
        (Direction::ToPeer, _) => Key::new(destination, source, protocol, to, from),
    };
    (key, start)
}
