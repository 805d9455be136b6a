//! What an interface must do, as naively as it can be said: lists and maps, one thing after the other.
//!
//! Nothing is encrypted here. A datagram is what it means, a session is a set of the counters that came, and what a
//! timer may do is asked after it was done, since its jitter is not to be known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirewright_engine::Event;

/// Packets that wait for a session.
pub const STAGED: usize = 4;

const GATE: Duration = Duration::from_secs(5);
const REKEY: Duration = Duration::from_secs(120);
const REKEY_ON_RECEIVE: Duration = Duration::from_secs(165);
const EXPIRED: Duration = Duration::from_secs(180);
const WIPED: Duration = Duration::from_secs(540);
const BETWEEN_INITIATIONS: Duration = Duration::from_millis(20);

/// What a datagram means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    Initiation {
        from: usize,
        to: usize,
        sender: u32,
        stamp: (u64, u32),
    },
    Response {
        sender: u32,
        receiver: u32,
    },
    Data {
        receiver: u32,
        counter: u64,
        packet: Option<Packet>,
    },
}

/// An inner packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub number: u64,
}

/// A datagram that the interface sends. Sender indices are drawn, so they are known only once it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub to: SocketAddr,
    pub peer: usize,
    pub meaning: Meaning,
}

struct Session {
    local: u32,
    remote: u32,
    created: Duration,
    initiator: bool,
    came: BTreeSet<u64>,
    next: u64,
    asked: bool,
}

#[derive(Default)]
struct Peer {
    endpoint: Option<SocketAddr>,
    previous: Option<Session>,
    current: Option<Session>,
    next: Option<Session>,
    pending: Option<u32>,
    /// An initiation or a response was last sent.
    shook: Option<Duration>,
    newest: Option<(u64, u32)>,
    consumed: Option<Duration>,
    staged: VecDeque<Packet>,
    wipe: Option<Duration>,
}

/// The interface of one node.
pub struct Interface {
    node: usize,
    now: Duration,
    peers: BTreeMap<usize, Peer>,
    /// Address and length of a prefix, and whose it is.
    allowed: Vec<(IpAddr, u8, usize)>,
    pub sent: Vec<Sent>,
    pub delivered: Vec<Packet>,
    pub counted: BTreeMap<&'static str, u64>,
}

impl Interface {
    pub fn new(node: usize) -> Self {
        Self {
            node,
            now: Duration::ZERO,
            peers: BTreeMap::new(),
            allowed: Vec::new(),
            sent: Vec::new(),
            delivered: Vec::new(),
            counted: BTreeMap::new(),
        }
    }

    pub fn set_peer(&mut self, peer: usize, endpoint: Option<SocketAddr>) {
        let peer = self.peers.entry(peer).or_default();
        peer.endpoint = endpoint.or(peer.endpoint);
    }

    /// A prefix belongs to one peer.
    pub fn allow(&mut self, peer: usize, address: IpAddr, len: u8) {
        self.allowed
            .retain(|(other, other_len, _)| (*other, *other_len) != (address, len));
        self.allowed.push((address, len, peer));
    }

    pub fn remove(&mut self, peer: usize) {
        self.peers.remove(&peer);
        self.allowed.retain(|(_, _, owner)| *owner != peer);
    }

    pub fn has_peer(&self, peer: usize) -> bool {
        self.peers.contains_key(&peer)
    }

    pub fn endpoint(&self, peer: usize) -> Option<SocketAddr> {
        self.peers[&peer].endpoint
    }

    pub fn has_session(&self, peer: usize) -> bool {
        let current = self.peers[&peer].current.as_ref();
        current.is_some_and(|session| self.now - session.created < EXPIRED)
    }

    pub fn staged(&self) -> usize {
        self.peers.values().map(|peer| peer.staged.len()).sum()
    }

    pub fn indices(&self) -> usize {
        let of = |peer: &Peer| {
            let sessions = [&peer.previous, &peer.current, &peer.next].into_iter().flatten();
            sessions.count() + usize::from(peer.pending.is_some())
        };
        self.peers.values().map(of).sum()
    }

    /// Whether what the interface sends to this peer carries this receiver index.
    pub fn sends_under(&self, peer: usize, remote: u32) -> bool {
        let current = self.peers[&peer].current.as_ref();
        current.is_some_and(|session| session.remote == remote)
    }

    /// Time passes. Keys are wiped nine minutes after the last were derived.
    pub fn pass(&mut self, now: Duration) {
        self.now = now;
        for peer in self.peers.values_mut() {
            if peer.wipe.take_if(|wipe| *wipe <= now).is_some() {
                (peer.previous, peer.current, peer.next, peer.pending) = (None, None, None, None);
            }
        }
    }

    /// The user sends packets.
    pub fn send(&mut self, packets: Vec<Packet>) {
        let mut peers = Vec::new();
        for packet in packets {
            let Some(number) = self.owner(packet.destination) else {
                self.count(Event::NoPeer);
                continue;
            };
            if !peers.contains(&number) {
                peers.push(number);
            }
            let (now, peer) = (self.now, self.peers.get_mut(&number).unwrap());
            let Some(to) = peer.endpoint else {
                self.count(Event::NoEndpoint);
                continue;
            };
            if let Some(session) = peer
                .current
                .as_mut()
                .filter(|session| now - session.created < EXPIRED)
            {
                let meaning = session.data(Some(packet));
                self.sent.push(Sent {
                    to,
                    peer: number,
                    meaning,
                });
                continue;
            }
            peer.staged.push_back(packet);
            if peer.staged.len() > STAGED {
                peer.staged.pop_front();
                self.count(Event::StagedOverflow);
            }
        }
        for peer in peers {
            if self.peers[&peer].endpoint.is_some()
                && (!self.has_session(peer) || self.is_to_be_replaced(peer))
            {
                self.initiate(peer);
            }
        }
    }

    /// Begins a handshake, unless one was begun or answered within 5 s.
    pub fn initiate(&mut self, number: usize) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&number) else {
            return;
        };
        if peer.shook.is_some_and(|shook| now < shook + GATE) {
            return;
        }
        let Some(to) = peer.endpoint else {
            self.count(Event::NoEndpoint);
            return;
        };
        peer.shook = Some(now);
        // Whatever was pending is replaced.
        peer.pending = None;
        let meaning = Meaning::Initiation {
            from: self.node,
            to: number,
            sender: 0,
            stamp: (0, 0),
        };
        self.sent.push(Sent {
            to,
            peer: number,
            meaning,
        });
    }

    /// A datagram of ours has left with this sender index.
    pub fn has_left(&mut self, sent: &Sent, sender: u32) {
        let peer = self.peers.get_mut(&sent.peer).unwrap();
        match sent.meaning {
            Meaning::Initiation { .. } => peer.pending = Some(sender),
            Meaning::Response { .. } => peer.next.as_mut().unwrap().local = sender,
            Meaning::Data { .. } => (),
        }
    }

    /// A timer sent an initiation or an empty message. Panics if it was not allowed to.
    pub fn timer_sent(&mut self, number: usize, data: Option<(u32, u64)>) -> Sent {
        let before = self.sent.len();
        match data {
            None => self.initiate(number),
            Some(_) => {
                assert!(self.has_session(number), "a timer sent data without a session");
                let peer = self.peers.get_mut(&number).unwrap();
                let (to, session) = (peer.endpoint.unwrap(), peer.current.as_mut().unwrap());
                let meaning = session.data(None);
                self.sent.push(Sent {
                    to,
                    peer: number,
                    meaning,
                });
            }
        }
        assert_eq!(self.sent.len(), before + 1, "a timer sent what it may not send");
        self.sent.pop().unwrap()
    }

    /// A timer dropped all that waits for a peer, and must have had a reason.
    pub fn timer_dropped(&mut self, number: usize, packets: u64) {
        let peer = self.peers.get_mut(&number).unwrap();
        assert_eq!(
            packets,
            peer.staged.len() as u64,
            "some of what waits was dropped"
        );
        peer.staged.clear();
        // A handshake that was given up is forgotten nine minutes later, as sessions are.
        peer.wipe = peer.wipe.or(Some(self.now + WIPED));
    }

    /// Datagrams arrive together from one place.
    pub fn receive(&mut self, from: SocketAddr, datagrams: &[(Meaning, Harm)]) {
        let mut heard: Vec<(usize, u32)> = Vec::new();
        for (meaning, harm) in datagrams {
            match (meaning, harm) {
                (_, Harm::Type) => self.count(Event::BadType),
                (Meaning::Data { .. }, Harm::Index) => self.count(Event::NoSession),
                (
                    Meaning::Data {
                        receiver,
                        counter,
                        packet,
                    },
                    harm,
                ) => {
                    let genuine = *harm == Harm::None;
                    let from = self.hear(*receiver, *counter, packet.as_ref(), genuine);
                    heard.extend(from.filter(|from| !heard.contains(from)));
                }
                (_, Harm::Index | Harm::Text) => self.count(Event::BadMac1),
                (
                    Meaning::Initiation {
                        from: peer,
                        to,
                        sender,
                        stamp,
                    },
                    Harm::None,
                ) => {
                    self.answer(from, *peer, *to, *sender, *stamp);
                }
                (Meaning::Response { sender, receiver }, Harm::None) => {
                    self.conclude(from, *sender, *receiver)
                }
            }
        }
        for (peer, local) in heard {
            self.has_heard(from, peer, local);
        }
    }

    /// Data: which peer it is from, and under which session.
    fn hear(
        &mut self,
        receiver: u32,
        counter: u64,
        packet: Option<&Packet>,
        genuine: bool,
    ) -> Option<(usize, u32)> {
        let now = self.now;
        let found = self.peers.iter_mut().find_map(|(number, peer)| {
            let mut sessions = [&mut peer.previous, &mut peer.current, &mut peer.next]
                .into_iter()
                .flatten();
            Some((*number, sessions.find(|session| session.local == receiver)?))
        });
        let Some((number, session)) = found else {
            self.count(Event::NoSession);
            return None;
        };
        let refusal = if now - session.created >= EXPIRED {
            Some(Event::SessionExpired)
        } else if session.came.contains(&counter) {
            Some(Event::ReplayDuplicate)
        } else {
            (!genuine).then_some(Event::AuthenticationFailed)
        };
        if let Some(event) = refusal {
            self.count(event);
            return None;
        }
        session.came.insert(counter);
        if let Some(packet) = packet {
            if self.owner(packet.source) == Some(number) {
                self.delivered.push(packet.clone());
            } else {
                self.count(Event::SourceNotAllowed);
            }
        }
        Some((number, receiver))
    }

    /// What follows from authentic data: roaming, confirmation, and what waited for it.
    fn has_heard(&mut self, from: SocketAddr, number: usize, local: u32) {
        let now = self.now;
        let peer = self.peers.get_mut(&number).unwrap();
        peer.endpoint = Some(from);
        let there = [&peer.previous, &peer.current, &peer.next].into_iter().flatten();
        if !there.into_iter().any(|session| session.local == local) {
            return;
        }
        let confirmed = peer.next.take_if(|next| next.local == local);
        if let Some(next) = confirmed {
            peer.previous = peer.current.replace(next);
            let staged = std::mem::take(&mut peer.staged);
            self.send(staged.into());
        }
        let peer = self.peers.get_mut(&number).unwrap();
        if let Some(session) = &mut peer.current
            && session.initiator
            && !session.asked
            && now - session.created >= REKEY_ON_RECEIVE
        {
            session.asked = true;
            self.initiate(number);
        }
    }

    fn answer(&mut self, from: SocketAddr, number: usize, to: usize, sender: u32, stamp: (u64, u32)) {
        let now = self.now;
        if to != self.node {
            self.count(Event::BadMac1);
            return;
        }
        let Some(peer) = self.peers.get_mut(&number) else {
            self.count(Event::UnknownPeer);
            return;
        };
        if peer.newest.is_some_and(|newest| stamp <= newest) {
            self.count(Event::TimestampReplay);
            return;
        }
        if peer
            .consumed
            .is_some_and(|consumed| now < consumed + BETWEEN_INITIATIONS)
        {
            self.count(Event::InitiationFlood);
            return;
        }
        (peer.newest, peer.consumed, peer.shook) = (Some(stamp), Some(now), Some(now));
        peer.endpoint = Some(from);
        peer.wipe = Some(now + WIPED);
        (peer.pending, peer.previous) = (None, None);
        peer.next = Some(Session::new(0, sender, now, false));
        let meaning = Meaning::Response {
            sender: 0,
            receiver: sender,
        };
        self.sent.push(Sent {
            to: from,
            peer: number,
            meaning,
        });
    }

    fn conclude(&mut self, from: SocketAddr, sender: u32, receiver: u32) {
        let now = self.now;
        let found = self
            .peers
            .iter_mut()
            .find(|(_, peer)| peer.pending == Some(receiver));
        let Some((number, peer)) = found.map(|(number, peer)| (*number, peer)) else {
            self.count(Event::ResponseUnexpected);
            return;
        };
        peer.pending = None;
        peer.endpoint = Some(from);
        peer.wipe = Some(now + WIPED);
        let former = peer.current.replace(Session::new(receiver, sender, now, true));
        // The peer may have begun to use a session that it answered just now.
        peer.previous = peer.next.take().or(former);
        let staged = std::mem::take(&mut peer.staged);
        if staged.is_empty() {
            let meaning = peer.current.as_mut().unwrap().data(None);
            self.sent.push(Sent {
                to: from,
                peer: number,
                meaning,
            });
        } else {
            self.send(staged.into());
        }
    }

    fn is_to_be_replaced(&self, peer: usize) -> bool {
        let current = self.peers[&peer].current.as_ref();
        current.is_some_and(|session| session.initiator && self.now - session.created >= REKEY)
    }

    fn owner(&self, address: IpAddr) -> Option<usize> {
        let holding = self
            .allowed
            .iter()
            .filter(|(prefix, len, _)| match (prefix, address) {
                (IpAddr::V4(prefix), IpAddr::V4(address)) => {
                    let shift = 32 - u32::from(*len);
                    u64::from(prefix.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
                }
                _ => false,
            });
        holding.max_by_key(|(_, len, _)| *len).map(|(_, _, owner)| *owner)
    }

    fn count(&mut self, event: Event) {
        *self.counted.entry(event.name()).or_default() += 1;
    }
}

impl Session {
    fn new(local: u32, remote: u32, created: Duration, initiator: bool) -> Self {
        Self {
            local,
            remote,
            created,
            initiator,
            came: BTreeSet::new(),
            next: 0,
            asked: false,
        }
    }

    fn data(&mut self, packet: Option<Packet>) -> Meaning {
        self.next += 1;
        Meaning::Data {
            receiver: self.remote,
            counter: self.next - 1,
            packet,
        }
    }
}

/// What the wire did to a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Harm {
    None,
    /// The message type is another.
    Type,
    /// The receiver index is another, or what stands there.
    Index,
    /// Something that is authenticated is another.
    Text,
}
