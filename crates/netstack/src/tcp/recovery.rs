//! From a loss to the acknowledgement of all that had been sent by then.
//!
//! ```text
//!            loss by chance ──► Mending: the window stays and may grow
//!  in order ─┼ by congestion ─► Shrinking: to a smaller window, in step with what arrives (RFC 9937, PRR)
//!            └ timeout ───────► Beginning: from a window of one segment
//! ```

use wirewright_protocol::Instant;

pub(super) struct Recovery {
    /// Over when this is acknowledged.
    pub(super) until: u64,
    pub(super) kind: Kind,
    /// When it was decided whose doing the loss was.
    pub(super) judged: Instant,
}

pub(super) enum Kind {
    Mending,
    Shrinking(Reduction),
    Beginning,
}

/// Proportional rate reduction (RFC 9937 6): for each byte that arrives a share of a byte is sent, until what is on its
/// way has shrunk to the new window; and if it has shrunk below it, no faster up again than in slow start.
pub(super) struct Reduction {
    target: u64,
    from: u64,
    arrived: u64,
    sent: u64,
    allowed: u64,
}

impl Reduction {
    /// From `from` bytes on their way to `target`. One segment may leave at once.
    pub(super) fn new(target: u64, from: u64, segment: u64) -> Self {
        Self {
            target,
            from: from.max(1),
            arrived: 0,
            sent: 0,
            allowed: segment,
        }
    }

    /// Bytes that may be sent now.
    pub(super) fn allowed(&self) -> u64 {
        self.allowed
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        self.allowed = self.allowed.saturating_sub(bytes);
    }

    /// So many bytes arrived, and `out` are on their way.
    pub(super) fn arrived(&mut self, bytes: u64, out: u64, segment: u64) {
        self.arrived += bytes;
        let share = self.arrived.saturating_mul(self.target).div_ceil(self.from);
        let owed = if out > self.target {
            share.saturating_sub(self.sent)
        } else {
            let kept = self.arrived.saturating_sub(self.sent).max(bytes) + segment;
            kept.min(self.target - out)
        };
        self.allowed = if self.sent == 0 { owed.max(segment) } else { owed };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_shrinks_in_step_with_what_arrives_and_ends_at_the_new_window() {
        let (segment, mut out) = (1_000, 100_000);
        let mut reduction = Reduction::new(70_000, out, segment);
        let mut sent = 0;
        for _ in 0..100 {
            out -= segment;
            reduction.arrived(segment, out, segment);
            while reduction.allowed() >= segment {
                reduction.sent(segment);
                (sent, out) = (sent + segment, out + segment);
            }
            assert!(out >= 69_000);
        }
        assert!(
            (69_000..=71_000).contains(&sent),
            "{sent} for 100,000 that arrived"
        );
        assert!((69_000..=71_000).contains(&out), "{out} are on their way");
    }

    #[test]
    fn a_flight_that_was_lost_is_not_sent_again_in_one_burst() {
        let mut reduction = Reduction::new(70_000, 100_000, 1_000);
        reduction.arrived(3_000, 0, 1_000);
        assert_eq!(reduction.allowed(), 4_000);
    }
}
