//! The five timers of a peer (section 6; the kernel's `timers.c` for what the paper leaves open).
//!
//! A conversation is silent when nobody has anything to say, so its timers run only in answer to events:
//!
//! | timer | armed by | disarmed by | on expiry |
//! |---|---|---|---|
//! | retransmit | initiation sent: 5 s + jitter | handshake complete | after 18 counted expiries: give up, disarm keepalive, arm zero keys unless armed; else count, and send a new initiation |
//! | keepalive | data received: 10 s; if armed already, remember "another" | anything authenticated sent | send an empty packet; armed again behind it if there was "another" |
//! | new handshake | data sent, unless armed: 15 s + jitter | anything authenticated received | send a new initiation |
//! | zero keys | session derived: 540 s | (armed anew by the next) | wipe handshake and sessions |
//! | persistent keepalive | anything authenticated sent or received: the interval | switched off | send an empty packet |
//!
//! Data means a packet that is not empty. Together they give this: one side's data is answered within 10 s,
//! if only by an empty packet; so a sender who hears nothing for 15 s knows that the session is broken on the
//! other side. Empty packets ask for no answer, or two peers would keep each other awake for ever.
//!
//! What counts attempts is the *request*, not the initiation: each packet without a session and each keepalive begins
//! the count anew, also within the 5 s gate that keeps it from sending an initiation of its own (as in the kernel's
//! `wg_packet_send_queued_handshake_initiation`). So initiations go on, one in 5 s, for as long as somebody wants the
//! session; giving up takes about 100 s in which nobody asked. Under persistent keepalive below that, it never comes.
//!
//! Three refinements, each where following the kernel's order of operations would lose a packet:
//! the keepalive that is armed again is armed *behind* the empty packet that expiry sends, not cancelled by it,
//! while a packet sent earlier takes "another" with it, for it answered all data received so far;
//! a retransmission that meets the 5 s gate (because a response was sent meanwhile) waits for the gate, with
//! a new jitter and uncounted, where the kernel drops it; and persistent keepalive is armed again by its own expiry, so that
//! an interval below 5 s survives a handshake.

use core::time::Duration;

use rand_core::CryptoRng;

use crate::constants::{
    KEEPALIVE_TIMEOUT, MAX_HANDSHAKE_ATTEMPTS, MAX_JITTER, REKEY_TIMEOUT, ZERO_KEYS_AFTER_TIME,
};
use crate::time::Instant;

/// What an expired timer asks the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The initiation was not answered: forget the cached source address and initiate with [`Cause::Retry`](crate::Cause::Retry).
    RetryHandshake,
    /// No initiation was answered for about 100 s: drop the staged packets.
    GiveUp,
    /// Data was sent and nothing came back for 15 s: forget the cached source address and initiate with
    /// [`Cause::Fresh`](crate::Cause::Fresh).
    NewHandshake,
    /// Data was received and nothing was sent back for 10 s: send an empty packet.
    Keepalive,
    /// Nothing was sent or received for the persistent keepalive's interval: send an empty packet.
    PersistentKeepalive,
    /// No session was derived for 540 s; handshake and sessions have been wiped.
    ZeroKeys,
}

/// When a timer expires, if it is armed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Alarm(Instant);

impl Alarm {
    /// The end of time is never reached, so it stands for "not armed" and the alarm costs eight bytes.
    const OFF: Self = Self(Instant::from_nanos(u64::MAX));

    fn is_armed(self) -> bool {
        self != Self::OFF
    }

    fn arm(&mut self, at: Instant) {
        self.0 = at;
    }

    fn disarm(&mut self) {
        *self = Self::OFF;
    }
}

pub(crate) struct Timers {
    retransmit: Alarm,
    keepalive: Alarm,
    new_handshake: Alarm,
    zero_keys: Alarm,
    persistent: Alarm,
    persistent_interval: Option<Duration>,
    /// Expiries of `retransmit` since a handshake was last asked for.
    attempts: u8,
    /// Data was received while `keepalive` was armed.
    another: bool,
    /// The empty packet now to be sent is to arm `keepalive` again.
    again: bool,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self {
            retransmit: Alarm::OFF,
            keepalive: Alarm::OFF,
            new_handshake: Alarm::OFF,
            zero_keys: Alarm::OFF,
            persistent: Alarm::OFF,
            persistent_interval: None,
            attempts: 0,
            another: false,
            again: false,
        }
    }

    pub(crate) fn persistent_interval(&self) -> Option<Duration> {
        self.persistent_interval
    }

    /// Switching it on sends the first packet at once, as in the kernel; a shorter interval takes effect now,
    /// a longer one after the next packet.
    pub(crate) fn set_persistent_interval(&mut self, now: Instant, interval: Option<Duration>) {
        let interval = interval.filter(|interval| !interval.is_zero());
        match interval {
            Some(_) if self.persistent_interval.is_none() => self.persistent.arm(now),
            Some(interval) => self.persistent.arm((now + interval).min(self.persistent.0)),
            None => self.persistent.disarm(),
        }
        self.persistent_interval = interval;
    }

    /// Somebody asked for a session, whether or not an initiation follows at once.
    pub(crate) fn handshake_requested(&mut self) {
        self.attempts = 0;
    }

    pub(crate) fn initiation_sent(&mut self, now: Instant, jitter: Duration) {
        self.authenticated_sent(now);
        self.retransmit.arm(now + REKEY_TIMEOUT + jitter);
    }

    /// A data packet that is not empty was sent; `jitter` is called if it arms a timer.
    pub(crate) fn data_sent(&mut self, now: Instant, jitter: impl FnOnce() -> Duration) {
        self.authenticated_sent(now);
        if !self.new_handshake.is_armed() {
            self.new_handshake
                .arm(now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + jitter());
        }
    }

    pub(crate) fn keepalive_sent(&mut self, now: Instant) {
        let again = self.again;
        self.authenticated_sent(now);
        if again {
            self.keepalive.arm(now + KEEPALIVE_TIMEOUT);
        }
    }

    /// Anything authenticated was sent: data, an empty packet, a handshake message.
    pub(crate) fn authenticated_sent(&mut self, now: Instant) {
        self.keepalive.disarm();
        self.another = false;
        self.again = false;
        self.authenticated_traversed(now);
    }

    /// A data packet that is not empty was received.
    pub(crate) fn data_received(&mut self, now: Instant) {
        self.authenticated_received(now);
        if self.keepalive.is_armed() {
            self.another = true;
        } else {
            self.keepalive.arm(now + KEEPALIVE_TIMEOUT);
        }
    }

    /// Anything authenticated was received: data, an empty packet, a handshake message.
    pub(crate) fn authenticated_received(&mut self, now: Instant) {
        self.new_handshake.disarm();
        self.authenticated_traversed(now);
    }

    fn authenticated_traversed(&mut self, now: Instant) {
        if let Some(interval) = self.persistent_interval {
            self.persistent.arm(now + interval);
        }
    }

    pub(crate) fn handshake_complete(&mut self) {
        self.retransmit.disarm();
        self.attempts = 0;
    }

    pub(crate) fn session_derived(&mut self, now: Instant) {
        self.zero_keys.arm(now + ZERO_KEYS_AFTER_TIME);
    }

    pub(crate) fn keys_wiped(&mut self) {
        self.zero_keys.disarm();
    }

    /// Disarms all timers; the interval of persistent keepalive stays.
    pub(crate) fn stop(&mut self) {
        *self = Self {
            persistent_interval: self.persistent_interval,
            ..Self::new()
        };
    }

    /// After [`Timers::stop`]: persistent keepalive, if it is on, is due at once.
    pub(crate) fn resume(&mut self, now: Instant) {
        if self.persistent_interval.is_some() {
            self.persistent.arm(now);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let alarms = [
            self.retransmit,
            self.keepalive,
            self.new_handshake,
            self.zero_keys,
            self.persistent,
        ];
        alarms
            .into_iter()
            .filter(|alarm| alarm.is_armed())
            .map(|alarm| alarm.0)
            .min()
    }

    /// Expires the timer that is due for the longest time. `gate` is when the next initiation may be sent;
    /// `jitter` is called if a retransmission has to wait for it.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        gate: Instant,
        jitter: impl FnOnce() -> Duration,
    ) -> Option<Timeout> {
        if now < gate && self.retransmit.0 <= now && self.attempts <= MAX_HANDSHAKE_ATTEMPTS {
            self.retransmit.arm(gate + jitter());
        }
        let due = self.deadline().filter(|&due| due <= now).map(Alarm)?;
        if due == self.retransmit {
            self.retransmit.disarm();
            return Some(self.retransmit_expired(now));
        }
        if due == self.keepalive {
            self.keepalive.disarm();
            self.again = core::mem::take(&mut self.another);
            return Some(Timeout::Keepalive);
        }
        if due == self.new_handshake {
            self.new_handshake.disarm();
            return Some(Timeout::NewHandshake);
        }
        if due == self.zero_keys {
            self.zero_keys.disarm();
            return Some(Timeout::ZeroKeys);
        }
        self.persistent.disarm();
        self.authenticated_traversed(now);
        Some(Timeout::PersistentKeepalive)
    }

    fn retransmit_expired(&mut self, now: Instant) -> Timeout {
        if self.attempts <= MAX_HANDSHAKE_ATTEMPTS {
            self.attempts += 1;
            return Timeout::RetryHandshake;
        }
        self.keepalive.disarm();
        (self.another, self.again) = (false, false);
        if !self.zero_keys.is_armed() {
            self.zero_keys.arm(now + ZERO_KEYS_AFTER_TIME);
        }
        Timeout::GiveUp
    }
}

/// A random time below a third of a second. Draws 4 bytes, read as a little-endian fraction of 2^32.
pub(crate) fn jitter<R: CryptoRng + ?Sized>(rng: &mut R) -> Duration {
    let mut bytes = [0; 4];
    rng.fill_bytes(&mut bytes);
    let fraction = u64::from(u32::from_le_bytes(bytes));
    Duration::from_nanos((fraction * MAX_JITTER.as_nanos() as u64) >> 32)
}
