//! Echo requests of our own that wait for a reply.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::VecDeque;

use wirewright_protocol::Instant;

use crate::slots::PingId;

/// A request on its way.
pub(crate) struct Outstanding {
    pub(crate) id: PingId,
    pub(crate) destination: IpAddr,
    pub(crate) sequence: u16,
    /// The payload begins with it, as far as it is long enough: a reply without it is nobody's.
    pub(crate) token: [u8; 8],
    pub(crate) payload_len: usize,
    pub(crate) sent: Instant,
    /// An ICMP error was told; more would only repeat it.
    told_unreachable: bool,
}

/// Requests in the order of their sequence numbers, which is also that of their times.
pub(crate) struct Pings {
    waiting: VecDeque<Outstanding>,
    limit: usize,
    next_id: u64,
    next_sequence: u16,
    /// Of all requests of this stack.
    pub(crate) identifier: u16,
}

impl Pings {
    pub(crate) fn new(limit: usize, identifier: u16) -> Self {
        Self {
            waiting: VecDeque::new(),
            limit: limit.min(65_535),
            next_id: 0,
            next_sequence: 0,
            identifier,
        }
    }

    /// Notes a request. Returns it, and whether another was forgotten for it.
    pub(crate) fn begin(
        &mut self,
        destination: IpAddr,
        token: [u8; 8],
        payload_len: usize,
        sent: Instant,
    ) -> (PingId, u16, bool) {
        let forgets = self.waiting.len() >= self.limit;
        if forgets {
            self.waiting.pop_front();
        }
        let (id, sequence) = (PingId(self.next_id), self.next_sequence);
        self.next_id = self.next_id.wrapping_add(1);
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.waiting.push_back(Outstanding {
            id,
            destination,
            sequence,
            token,
            payload_len,
            sent,
            told_unreachable: false,
        });
        (id, sequence, forgets)
    }

    /// The request a reply belongs to, which then no longer waits.
    pub(crate) fn take_reply(
        &mut self,
        source: IpAddr,
        sequence: u16,
        payload: &[u8],
    ) -> Option<Outstanding> {
        let index = self.index_of(sequence)?;
        let known = self.waiting.get(index).is_some_and(|ping| {
            let shown = ping.token.iter().take(ping.payload_len);
            ping.destination == source
                && ping.payload_len == payload.len()
                && payload.iter().zip(shown).all(|(got, sent)| got == sent)
        });
        if known { self.waiting.remove(index) } else { None }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets a request, whose reply is then nobody's.
    pub(crate) fn cancel(&mut self, id: PingId) {
        self.waiting.retain(|ping| ping.id != id);
    }

    /// The request an ICMP error quotes, which goes on waiting. Found once only.
    pub(crate) fn quoted(&mut self, destination: IpAddr, identifier: u16, sequence: u16) -> Option<PingId> {
        let index = self.index_of(sequence)?;
        let ping = self.waiting.get_mut(index)?;
        let known = identifier == self.identifier && ping.destination == destination;
        let first = known && !ping.told_unreachable;
        ping.told_unreachable |= known;
        first.then_some(ping.id)
    }

    /// Forgets requests older than `age` and tells how many.
    pub(crate) fn expire(&mut self, now: Instant, age: Duration) -> u64 {
        let mut expired = 0;
        while self.waiting.front().is_some_and(|ping| ping.sent + age <= now) {
            self.waiting.pop_front();
            expired += 1;
        }
        expired
    }

    /// Replies taken leave gaps, so this is a search; sequence numbers ascend from the front's, modulo 2^16.
    fn index_of(&self, sequence: u16) -> Option<usize> {
        let first = self.waiting.front()?.sequence;
        let wanted = sequence.wrapping_sub(first);
        self.waiting
            .binary_search_by_key(&wanted, |ping| ping.sequence.wrapping_sub(first))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESTINATION: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 2));

    fn begin(pings: &mut Pings, at: u64) -> (PingId, u16) {
        let (id, sequence, _) = pings.begin(DESTINATION, [9; 8], 8, Instant::from_nanos(at));
        (id, sequence)
    }

    #[test]
    fn replies_are_matched_across_gaps_and_the_wrap_of_the_sequence_number() {
        let mut pings = Pings::new(10, 1);
        pings.next_sequence = 65_533;
        let sent: Vec<_> = (0..6).map(|at| begin(&mut pings, at)).collect();
        for index in [3, 0, 5, 1, 4, 2] {
            let (id, sequence) = sent[index];
            assert_eq!(pings.take_reply(DESTINATION, sequence, &[9; 8]).unwrap().id, id);
            assert!(pings.take_reply(DESTINATION, sequence, &[9; 8]).is_none());
        }
    }

    #[test]
    fn a_reply_from_elsewhere_or_with_another_payload_is_nobodys() {
        let mut pings = Pings::new(10, 1);
        let (_, sequence) = begin(&mut pings, 0);
        assert!(
            pings
                .take_reply([10, 0, 0, 3].into(), sequence, &[9; 8])
                .is_none()
        );
        assert!(pings.take_reply(DESTINATION, sequence, &[8; 8]).is_none());
        assert!(pings.take_reply(DESTINATION, sequence, &[9; 7]).is_none());
        assert!(pings.take_reply(DESTINATION, sequence, &[9; 8]).is_some());
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many_or_it_is_too_old() {
        let mut pings = Pings::new(2, 1);
        let (_, first) = begin(&mut pings, 0);
        begin(&mut pings, 1);
        assert!(pings.begin(DESTINATION, [9; 8], 8, Instant::from_nanos(2)).2);
        assert!(pings.take_reply(DESTINATION, first, &[9; 8]).is_none());
        assert_eq!(pings.expire(Instant::from_nanos(11), Duration::from_nanos(10)), 1);
    }
}
