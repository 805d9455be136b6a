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
//! **Whose time?** That of a thread, since that is what datagrams wait for. A shard with a thread of its own has a
//! [`Pace`] of its own. Shards that share a thread share a pace, too (the [`Engine`](crate::Engine)'s): there a flood
//! fills the socket for all of them, and a shard that gets few datagrams itself would otherwise wait for its
//! handshakes until the flood is over.

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

    pub(super) fn spend(&mut self) -> bool {
        let left = self.held.checked_sub(self.price);
        self.held = left.unwrap_or(self.held);
        left.is_some()
    }
}

/// How many handshake messages a thread works on before it looks for datagrams again.
pub(crate) struct Pace(Purse);

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let price = limits.datagrams_per_handshake.max(1);
        Self(Purse::new(price, limits.handshakes_per_idle_poll))
    }

    /// A round begins. `datagrams` were received since the last one; if no more of them wait, the time is free.
    pub(crate) fn begin(&mut self, busy: bool, datagrams: u32) {
        if busy {
            self.0.earn(datagrams);
        } else {
            self.0.fill();
        }
    }

    /// Whether another message may be worked on.
    pub(crate) fn spend(&mut self) -> bool {
        self.0.spend()
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
            pace.begin(busy, datagrams);
            (0..10).filter(|_| pace.spend()).count()
        };
        assert_eq!(round(false, 0), 2);
        assert_eq!(round(true, 99), 0);
        assert_eq!(round(true, 1), 1);
        assert_eq!(round(true, 100_000), 2);
        assert_eq!(round(false, 0), 2);
    }
}
