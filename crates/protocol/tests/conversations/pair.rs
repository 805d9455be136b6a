//! Alice and Bob, the wire between them, and the hands of the clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_protocol::wire::DATA_OVERHEAD;
use wirewright_protocol::{Cause, Instant, Message, SecretKey, Timeout};

use crate::host::Host;

/// One way. Small beside every timer, and not zero, so that the two ends see different times.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

/// The longest jitter and a round trip: what a handshake timer may be late by.
pub(crate) const SLACK: Duration = Duration::from_millis(334 + 20);

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Alice,
    Bob,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Alice, Self::Bob];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Alice => Self::Bob,
            Self::Bob => Self::Alice,
        }
    }

    fn address(self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1 + self as u8], 51820))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Initiation,
    Response,
    Cookie,
    Keepalive,
    Data,
}

/// A datagram as an eavesdropper at its sender sees it.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) at: Instant,
    pub(crate) from: Side,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

/// When the copies of a datagram arrive: one of them after a while, none if it is lost.
pub(crate) type Fate = Vec<Duration>;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) alice: Host,
    pub(crate) bob: Host,
    /// Everything sent since the last [`mark`](Self::mark).
    pub(crate) wire: Vec<Datagram>,
    /// What becomes of a datagram.
    pub(crate) network: Box<dyn FnMut(&Datagram) -> Fate>,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    transmitted: u64,
    marked: Instant,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([42; 32]);
        let [alice, bob] = core::array::from_fn(|_| SecretKey::generate(&mut rng));
        // Not zero, and no multiple of anything.
        let now = Instant::from_nanos(1_234_567_000_000);
        Self {
            now,
            alice: Host::new(alice.clone(), &bob, 1),
            bob: Host::new(bob, &alice, 2),
            wire: Vec::new(),
            network: Box::new(|_| vec![LATENCY]),
            under_way: BTreeMap::new(),
            transmitted: 0,
            marked: now,
        }
    }

    /// A pair with a session that Alice initiated and Bob knows to be confirmed. A second has passed, and of all
    /// timers only that which wipes keys is armed.
    pub(crate) fn connected() -> Self {
        let mut pair = Self::new();
        pair.begin(Side::Alice);
        pair.run_for(seconds(1));
        for side in Side::BOTH {
            assert!(pair.can_send(side));
        }
        pair.mark();
        pair
    }

    pub(crate) fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Alice => &mut self.alice,
            Side::Bob => &mut self.bob,
        }
    }

    /// Whether `side` has a session to send under.
    pub(crate) fn can_send(&mut self, side: Side) -> bool {
        let now = self.now;
        self.host(side).conversation.sending_session(now).is_some()
    }

    /// Forgets what was seen on the wire, and counts [`sent_by`](Self::sent_by) from now.
    pub(crate) fn mark(&mut self) {
        self.wire.clear();
        self.alice.timeouts.clear();
        self.bob.timeouts.clear();
        self.marked = self.now;
    }

    pub(crate) fn lose_everything(&mut self) {
        self.network = Box::new(|_| Vec::new());
    }

    pub(crate) fn lose_nothing(&mut self) {
        self.network = Box::new(|_| vec![LATENCY]);
    }

    pub(crate) fn lose(&mut self, kind: Kind) {
        self.network = Box::new(move |datagram| {
            if datagram.kind == kind {
                vec![]
            } else {
                vec![LATENCY]
            }
        });
    }

    pub(crate) fn send(&mut self, side: Side, packet: &[u8]) {
        self.act(side, |host, now, out| host.send(now, packet.to_vec(), out));
    }

    pub(crate) fn send_keepalive(&mut self, side: Side) {
        self.act(side, Host::send_keepalive);
    }

    pub(crate) fn begin(&mut self, side: Side) {
        self.act(side, |host, now, out| host.begin(now, Cause::Fresh, out));
    }

    /// Lets a datagram arrive at `side` now, as if the other side had sent it.
    pub(crate) fn inject(&mut self, side: Side, bytes: &[u8]) {
        let source = side.other().address();
        self.act(side, |host, now, out| host.receive(now, bytes, source, out));
    }

    /// Lets time pass: datagrams arrive and timers expire at their times.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut standing_still = 0;
        while let Some(next) = self.next_event().filter(|&next| next <= end) {
            standing_still = if next > self.now { 0 } else { standing_still + 1 };
            assert!(
                standing_still < 1000,
                "time stands still: a timer is due again and again"
            );
            self.now = self.now.max(next);
            let arrived = self
                .under_way
                .first_key_value()
                .is_some_and(|((at, _), _)| *at <= self.now);
            if let Some((_, datagram)) = arrived.then(|| self.under_way.pop_first()).flatten() {
                self.inject(datagram.from.other(), &datagram.bytes);
                continue;
            }
            for side in Side::BOTH {
                self.act(side, Host::expire);
            }
        }
        self.now = end;
    }

    /// What `side` sent since the last mark, with milliseconds since then.
    pub(crate) fn sent_by(&self, side: Side) -> Vec<(u64, Kind)> {
        let elapsed = |at: Instant| at.saturating_since(self.marked).as_millis() as u64;
        let by_side = self.wire.iter().filter(|datagram| datagram.from == side);
        by_side
            .map(|datagram| (elapsed(datagram.at), datagram.kind))
            .collect()
    }

    /// The times in milliseconds at which `side` sent that kind.
    pub(crate) fn times_of(&self, side: Side, kind: Kind) -> Vec<u64> {
        self.sent_by(side)
            .into_iter()
            .filter(|sent| sent.1 == kind)
            .map(|sent| sent.0)
            .collect()
    }

    /// The datagrams of that kind by `side`.
    pub(crate) fn datagrams(&self, side: Side, kind: Kind) -> Vec<Vec<u8>> {
        let matching = self
            .wire
            .iter()
            .filter(|datagram| datagram.from == side && datagram.kind == kind);
        matching.map(|datagram| datagram.bytes.clone()).collect()
    }

    /// What expired at `side` since the last mark, with milliseconds since then.
    pub(crate) fn timeouts_of(&mut self, side: Side) -> Vec<(u64, Timeout)> {
        let marked = self.marked;
        let elapsed = |at: Instant| at.saturating_since(marked).as_millis() as u64;
        self.host(side)
            .timeouts
            .iter()
            .map(|&(at, timeout)| (elapsed(at), timeout))
            .collect()
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let deadlines = [
            self.alice.conversation.deadline(),
            self.bob.conversation.deadline(),
        ];
        deadlines.into_iter().chain([arrival]).flatten().min()
    }

    fn act(&mut self, side: Side, action: impl FnOnce(&mut Host, Instant, &mut Vec<Vec<u8>>)) {
        let (now, mut out) = (self.now, Vec::new());
        action(self.host(side), now, &mut out);
        for bytes in out {
            let datagram = Datagram {
                at: now,
                from: side,
                kind: kind_of(&bytes),
                bytes,
            };
            for delay in (self.network)(&datagram) {
                self.transmitted += 1;
                self.under_way
                    .insert((now + delay, self.transmitted), datagram.clone());
            }
            self.wire.push(datagram);
        }
    }
}

fn kind_of(bytes: &[u8]) -> Kind {
    match Message::parse(bytes).unwrap() {
        Message::Initiation(_) => Kind::Initiation,
        Message::Response(_) => Kind::Response,
        Message::CookieReply(_) => Kind::Cookie,
        Message::Data(_) if bytes.len() == DATA_OVERHEAD => Kind::Keepalive,
        Message::Data(_) => Kind::Data,
    }
}
