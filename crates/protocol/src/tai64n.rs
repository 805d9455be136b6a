//! Handshake timestamps: TAI64N labels, of which only the strict increase matters (section 5.1).

use crate::time::WallTime;

/// TAI64 counts from 2^62; TAI was ten seconds ahead of UTC at the Unix epoch. Later leap seconds are ignored,
/// as by every implementation, because the labels of two hosts are never compared with each other.
const UNIX_EPOCH: u64 = (1 << 62) + 10;

/// Nanoseconds are rounded down to multiples of 2^24 (16.8 ms), the largest power of two below the 20 ms
/// that must pass between initiations, so that a handshake is not a fine clock for timing attacks.
const COARSE_NANOS: u32 = !((1 << 24) - 1);

/// A timestamp of 12 bytes: big-endian seconds, then big-endian nanoseconds. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tai64n([u8; 12]);

impl Tai64n {
    /// The label of a wall time, with its nanoseconds rounded down to 2^24.
    #[must_use]
    pub fn coarse(wall: WallTime) -> Self {
        let mut bytes = [0; 12];
        let (seconds, nanos) = bytes.split_at_mut(8);
        seconds.copy_from_slice(&UNIX_EPOCH.wrapping_add(wall.seconds).to_be_bytes());
        nanos.copy_from_slice(&(wall.nanos & COARSE_NANOS).to_be_bytes());
        Self(bytes)
    }

    /// A timestamp as it was received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The 12 bytes that are sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unix_epoch_has_the_label_of_ten_seconds_tai() {
        let label = Tai64n::coarse(WallTime { seconds: 0, nanos: 0 });
        assert_eq!(label.as_bytes(), &[0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]);
    }

    #[test]
    fn nanoseconds_are_rounded_down_to_a_multiple_of_two_to_the_24() {
        let label = Tai64n::coarse(WallTime {
            seconds: 1,
            nanos: (1 << 24) + 12_345,
        });
        assert_eq!(label.as_bytes()[8..], [1, 0, 0, 0]);
        let below = Tai64n::coarse(WallTime {
            seconds: 1,
            nanos: (1 << 24) - 1,
        });
        assert_eq!(below.as_bytes()[8..], [0, 0, 0, 0]);
    }

    #[test]
    fn labels_are_ordered_by_time() {
        let at = |seconds, nanos| Tai64n::coarse(WallTime { seconds, nanos });
        assert!(at(1, 999_999_999) < at(2, 0));
        assert!(at(255, 0) < at(256, 0));
        assert!(at(1, 0) < at(1, 1 << 24));
    }
}
