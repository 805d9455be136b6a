//! What the receiver has beyond the cumulative acknowledgement, as its SACK blocks tell (RFC 2018).

use super::is_after;

/// Blocks remembered. Beyond them the picture is incomplete, which only makes more seem lost than is.
const BLOCKS: usize = 32;

#[derive(Default)]
pub(super) struct Scoreboard {
    /// Disjoint, ascending from the oldest unacknowledged number.
    blocks: Vec<(u32, u32)>,
}

impl Scoreboard {
    /// Notes a block of received bytes, if it lies between `una` and `next`.
    pub(super) fn insert(&mut self, (mut left, mut right): (u32, u32), una: u32, next: u32) {
        let flight = next.wrapping_sub(una);
        let (from, to) = (left.wrapping_sub(una), right.wrapping_sub(una));
        if from >= to || to > flight {
            return;
        }
        self.blocks.retain(|&(start, end)| {
            let (start_at, end_at) = (start.wrapping_sub(una), end.wrapping_sub(una));
            let touches = start_at <= right.wrapping_sub(una) && end_at >= left.wrapping_sub(una);
            if touches {
                if start_at < left.wrapping_sub(una) {
                    left = start;
                }
                if end_at > right.wrapping_sub(una) {
                    right = end;
                }
            }
            !touches
        });
        if self.blocks.len() < BLOCKS {
            let at = self
                .blocks
                .partition_point(|(start, _)| start.wrapping_sub(una) < left.wrapping_sub(una));
            self.blocks.insert(at, (left, right));
        }
    }

    /// Everything up to `una` was acknowledged.
    pub(super) fn acknowledged(&mut self, una: u32) {
        self.blocks.retain_mut(|(left, right)| {
            if is_after(una, *left) {
                *left = una;
            }
            is_after(*right, *left)
        });
    }

    /// Bytes between `una` and the highest block that no block covers.
    pub(super) fn missing(&self, una: u32) -> u32 {
        let Some((_, highest)) = self.blocks.last() else {
            return 0;
        };
        let held: u32 = self
            .blocks
            .iter()
            .map(|(left, right)| right.wrapping_sub(*left))
            .sum();
        highest.wrapping_sub(una).saturating_sub(held)
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNA: u32 = u32::MAX - 1_000;

    fn board(blocks: &[(u32, u32)]) -> Scoreboard {
        let mut board = Scoreboard::default();
        for (left, right) in blocks {
            board.insert(
                (UNA.wrapping_add(*left), UNA.wrapping_add(*right)),
                UNA,
                UNA.wrapping_add(10_000),
            );
        }
        board
    }

    #[test]
    fn what_no_block_covers_is_missing() {
        assert_eq!(board(&[]).missing(UNA), 0);
        assert_eq!(board(&[(100, 200)]).missing(UNA), 100);
        assert_eq!(board(&[(100, 200), (300, 5_000)]).missing(UNA), 200);
        assert_eq!(board(&[(300, 5_000), (100, 200)]).missing(UNA), 200);
    }

    #[test]
    fn blocks_that_touch_become_one() {
        let board = board(&[(100, 200), (300, 400), (500, 600), (150, 550)]);
        assert_eq!(board.blocks.len(), 1);
        assert_eq!(board.missing(UNA), 100);
    }

    #[test]
    fn acknowledged_bytes_are_no_longer_looked_at() {
        let mut board = board(&[(100, 200), (300, 400), (500, 600)]);
        let una = UNA.wrapping_add(350);
        board.acknowledged(una);
        assert_eq!(board.missing(una), 100);
    }

    #[test]
    fn blocks_outside_the_flight_are_lies() {
        assert_eq!(board(&[(9_000, 10_001)]).missing(UNA), 0);
        assert_eq!(board(&[(200, 100)]).missing(UNA), 0);
        assert_eq!(board(&[(u32::MAX - 5, 100)]).missing(UNA), 0);
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let many: Vec<_> = (0..100)
            .map(|index| (100 + index * 20, 110 + index * 20))
            .collect();
        assert_eq!(board(&many).blocks.len(), BLOCKS);
    }
}
