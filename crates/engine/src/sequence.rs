//! Order restored by number.
//!
//! Jobs are numbered when they are made and may come back in any order from helpers. [`Sequence`] lets them out
//! in the order of their numbers: what came early waits. It is bounded by the number of jobs that are out.

use alloc::collections::VecDeque;

pub(crate) struct Sequence<T> {
    /// The number that the next new job gets.
    issued: u64,
    /// The number that goes out next.
    next: u64,
    /// Jobs that came back before their turn; the front one has the number `next`.
    waiting: VecDeque<Option<T>>,
}

impl<T> Sequence<T> {
    pub(crate) const fn new() -> Self {
        Self {
            issued: 0,
            next: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The number for a new job.
    pub(crate) fn issue(&mut self) -> u64 {
        let number = self.issued;
        self.issued += 1;
        number
    }

    /// How many jobs are out or wait.
    pub(crate) fn in_flight(&self) -> usize {
        (self.issued - self.next) as usize
    }

    /// Takes a job back. A number that was never issued, or came back before, is ignored.
    pub(crate) fn put(&mut self, number: u64, job: T) {
        if number < self.next || number >= self.issued {
            return;
        }
        let position = (number - self.next) as usize;
        while self.waiting.len() <= position {
            self.waiting.push_back(None);
        }
        if let Some(place) = self.waiting.get_mut(position) {
            *place = Some(job);
        }
    }

    /// The next job in order, if it is back.
    pub(crate) fn take(&mut self) -> Option<T> {
        let job = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.next += 1;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_out_in_the_order_of_their_numbers() {
        let mut sequence = Sequence::new();
        for _ in 0..3 {
            sequence.issue();
        }
        sequence.put(2, "c");
        sequence.put(0, "a");
        assert_eq!(sequence.take(), Some("a"));
        assert_eq!(sequence.take(), None);
        sequence.put(1, "b");
        assert_eq!(
            (sequence.take(), sequence.take(), sequence.take()),
            (Some("b"), Some("c"), None)
        );
        assert_eq!(sequence.in_flight(), 0);
    }

    #[test]
    fn a_number_that_was_never_issued_is_ignored() {
        let mut sequence = Sequence::new();
        sequence.issue();
        sequence.put(5, "x");
        sequence.put(0, "a");
        assert_eq!(sequence.take(), Some("a"));
        sequence.put(0, "again");
        assert_eq!(sequence.take(), None);
    }
}
