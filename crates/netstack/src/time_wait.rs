//! What is left of connections in TIME-WAIT that nobody holds: enough to acknowledge a repeated FIN, and no buffers.

use std::collections::{HashMap, VecDeque};

use wirewright_protocol::Instant;

use crate::demux::{Segment, TupleKey};
use crate::hash::KeyedHash;

/// A connection's last state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// What both sides would send next.
    pub(crate) send_next: u32,
    pub(crate) receive_next: u32,
    pub(crate) until: Instant,
}

/// What a segment for such a connection is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing. It may even be a reset, which must not end TIME-WAIT (RFC 1337) unless it answers what a SYN got for an
    /// answer: then the remote side has nothing any more but a new connection to begin (RFC 9293 3.10.7.3).
    Ignore,
    /// The last acknowledgement again: it was lost.
    Acknowledge(Rest),
    /// The beginning of another connection, whose numbers cannot be mistaken for the old ones (RFC 9293 3.10.7.4).
    Reopen,
}

#[derive(Clone, Copy)]
struct Waiting {
    rest: Rest,
    /// A SYN was answered with an acknowledgement.
    challenged: bool,
}

pub(crate) struct TimeWait {
    by_tuple: HashMap<TupleKey, Waiting, KeyedHash>,
    /// In the order of their ends.
    order: VecDeque<(Instant, TupleKey)>,
    limit: usize,
}

impl TimeWait {
    pub(crate) fn new(limit: usize, hash: KeyedHash) -> Self {
        Self {
            by_tuple: HashMap::with_hasher(hash),
            order: VecDeque::new(),
            limit: limit.max(1),
        }
    }

    /// Remembers a connection. `true` if another was forgotten for it.
    pub(crate) fn insert(&mut self, key: TupleKey, rest: Rest) -> bool {
        let forgets = self.order.len() >= self.limit;
        if forgets {
            self.forget_oldest();
        }
        self.by_tuple.insert(
            key,
            Waiting {
                rest,
                challenged: false,
            },
        );
        self.order.push_back((rest.until, key));
        forgets
    }

    pub(crate) fn contains(&self, key: &TupleKey) -> bool {
        self.by_tuple.contains_key(key)
    }

    /// Forgets what has waited long enough.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    /// `None` if there is no such connection.
    pub(crate) fn judge(&mut self, segment: &Segment, now: Instant) -> Option<Verdict> {
        if self.by_tuple.is_empty() {
            return None;
        }
        let key = segment.tuple.key();
        let waiting = self.by_tuple.get_mut(&key)?;
        let rest = waiting.rest;
        let is_newer = segment.sequence.wrapping_sub(rest.receive_next) < 0x8000_0000;
        if rest.until <= now || (segment.is_first() && is_newer) {
            self.by_tuple.remove(&key);
            return Some(Verdict::Reopen);
        }
        let is_next = segment.sequence == rest.receive_next;
        if segment.rst {
            if waiting.challenged && is_next {
                self.by_tuple.remove(&key);
            }
            return Some(Verdict::Ignore);
        }
        waiting.challenged |= segment.is_first();
        Some(if is_next && segment.segment_len == 0 {
            Verdict::Ignore
        } else {
            Verdict::Acknowledge(rest)
        })
    }

    /// The order may name connections that were reopened, and closed again since.
    fn forget_oldest(&mut self) {
        let Some((until, key)) = self.order.pop_front() else {
            return;
        };
        if self
            .by_tuple
            .get(&key)
            .is_some_and(|waiting| waiting.rest.until == until)
        {
            self.by_tuple.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demux::Tuple;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: ([10, 0, 0, 1], 80).into(),
            remote: ([10, 0, 0, 2], port).into(),
        }
    }

    fn segment(port: u16, sequence: u32) -> Segment {
        Segment {
            tuple: tuple(port),
            syn: false,
            ack: true,
            rst: false,
            sequence,
            ack_number: 500,
            window: 1_000,
            sack: [None; 3],
            most_segment: None,
            window_scale: None,
            selective: false,
            segment_len: 0,
            payload_len: 0,
        }
    }

    fn waiting(limit: usize, ports: impl Iterator<Item = u16>) -> TimeWait {
        let mut waiting = TimeWait::new(limit, KeyedHash::new(&mut ChaCha20Rng::from_seed([1; 32])));
        for port in ports {
            let until = at(10 + u64::from(port));
            waiting.insert(
                tuple(port).key(),
                Rest {
                    send_next: 500,
                    receive_next: 1_000,
                    until,
                },
            );
        }
        waiting
    }

    #[test]
    fn a_repeated_fin_is_acknowledged_and_a_reset_ignored() {
        let mut waiting = waiting(4, 1..=1);
        let mut fin = segment(1, 999);
        fin.segment_len = 1;
        assert!(
            matches!(waiting.judge(&fin, at(5)), Some(Verdict::Acknowledge(rest)) if rest.send_next == 500)
        );
        let mut reset = segment(1, 1_000);
        reset.rst = true;
        assert_eq!(waiting.judge(&reset, at(5)), Some(Verdict::Ignore));
        assert_eq!(waiting.judge(&segment(1, 1_000), at(5)), Some(Verdict::Ignore));
        assert_eq!(waiting.judge(&segment(2, 1_000), at(5)), None);
    }

    #[test]
    fn a_newer_syn_reopens_and_an_older_one_does_not() {
        let mut waiting = waiting(4, 1..=1);
        let mut syn = segment(1, 998);
        (syn.syn, syn.ack, syn.segment_len) = (true, false, 1);
        assert!(matches!(
            waiting.judge(&syn, at(5)),
            Some(Verdict::Acknowledge(_))
        ));
        syn.sequence = 1_001;
        assert_eq!(waiting.judge(&syn, at(5)), Some(Verdict::Reopen));
        assert_eq!(waiting.judge(&syn, at(5)), None);
    }

    #[test]
    fn a_reset_makes_room_only_if_it_answers_what_a_syn_got() {
        let mut waiting = waiting(4, 1..=1);
        let mut reset = segment(1, 1_000);
        (reset.rst, reset.ack) = (true, false);
        waiting.judge(&reset, at(5));
        assert!(waiting.contains(&tuple(1).key()), "nothing was asked");
        let mut syn = segment(1, 600);
        (syn.syn, syn.ack, syn.segment_len) = (true, false, 1);
        waiting.judge(&syn, at(5));
        reset.sequence = 1_001;
        waiting.judge(&reset, at(5));
        assert!(waiting.contains(&tuple(1).key()), "another number was told");
        reset.sequence = 1_000;
        assert_eq!(waiting.judge(&reset, at(5)), Some(Verdict::Ignore));
        assert!(!waiting.contains(&tuple(1).key()));
    }

    #[test]
    fn the_oldest_is_forgotten_for_a_new_one_and_each_in_its_time() {
        let mut waiting = waiting(3, 1..=5);
        assert!(!waiting.contains(&tuple(2).key()) && waiting.contains(&tuple(3).key()));
        waiting.expire(at(14));
        assert!(!waiting.contains(&tuple(4).key()) && waiting.contains(&tuple(5).key()));
    }
}
