//! Sets of offsets as disjoint ranges: what a receiver has beyond a hole, and what a sender knows that it has.

/// Disjoint ranges that do not touch, ascending, and at most so many.
pub(super) struct Ranges {
    ranges: Vec<(u64, u64)>,
    limit: usize,
}

impl Ranges {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            ranges: Vec::new(),
            limit,
        }
    }

    /// Adds `start..end`, and tells each part of it that was not there before. `false`, and nothing is added, if that
    /// would be one range too many.
    pub(super) fn insert(&mut self, start: u64, end: u64, mut news: impl FnMut(u64, u64)) -> bool {
        let from = self.ranges.partition_point(|range| range.1 < start);
        let to = self.ranges.partition_point(|range| range.0 <= end);
        let joined = self.ranges.get(from..to).unwrap_or_default();
        if joined.is_empty() && self.ranges.len() >= self.limit {
            return false;
        }
        let (mut at, mut whole) = (start, (start, end));
        for &(left, right) in joined {
            if left > at {
                news(at, left.min(end));
            }
            at = at.max(right);
            whole = (whole.0.min(left), whole.1.max(right));
        }
        if at < end {
            news(at, end);
        }
        if let [only] = self.ranges.get_mut(from..to).unwrap_or_default() {
            *only = whole;
        } else {
            self.ranges.splice(from..to, [whole]);
        }
        true
    }

    /// Forgets everything below an offset.
    pub(super) fn cut(&mut self, below: u64) {
        let gone = self.ranges.partition_point(|range| range.1 <= below);
        self.ranges.drain(..gone);
        if let Some(first) = self.ranges.first_mut() {
            first.0 = first.0.max(below);
        }
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.ranges.first().copied()
    }

    pub(super) fn last(&self) -> Option<(u64, u64)> {
        self.ranges.last().copied()
    }

    /// The range that an offset is in.
    pub(super) fn around(&self, offset: u64) -> Option<(u64, u64)> {
        let at = self.ranges.partition_point(|range| range.1 <= offset);
        self.ranges.get(at).copied().filter(|range| range.0 <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn it_is_the_set_of_all_that_was_added() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..200 {
            let (mut ranges, mut model) = (Ranges::new(100), [false; 64]);
            for _ in 0..20 {
                let start = rng.next_u64() % 60;
                let end = start + 1 + rng.next_u64() % 4;
                let mut news = vec![];
                assert!(ranges.insert(start, end, |from, to| news.extend(from..to)));
                let expected: Vec<u64> = (start..end).filter(|at| !model[*at as usize]).collect();
                assert_eq!(news, expected);
                (start..end).for_each(|at| model[at as usize] = true);
                if rng.next_u64() % 8 == 0 {
                    let below = rng.next_u64() % 20;
                    ranges.cut(below);
                    (0..below).for_each(|at| model[at as usize] = false);
                }
                for at in 0..64 {
                    assert_eq!(ranges.around(at).is_some(), model[at as usize], "{at}");
                }
                assert!(ranges.as_slice().windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }

    #[test]
    fn the_number_of_ranges_is_bounded_and_what_joins_one_is_still_taken() {
        let mut ranges = Ranges::new(3);
        for at in [10, 20, 30] {
            assert!(ranges.insert(at, at + 1, |_, _| {}));
        }
        assert!(!ranges.insert(40, 41, |_, _| {}));
        assert!(ranges.insert(31, 32, |_, _| {}));
        assert_eq!(ranges.as_slice(), [(10, 11), (20, 21), (30, 32)]);
    }
}
