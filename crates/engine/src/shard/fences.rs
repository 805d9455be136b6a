//! The fences before the handshake queue, and the queue.
//!
//! # Theory
//!
//! A handshake costs as much as a hundred data messages, and only to look at a handshake message costs about half of
//! one. So under load looking has its price as well: each received datagram pays a little into two [`Purse`]s, one
//! for checking MACs and one for cookie replies, and what they do not hold is dropped unread. Paying by the datagram
//! and not by the batch makes the share the same however a socket cuts its batches.
//!
//! A flood from forged addresses empties both purses, and a genuine initiation would be read by luck only. Two kinds
//! of message therefore need no purse, because no blind flood contains them: a response to a pending initiation of
//! ours (its receiver index is random), and a message from an address that a peer had a handshake from before (see
//! [`KnownSources`](crate::load::KnownSources)), within the token bucket of that address. They owe mac2 like all
//! others, but their cookie reply is certain, so that sessions are renewed during a flood, one retry later.
//!
//! What carries a valid mac2 waits in a queue of its own and is served first: what came before the shard was under
//! load may be the flood itself.

use rand_core::CryptoRng;
use wirewright_protocol::{Initiation, Message};

use super::{Moment, Shard, peer_at};
use crate::batch::Batch;
use crate::counters::Event;
use crate::limits::Limits;
use crate::output::Output;
use crate::peer::Endpoint;

/// A handshake message that waits for its turn.
pub(super) struct Waiting {
    bytes: [u8; size_of::<Initiation>()],
    len: u8,
    pub(super) path: Endpoint,
}

impl Waiting {
    fn new(message: &[u8], path: Endpoint) -> Option<Self> {
        let mut bytes = [0; size_of::<Initiation>()];
        bytes.get_mut(..message.len())?.copy_from_slice(message);
        Some(Self {
            bytes,
            len: message.len() as u8,
            path,
        })
    }

    pub(super) fn message(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// What handshake messages may cost while the shard is under load.
pub(super) struct Allowance {
    under_load: bool,
    checks: Purse,
    cookies: Purse,
    /// Since a handshake message was last worked on.
    datagrams: u32,
}

impl Allowance {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            under_load: false,
            checks: Purse::new(limits.datagrams_per_check, limits.checks_at_once),
            cookies: Purse::new(limits.datagrams_per_cookie, limits.cookies_at_once),
            datagrams: 0,
        }
    }

    /// How many handshake messages may be worked on now, while more datagrams wait.
    pub(super) fn handshakes(&self, limits: &Limits) -> u32 {
        self.datagrams
            .checked_div(limits.datagrams_per_handshake)
            .unwrap_or(u32::MAX)
    }

    /// A handshake message is worked on.
    pub(super) fn handshake_done(&mut self) {
        self.datagrams = 0;
    }

    /// Nothing else waits, so the time is free.
    pub(super) fn idle(&mut self) {
        self.checks.fill();
        self.cookies.fill();
    }

    fn earn(&mut self, datagrams: u32) {
        self.datagrams = self.datagrams.saturating_add(datagrams);
        self.checks.earn(datagrams);
        self.cookies.earn(datagrams);
    }
}

/// A bounded store of what received datagrams paid in.
struct Purse {
    held: u32,
    price: u32,
    most: u32,
}

impl Purse {
    /// A full purse, which holds `most` times the price.
    fn new(price: u32, most: u32) -> Self {
        let most = price.saturating_mul(most);
        Self {
            held: most,
            price,
            most,
        }
    }

    fn fill(&mut self) {
        self.held = self.most;
    }

    fn earn(&mut self, datagrams: u32) {
        self.held = self.held.saturating_add(datagrams).min(self.most);
    }

    fn is_empty(&self) -> bool {
        self.held < self.price
    }

    fn spend(&mut self) -> bool {
        let left = self.held.checked_sub(self.price);
        self.held = left.unwrap_or(self.held);
        left.is_some()
    }
}

impl<R: CryptoRng> Shard<R> {
    /// Before a received batch: is the shard under load, and what do its datagrams pay in?
    pub(super) fn begin_batch(&mut self, at: Moment, batch: &Batch) {
        self.allowance.earn(batch.len() as u32);
        let queued = self.proven.len() + self.waiting.len();
        self.allowance.under_load = self.load.observe(at.now, queued, &self.limits);
    }

    /// Puts an initiation or a response into the queue, if it passes the fences.
    pub(super) fn enqueue_handshake(
        &mut self,
        at: Moment,
        message: Message<'_>,
        bytes: &[u8],
        path: Endpoint,
        output: &mut Output,
    ) {
        if self.identity.is_none() {
            self.counters.add(Event::NoIdentity, 1);
            return;
        }
        if self.proven.len() + self.waiting.len() >= self.limits.handshake_queue {
            self.counters.add(Event::HandshakeQueueFull, 1);
            return;
        }
        let under_load = self.allowance.under_load;
        let refusal = if under_load {
            self.refuse_under_load(at, message, bytes, path, output)
        } else if self.has_mac1(bytes) {
            None
        } else {
            Some(Event::BadMac1)
        };
        match (refusal, Waiting::new(bytes, path)) {
            (Some(event), _) => self.counters.add(event, 1),
            (None, Some(waiting)) if under_load => self.proven.push_back(waiting),
            (None, Some(waiting)) => self.waiting.push_back(waiting),
            (None, None) => (),
        }
    }

    /// Why a message is not queued while the shard is under load. The cheap reasons come first.
    fn refuse_under_load(
        &mut self,
        at: Moment,
        message: Message<'_>,
        bytes: &[u8],
        path: Endpoint,
        output: &mut Output,
    ) -> Option<Event> {
        let awaited = match message {
            Message::Response(response) if self.awaits(response.receiver()) => true,
            Message::Response(_) => return Some(Event::ResponseUnexpected),
            _ => false,
        };
        let known = self.known_sources.contains(&path.remote)
            && self.rate_limiter.allow(at.now, path.remote.ip(), &self.limits);
        let preferred = awaited || known;
        if !preferred {
            // Without mac2 the answer is a cookie reply or nothing, so there is nothing to be read first.
            if bytes.last_chunk() == Some(&[0; 16]) && self.allowance.cookies.is_empty() {
                self.counters.add(Event::CookieWithheld, 1);
                return Some(Event::MissingMac2);
            }
            if !self.allowance.checks.spend() {
                return Some(Event::HandshakeUnread);
            }
        }
        if !self.has_mac1(bytes) {
            return Some(Event::BadMac1);
        }
        let Some(cookies) = &self.cookies else {
            return Some(Event::NoIdentity);
        };
        if !cookies.check_mac2(at.now, bytes, path.remote) {
            if !preferred && !self.allowance.cookies.spend() {
                self.counters.add(Event::CookieWithheld, 1);
            } else if let Some(reply) = cookies.reply(at.now, &mut self.rng, bytes, path.remote) {
                output.signal(path, reply.as_bytes());
                self.counters.add(Event::CookieSent, 1);
            }
            return Some(Event::MissingMac2);
        }
        if !known && !self.rate_limiter.allow(at.now, path.remote.ip(), &self.limits) {
            return Some(Event::RateLimited);
        }
        None
    }

    fn has_mac1(&self, bytes: &[u8]) -> bool {
        self.identity
            .as_ref()
            .is_some_and(|identity| identity.check_mac1(bytes))
    }

    /// Whether an initiation of ours with this index waits for a response.
    fn awaits(&mut self, index: u32) -> bool {
        self.indices
            .slot(index)
            .and_then(|slot| peer_at(&mut self.peers, slot))
            .is_some_and(|peer| peer.conversation.handshake_index() == Some(index))
    }
}
