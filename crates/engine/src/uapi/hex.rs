//! Keys as 64 hexadecimal digits: read and written where they are to stay, since a value that is returned leaves copies on
//! the stack.

/// Something else than 64 digits.
#[derive(Debug)]
pub(super) struct NotDigits;

/// Reads 64 digits of either case into `key`. Which digit is wrong does not show in the time it takes to say so.
pub(super) fn read(text: &[u8], key: &mut [u8; 32]) -> Result<(), NotDigits> {
    if text.len() != 2 * key.len() {
        return Err(NotDigits);
    }
    let mut wrong = 0;
    for (byte, digits) in key.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = digits.map(value);
        *byte = (high << 4 | low & 0xf) as u8;
        wrong |= high | low;
    }
    if wrong & 0x100 == 0 {
        Ok(())
    } else {
        Err(NotDigits)
    }
}

/// Writes the digits of a key into `text`, as far as there is room.
pub(super) fn write(key: &[u8; 32], text: &mut [u8]) {
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(key) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
}

/// The value of a digit, or bit 8: without a branch or a table that would depend on it.
fn value(digit: u8) -> u16 {
    let digit = u16::from(digit);
    // Bit 15 of a difference says "less than".
    let within = |low: u8, high: u8| {
        let (low, high) = (u16::from(low), u16::from(high));
        !(digit.wrapping_sub(low) | high.wrapping_sub(digit)) >> 15
    };
    let decimal = within(b'0', b'9');
    let lower = within(b'a', b'f');
    let upper = within(b'A', b'F');
    let number = decimal * digit.wrapping_sub(u16::from(b'0'))
        + lower * digit.wrapping_sub(u16::from(b'a') - 10)
        + upper * digit.wrapping_sub(u16::from(b'A') - 10);
    number & 0xf | (1 - (decimal + lower + upper)) << 8
}

/// The digit of a value below 16, likewise.
fn digit(value: u8) -> u8 {
    // 39 lies between '9' and 'a'.
    let letter = (9_u8.wrapping_sub(value) >> 7) * (b'a' - b'9' - 1);
    b'0' + value + letter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_as_a_digit_exactly_if_it_is_one() {
        for byte in 0..=u8::MAX {
            let expected = char::from(byte).to_digit(16);
            let found = value(byte);
            match expected {
                Some(expected) => assert_eq!(u32::from(found), expected, "{byte}"),
                None => assert_eq!(found & 0x100, 0x100, "{byte}"),
            }
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let bytes: [u8; 32] = core::array::from_fn(|index| (index * 37 + 11) as u8);
        let mut text = [0; 64];
        write(&bytes, &mut text);
        for text in [&text[..], &text.to_ascii_uppercase()] {
            let mut key = [0; 32];
            read(text, &mut key).unwrap();
            assert_eq!(key, bytes);
        }
        assert!(read(&text[..63], &mut [0; 32]).is_err());
    }

    #[test]
    fn one_wrong_digit_anywhere_is_refused() {
        for position in 0..64 {
            let mut text = [b'a'; 64];
            text[position] = b'g';
            assert!(read(&text, &mut [0; 32]).is_err());
        }
    }
}
