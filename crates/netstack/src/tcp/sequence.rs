//! Sequence numbers: 32 bits in a circle on the wire, 64 bits along a line here.
//!
//! A stream's offset 0 is its SYN, 1 its first byte, and the one behind its last byte its FIN, so that each has a place
//! and nothing ever wraps.

/// The number on the wire of an offset in a stream whose SYN had the number `initial`.
#[allow(clippy::cast_possible_truncation)] // the place in the circle
pub(super) fn on_wire(initial: u32, offset: u64) -> u32 {
    initial.wrapping_add(offset as u32)
}

/// The offset of a number on the wire, of all it could be the one nearest to `near`; `None` before the SYN.
#[allow(clippy::cast_possible_wrap)] // the shorter way round the circle
pub(super) fn offset(initial: u32, near: u64, number: u32) -> Option<u64> {
    let distance = number.wrapping_sub(on_wire(initial, near)) as i32;
    near.checked_add_signed(distance.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_nearest_offset_whatever_was_wrapped() {
        let initial = u32::MAX - 10;
        for near in [0, 5, 1 << 31, (1 << 32) + 3, 1 << 40] {
            for distance in [-5_i64, 0, 7, 1 << 30] {
                let Some(there) = u64::try_from(i64::try_from(near).unwrap() + distance).ok() else {
                    continue;
                };
                assert_eq!(offset(initial, near, on_wire(initial, there)), Some(there));
            }
        }
        assert_eq!(offset(100, 0, 99), None, "before the SYN");
    }
}
