//! UDP trains: several datagrams of one size in one buffer, between the same two ends.
//!
//! The rules are those of Linux' `UDP_SEGMENT` and `UDP_GRO` (udp(7)): all datagrams of a train have the same
//! length, except that the last may be shorter; they share one destination; a train fits one UDP payload and
//! has at most 64 datagrams (newer kernels take 128, but say so only by failing).

use core::ops::Range;

/// The most datagrams of one train.
pub const MAX_DATAGRAMS: usize = 64;
/// The most bytes of one train: the largest UDP payload over IPv4, 65535 less 20 less 8.
pub const MAX_BYTES: usize = 65_507;

/// Cuts a received train into its datagrams: `segment` bytes each, the last one may be shorter.
///
/// A `segment` of 0 means that the kernel named none: the buffer is one datagram. An empty buffer has none.
pub fn datagrams(train: &[u8], segment: usize) -> impl ExactSizeIterator<Item = &[u8]> {
    train.chunks(if segment == 0 { train.len().max(1) } else { segment })
}

/// What decides about an outgoing datagram's place in a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<D> {
    /// Everything that datagrams of one train must share: the remote address, the local one, markings.
    pub destination: D,
    /// Length of the datagram.
    pub len: usize,
}

/// Finds the trains among `count` outgoing datagrams: consecutive ranges of indices, in order.
///
/// A train has at most `max_bytes` bytes and never more than [`MAX_BYTES`] or [`MAX_DATAGRAMS`]; a single
/// datagram that is longer is still handed out, alone, for the kernel to judge. An empty datagram is alone too:
/// at the end of a train it would vanish. An index that `describe` answers with `None` is in no train, and ends
/// the one before it.
///
/// `describe` is called with increasing indices, at most twice for each.
pub fn runs<D, F>(count: usize, max_bytes: usize, describe: F) -> Runs<F>
where
    D: PartialEq,
    F: FnMut(usize) -> Option<Outgoing<D>>,
{
    Runs {
        next: 0,
        count,
        max_bytes: max_bytes.min(MAX_BYTES),
        describe,
    }
}

/// The iterator of [`runs`].
#[derive(Clone, Debug)]
pub struct Runs<F> {
    next: usize,
    count: usize,
    max_bytes: usize,
    describe: F,
}

impl<D, F> Iterator for Runs<F>
where
    D: PartialEq,
    F: FnMut(usize) -> Option<Outgoing<D>>,
{
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let (start, first) = loop {
            if self.next >= self.count {
                return None;
            }
            let index = self.next;
            self.next += 1;
            if let Some(outgoing) = (self.describe)(index) {
                break (index, outgoing);
            }
        };
        let mut bytes = first.len;
        while self.next < self.count && self.next - start < MAX_DATAGRAMS && first.len > 0 {
            let Some(outgoing) = (self.describe)(self.next) else {
                break;
            };
            let longer = outgoing.len > first.len || outgoing.len == 0;
            if longer || outgoing.destination != first.destination || outgoing.len > self.room(bytes) {
                break;
            }
            bytes += outgoing.len;
            self.next += 1;
            if outgoing.len < first.len {
                break;
            }
        }
        Some(start..self.next)
    }
}

impl<F> Runs<F> {
    fn room(&self, bytes: usize) -> usize {
        self.max_bytes.saturating_sub(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    type Datagram = Option<(u8, usize)>;

    fn found(datagrams: &[Datagram], max_bytes: usize) -> Vec<Range<usize>> {
        let describe = |i: usize| datagrams[i].map(|(destination, len)| Outgoing { destination, len });
        runs(datagrams.len(), max_bytes, describe).collect()
    }

    /// The rules, read off the manual: may these datagrams travel as one train?
    fn is_train(datagrams: &[Datagram], max_bytes: usize) -> bool {
        let Some(datagrams) = datagrams.iter().copied().collect::<Option<Vec<_>>>() else {
            return false;
        };
        let Some((&(destination, len), (_, before_last))) = datagrams.first().zip(datagrams.split_last())
        else {
            return false;
        };
        let total: usize = datagrams.iter().map(|datagram| datagram.1).sum();
        let last = datagrams[datagrams.len() - 1].1;
        datagrams.len() == 1
            || datagrams.len() <= 64
                && total <= max_bytes.min(65_507)
                && datagrams.iter().all(|datagram| datagram.0 == destination)
                && before_last.iter().all(|datagram| datagram.1 == len)
                && (1..=len).contains(&last)
    }

    /// Greedy: the longest train from each index on.
    fn oracle(datagrams: &[Datagram], max_bytes: usize) -> Vec<Range<usize>> {
        let mut found = vec![];
        let mut start = 0;
        while start < datagrams.len() {
            let ends = (start + 1..=datagrams.len()).rev();
            match ends
                .into_iter()
                .find(|&end| is_train(&datagrams[start..end], max_bytes))
            {
                Some(end) => {
                    found.push(start..end);
                    start = end;
                }
                None => start += 1,
            }
        }
        found
    }

    proptest! {
        #[test]
        fn the_trains_are_the_longest_that_the_rules_allow(
            // Long stretches of equal datagrams, or the limits would never be met.
            stretches in prop::collection::vec(
                (0..3_u8, prop_oneof![Just(0), 1..4_usize, Just(1452), Just(40_000), Just(70_000)], 1..90_usize,
                 prop::bool::weighted(0.05)),
                0..8,
            ),
            max_bytes in prop_oneof![0..70_000_usize, Just(usize::MAX)],
        ) {
            let datagrams: Vec<Datagram> = stretches.into_iter()
                .flat_map(|(destination, len, count, absent)| {
                    vec![(!absent).then_some((destination, len)); count]
                })
                .collect();
            prop_assert_eq!(found(&datagrams, max_bytes), oracle(&datagrams, max_bytes));
        }

        #[test]
        fn a_train_cut_apart_is_its_datagrams(train: Vec<u8>, segment in 0..300_usize) {
            let pieces: Vec<&[u8]> = datagrams(&train, segment).collect();
            prop_assert_eq!(pieces.concat(), &train[..]);
            if let Some((last, others)) = pieces.split_last() {
                prop_assert!(segment == 0 || last.len() <= segment);
                prop_assert!(!last.is_empty());
                prop_assert!(others.iter().all(|piece| piece.len() == segment));
            }
        }
    }

    #[test]
    fn a_shorter_datagram_is_the_last_of_its_train() {
        let same = |len| Some((1, len));
        assert_eq!(
            found(&[same(9), same(9), same(5), same(5), same(9)], MAX_BYTES),
            [0..3, 3..4, 4..5]
        );
    }

    #[test]
    fn forty_five_full_packets_are_one_train_and_one_more_is_not() {
        let full = Some((1, 1452));
        assert_eq!(found(&[full; 45], MAX_BYTES).len(), 1);
        assert_eq!(found(&[full; 46], MAX_BYTES), [0..45, 45..46]);
    }

    #[test]
    fn sixty_four_datagrams_are_the_most() {
        assert_eq!(found(&[Some((1, 100)); 65], MAX_BYTES), [0..64, 64..65]);
    }

    #[test]
    fn a_larger_limit_than_one_payload_is_not_used() {
        assert_eq!(found(&[Some((1, 32_768)); 2], usize::MAX), [0..1, 1..2]);
    }

    #[test]
    fn without_a_segment_size_the_buffer_is_one_datagram() {
        assert_eq!(datagrams(&[1, 2, 3], 0).collect::<Vec<_>>(), [[1, 2, 3]]);
        assert_eq!(datagrams(&[], 0).len(), 0);
    }
}
