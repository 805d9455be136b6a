//! The fences before the handshake queue, and the queue.
//!
//! # Theory
//!
//! A handshake costs as much as a hundred data messages, and only to look at a handshake message costs about half of
//! one. So under load looking has its price as well: each received datagram pays a little into a [`Purse`] for
//! checking MACs and into one for cookie replies, data messages pay most, and what the purses do not hold is dropped
//! unread.
//!
//! A flood from forged addresses empties both purses, and a genuine initiation would be read by luck only. Some
//! messages therefore do not depend on them:
//!
//! | message | read | cookie reply |
//! |---|---|---|
//! | response to a pending initiation of ours | always | always |
//! | from a known source, within its bucket of readings | always | always |
//! | from a known source, beyond that | if the purses of known sources pay | likewise |
//! | all others | if the purses of strangers pay | likewise |
//!
//! The first is in no blind flood, since its receiver index is random. A *known source* is an address that a peer had
//! a handshake from before (see [`KnownSources`](crate::load::KnownSources)), so that sessions are renewed during a
//! flood, one retry later. Whoever knows such an address can forge it, so two things hold. Reading is bounded for
//! each source by time, and that bucket belongs to nobody else; when forgeries have emptied it, the purses of known
//! sources still read one message in a few, so that a peer whose address is forged is slowed down, but not locked
//! out, and other peers do not notice. And the token of a *handshake* is taken last, behind mac1 and mac2: only who
//! receives what is sent to an address can spend it.
//!
//! What carries a valid mac2 waits in a queue of its own and is served first: what came before the shard was under
//! load may be the flood itself.

use rand_core::CryptoRng;
use wirewright_protocol::{Initiation, Instant, Message};

use super::purse::{Purse, QUIET, Wages};
use super::{Moment, Shard, peer_at};
use crate::batch::Batch;
use crate::counters::Event;
use crate::job::OpenJob;
use crate::limits::Limits;
use crate::output::Output;
use crate::peer::Endpoint;

/// A data message pays once more for each so many bytes, so that a large one pays sixteen times what a small one does.
const DATA_BYTES: u32 = 96;

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
    strangers: Purses,
    known: Purses,
    wages: Wages,
    /// What datagrams paid in since the pace was last told.
    datagrams: u32,
    last_data: Option<Instant>,
}

/// What pays for looking at handshake messages.
struct Purses {
    checks: Purse,
    cookies: Purse,
}

impl Allowance {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            under_load: false,
            strangers: Purses {
                checks: Purse::new(limits.datagrams_per_check, limits.checks_at_once),
                cookies: Purse::new(limits.datagrams_per_cookie, limits.cookies_at_once),
            },
            known: Purses {
                checks: Purse::new(limits.datagrams_per_known_check, limits.checks_at_once),
                cookies: Purse::new(limits.datagrams_per_known_cookie, limits.cookies_at_once),
            },
            wages: Wages::new(limits),
            datagrams: 0,
            last_data: None,
        }
    }

    /// Whether no data came lately.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.last_data
            .is_none_or(|last| now.saturating_since(last) >= QUIET)
    }

    /// What datagrams paid in since the last call.
    pub(super) fn take_datagrams(&mut self) -> u32 {
        core::mem::take(&mut self.datagrams)
    }

    /// Nobody waits for data, so the time is free.
    pub(super) fn idle(&mut self) {
        for purses in [&mut self.strangers, &mut self.known] {
            purses.checks.fill();
            purses.cookies.fill();
        }
    }

    /// Datagrams came, or what data messages pay besides.
    fn earn(&mut self, datagrams: u32) {
        self.datagrams = self.datagrams.saturating_add(datagrams);
        self.put(datagrams);
    }

    fn put(&mut self, datagrams: u32) {
        for purses in [&mut self.strangers, &mut self.known] {
            purses.checks.earn(datagrams);
            purses.cookies.earn(datagrams);
        }
    }
}

impl<R: CryptoRng> Shard<R> {
    /// Before a received batch: is the shard under load, and what do its datagrams pay in?
    pub(super) fn begin_batch(&mut self, at: Moment, batch: &Batch) {
        self.allowance.earn(batch.packets().count() as u32);
        let wages = self.allowance.wages.until(at.now);
        self.allowance.put(wages);
        self.allowance.under_load = self.load.observe(at.now, self.handshakes_waiting(), &self.limits);
    }

    /// After a received batch: what do the data messages in it pay in besides?
    pub(super) fn end_batch(&mut self, at: Moment, job: &OpenJob) {
        self.allowance.last_data = Some(at.now);
        let bytes: u32 = job.packets.iter().map(|packet| packet.len).sum();
        self.allowance.earn(bytes / DATA_BYTES);
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
        if self.handshakes_waiting() >= self.limits.handshake_queue {
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
        if let Some(event) = refusal {
            self.counters.add(event, 1);
        } else if let Some(waiting) = Waiting::new(bytes, path) {
            let queue = if under_load {
                &mut self.proven
            } else {
                &mut self.waiting
            };
            queue.push_back(waiting);
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
        let known = self.known_sources.contains(&path.remote);
        let free = awaited || known && self.readings.allow(at.now, path.remote.ip(), &self.limits);
        let purses = match (free, known) {
            (true, _) => None,
            (false, true) => Some(&mut self.allowance.known),
            (false, false) => Some(&mut self.allowance.strangers),
        };
        if let Some(purses) = purses {
            // Without mac2 the answer is a cookie reply or nothing, so there is nothing to be read first.
            if bytes.last_chunk() == Some(&[0; 16]) && purses.cookies.is_empty() {
                self.counters.add(Event::CookieWithheld, 1);
                return Some(Event::MissingMac2);
            }
            if !purses.checks.spend() {
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
            let purses = match known {
                true => &mut self.allowance.known,
                false => &mut self.allowance.strangers,
            };
            if !free && !purses.cookies.spend() {
                self.counters.add(Event::CookieWithheld, 1);
            } else if let Some(reply) = cookies.reply(at.now, &mut self.rng, bytes, path.remote) {
                output.signal(path, reply.as_bytes());
                self.counters.add(Event::CookieSent, 1);
            }
            return Some(Event::MissingMac2);
        }
        if !self.rate_limiter.allow(at.now, path.remote.ip(), &self.limits) {
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
