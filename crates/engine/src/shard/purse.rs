//! What received datagrams pay for.
//!
//! # Theory
//!
//! Handshake messages may take a share of the time that data takes, and no more. So each received datagram pays a
//! little into a [`Purse`], a data message more the longer it is, and a purse that does not hold the price of something
//! says no. If all datagrams paid alike, a flood would pay for itself: at sixteen of its messages for each of data,
//! what was done for it took two thirds of the time (`make bench`, flood). Paying by the datagram and not by the batch
//! makes the share the same however a socket cuts its batches. A purse is bounded, so that a quiet hour does not pay
//! for a stampede.
//!
//! Time pays, too, as if datagrams came at a steady pace: so whoever gets hardly any data still answers handshakes in a
//! flood. And where no data came for [`QUIET`] and nothing waits, nobody is kept waiting by a handshake: time is free.
//! A moment in which nothing waits is not enough for that, since a stream that is held up by handshakes lets the socket
//! run empty: at 5,000 initiations a second, all of which were worked on, a download lost a third.
//!
//! **Whose time?** That of a thread, since that is what datagrams wait for. A shard with a thread of its own has a
//! [`Pace`] of its own. Shards that share a thread share a pace, too (the [`Engine`](crate::Engine)'s): there a flood
//! fills the socket for all of them, and a shard that gets few datagrams itself would otherwise wait for its
//! handshakes until the flood is over.

use core::time::Duration;

use wirewright_protocol::Instant;

use crate::limits::Limits;

/// A bounded store of what received datagrams paid in.
pub(super) struct Purse {
    held: u32,
    price: u32,
    most: u32,
}

impl Purse {
    /// A full purse, which holds `most` times the price.
    pub(super) fn new(price: u32, most: u32) -> Self {
        let most = price.saturating_mul(most);
        Self {
            held: most,
            price,
            most,
        }
    }

    pub(super) fn fill(&mut self) {
        self.held = self.most;
    }

    pub(super) fn earn(&mut self, datagrams: u32) {
        self.held = self.held.saturating_add(datagrams).min(self.most);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held < self.price
    }

    /// What is missing for one more.
    fn missing(&self) -> u32 {
        self.price.saturating_sub(self.held)
    }

    pub(super) fn spend(&mut self) -> bool {
        let left = self.held.checked_sub(self.price);
        self.held = left.unwrap_or(self.held);
        left.is_some()
    }
}

/// For so long after data came, more of it is expected.
pub(super) const QUIET: Duration = Duration::from_millis(10);

/// What time pays in.
pub(super) struct Wages {
    /// Nanoseconds that are worth a datagram.
    each: u64,
    paid_until: Option<Instant>,
}

impl Wages {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            each: limits.time_per_datagram.as_nanos() as u64,
            paid_until: None,
        }
    }

    /// How many datagrams the time since the last call is worth.
    pub(super) fn until(&mut self, now: Instant) -> u32 {
        let before = self.paid_until.replace(now);
        match before {
            // The batches of a round share its time, so this is the usual case.
            Some(before) if before != now => {
                let elapsed = now.saturating_since(before).as_nanos() as u64;
                let worth = elapsed.checked_div(self.each).unwrap_or(0);
                u32::try_from(worth).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }
}

/// How many handshake messages a thread works on before it looks for datagrams again.
pub(crate) struct Pace {
    purse: Purse,
    wages: Wages,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let price = limits.datagrams_per_handshake.max(1);
        Self {
            purse: Purse::new(price, limits.handshakes_per_idle_poll),
            wages: Wages::new(limits),
        }
    }

    /// A round begins. `datagrams` were paid in since the last one; if nobody waits for data, the time is free.
    pub(crate) fn begin(&mut self, now: Instant, busy: bool, datagrams: u32) {
        let wages = self.wages.until(now);
        if busy {
            self.purse.earn(datagrams.saturating_add(wages));
        } else {
            self.purse.fill();
        }
    }

    /// When time alone will have paid for the next message.
    pub(crate) fn due(&self) -> Instant {
        let missing = u64::from(self.purse.missing());
        let wait = Duration::from_nanos(missing.saturating_mul(self.wages.each));
        self.wages.paid_until.unwrap_or_default() + wait
    }

    /// Whether another message may be worked on.
    pub(crate) fn spend(&mut self) -> bool {
        self.purse.spend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purse_pays_one_in_so_many_datagrams_and_never_more_than_it_holds() {
        let mut purse = Purse::new(4, 3);
        assert_eq!((0..10).filter(|_| purse.spend()).count(), 3);
        let bought = (0..100).filter(|_| {
            purse.earn(1);
            purse.spend()
        });
        assert_eq!(bought.count(), 25);
        purse.earn(u32::MAX);
        assert_eq!((0..10).filter(|_| purse.spend()).count(), 3);
    }

    #[test]
    fn what_costs_nothing_is_never_refused() {
        let mut purse = Purse::new(0, 0);
        assert!((0..10).all(|_| purse.spend()));
    }

    #[test]
    fn nothing_is_worked_on_twice_for_the_same_datagrams() {
        let limits = Limits {
            datagrams_per_handshake: 100,
            handshakes_per_idle_poll: 2,
            ..Limits::default()
        };
        let mut pace = Pace::new(&limits);
        let mut round = |busy, datagrams| {
            pace.begin(Instant::default(), busy, datagrams);
            (0..10).filter(|_| pace.spend()).count()
        };
        assert_eq!(round(false, 0), 2);
        assert_eq!(round(true, 99), 0);
        assert_eq!(round(true, 1), 1);
        assert_eq!(round(true, 100_000), 2);
        assert_eq!(round(false, 0), 2);
    }

    #[test]
    fn time_pays_as_well_as_datagrams() {
        let limits = Limits {
            datagrams_per_handshake: 1000,
            handshakes_per_idle_poll: 2,
            time_per_datagram: Duration::from_micros(1),
            ..Limits::default()
        };
        let mut pace = Pace::new(&limits);
        let mut after = |millis: u64| {
            pace.begin(Instant::from_nanos(millis * 1_000_000), true, 0);
            (0..10).filter(|_| pace.spend()).count()
        };
        assert_eq!(after(500), 2, "a new purse is full");
        assert_eq!([after(500), after(501), after(501), after(502)], [0, 1, 0, 1]);
        assert_eq!(after(3_600_000), 2);
        assert_eq!(pace.due(), Instant::from_nanos(3_600_001 * 1_000_000));
    }
}
