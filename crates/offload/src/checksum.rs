//! The internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! The checksum is the one's complement of the one's complement sum of a message's 16-bit big-endian words.
//! Two properties make it fast (RFC 1071, section 2): the sum may be taken in the machine's byte order and
//! swapped at the end, and carries may be collected in wider words and folded at the end.

/// A one's complement sum under way: words are added, carries are not folded yet.
///
/// It takes at least 2^32 words of any value before a carry could be lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64); // of 16-bit words in the machine's byte order

impl Sum {
    /// The sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds a message, or a part of it that starts at an even offset.
    ///
    /// A part of odd length is padded with a zero byte, so only the last part may have one.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // Four independent sums, each of both halves of a u64, leave 32 bits of room for carries and let the
        // compiler use vectors: twice as fast as a chain of additions with carry, at 1440 bytes as at 64 KiB.
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut lanes = [0_u64; 4];
        for block in blocks {
            for (lane, eight) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                let eight = u64::from_ne_bytes(*eight);
                *lane += (eight & 0xffff_ffff) + (eight >> 32);
            }
        }
        let (words, odd) = rest.as_chunks::<2>();
        let mut sum: u64 = words
            .iter()
            .map(|&word| u64::from(u16::from_ne_bytes(word)))
            .sum();
        if let [last] = odd {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        // Folding the lanes here is what makes the room for 2^32 words.
        let blocks = lanes
            .iter()
            .fold(0, |sum, lane| sum + (lane & 0xffff_ffff) + (lane >> 32));
        Self(self.0 + sum + blocks)
    }

    /// Adds one word, given as the number it stands for.
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word.to_be() as u64)
    }

    /// Adds the sum of another part that starts at an even offset.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum that the same bytes have if they start at an odd offset of the message: each byte is then in
    /// the other half of its word (RFC 1071, section 2, on byte order).
    #[must_use]
    pub const fn at_odd_offset(self) -> Self {
        Self::new().word(self.fold().swap_bytes())
    }

    /// The sum folded to 16 bits: what a partial ("pseudo-header only") checksum field holds.
    #[must_use]
    pub const fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be(sum as u16)
    }

    /// The checksum: the complement of the folded sum.
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// The checksum for UDP, in which zero means "none" and is sent as its equal 0xffff (RFC 768).
    #[must_use]
    pub const fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// Whether a message that was summed with its checksum field is intact.
    #[must_use]
    pub const fn is_intact(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The sum of IPv4's pseudo-header (RFC 9293, section 3.1); `len` counts transport header and payload.
#[must_use]
pub fn pseudo_v4(source: [u8; 4], destination: [u8; 4], protocol: u8, len: u16) -> Sum {
    Sum::new()
        .bytes(&source)
        .bytes(&destination)
        .word(protocol.into())
        .word(len)
}

/// The sum of IPv6's pseudo-header (RFC 8200, section 8.1); `len` counts transport header and payload.
#[must_use]
pub fn pseudo_v6(source: [u8; 16], destination: [u8; 16], next_header: u8, len: u32) -> Sum {
    let len = Sum::new().word((len >> 16) as u16).word(len as u16);
    Sum::new()
        .bytes(&source)
        .bytes(&destination)
        .word(next_header.into())
        .plus(len)
}

/// The checksum of a message in which one word changed from `old` to `new` (RFC 1624, equation 3).
#[must_use]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::new().word(!checksum).word(!old).word(new).checksum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 to the letter: word by word, each carry added back at once.
    fn oracle(bytes: &[u8]) -> u16 {
        let mut sum = 0_u16;
        for pair in bytes.chunks(2) {
            let word = u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
            let (wrapped, carry) = sum.overflowing_add(word);
            sum = wrapped + u16::from(carry);
        }
        sum
    }

    fn messages() -> impl Strategy<Value = std::vec::Vec<u8>> {
        // Runs of 0xff give every carry there is, random bytes the rest.
        let byte = prop_oneof![any::<u8>(), Just(0xff), Just(0)];
        prop_oneof![
            prop::collection::vec(byte, 0..200),
            prop::collection::vec(any::<u8>(), 0..3000),
            (0..70_000_usize).prop_map(|len| std::vec![0xff; len]),
        ]
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_definition(message in messages(), offset in 0..8_usize) {
            // From any offset: nothing may depend on alignment.
            let message = &message[offset.min(message.len())..];
            prop_assert_eq!(Sum::new().bytes(message).fold(), oracle(message));
            prop_assert_eq!(Sum::new().bytes(message).checksum(), !oracle(message));
        }

        #[test]
        fn a_message_may_be_summed_in_parts(message in messages(), cut: prop::sample::Index) {
            let (head, tail) = message.split_at(cut.index(message.len() / 2 + 1) * 2);
            let whole = Sum::new().bytes(&message).fold();
            prop_assert_eq!(Sum::new().bytes(head).bytes(tail).fold(), whole);
            prop_assert_eq!(Sum::new().bytes(tail).plus(Sum::new().bytes(head)).fold(), whole);
            let by_word = message.chunks(2).fold(Sum::new(), |sum, pair| {
                sum.word(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
            });
            prop_assert_eq!(by_word.fold(), whole);
        }

        #[test]
        fn a_part_at_an_odd_offset_is_added_swapped(message in messages(), cut: prop::sample::Index) {
            let cut = (cut.index(message.len() / 2 + 1) * 2 + 1).min(message.len());
            let (head, tail) = message.split_at(cut);
            let tail = Sum::new().bytes(tail);
            let tail = if cut % 2 == 1 { tail.at_odd_offset() } else { tail };
            prop_assert_eq!(Sum::new().bytes(head).plus(tail).fold(), Sum::new().bytes(&message).fold());
        }

        #[test]
        fn an_updated_checksum_is_that_of_the_changed_message(
            mut message in prop::collection::vec(any::<u8>(), 2..200),
            at: prop::sample::Index,
            new: u16,
        ) {
            let checksum = Sum::new().bytes(&message).checksum();
            let at = at.index(message.len() / 2) * 2;
            let old = u16::from_be_bytes([message[at], message[at + 1]]);
            message[at..at + 2].copy_from_slice(&new.to_be_bytes());
            let updated = update(checksum, old, new);
            // Zero has two forms; a receiver sees no difference between them.
            prop_assert!(Sum::new().bytes(&message).word(updated).is_intact());
        }

        #[test]
        fn one_flipped_bit_is_found(
            mut message in prop::collection::vec(any::<u8>(), 2..200),
            bit: prop::sample::Index,
        ) {
            let checksum = Sum::new().bytes(&message).checksum();
            prop_assert!(Sum::new().bytes(&message).word(checksum).is_intact());
            let bit = bit.index(message.len() * 8);
            message[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!Sum::new().bytes(&message).word(checksum).is_intact());
        }

        #[test]
        fn a_pseudo_header_is_summed_as_its_bytes_are(
            source: [u8; 16], destination: [u8; 16], protocol: u8, len: u32,
        ) {
            let v6 = [&source[..], &destination, &len.to_be_bytes(), &[0, 0, 0, protocol]].concat();
            prop_assert_eq!(pseudo_v6(source, destination, protocol, len).fold(), oracle(&v6));

            let (source, destination, len) = ([1, 2, 3, source[0]], [4, 5, 6, destination[0]], len as u16);
            let v4 = [&source[..], &destination, &[0, protocol], &len.to_be_bytes()].concat();
            prop_assert_eq!(pseudo_v4(source, destination, protocol, len).fold(), oracle(&v4));
        }
    }

    #[test]
    fn the_example_of_rfc_1071_is_met() {
        let sum = Sum::new().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624_is_met() {
        // Its section 4: equation 1 of RFC 1141 gives 0xffff here, which is wrong.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn a_udp_checksum_is_never_zero() {
        assert_eq!(Sum::new().word(0xffff).checksum(), 0);
        assert_eq!(Sum::new().word(0xffff).udp_checksum(), 0xffff);
        assert_eq!(Sum::new().word(0xfffe).udp_checksum(), 1);
    }

    #[test]
    fn no_carry_is_lost_over_many_large_parts() {
        // Each part adds almost 2^32 at most, so this stands for 2^21 words of ones.
        let part = [0xff; 4096];
        let sum = (0..1024).fold(Sum::new(), |sum, _| sum.bytes(&part));
        assert_eq!(sum.fold(), 0xffff);
    }
}
