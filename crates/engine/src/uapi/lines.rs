//! Bytes as they come, cut into lines.

use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

/// The longest line that means something: `private_key=` and 64 digits have 76 characters; an endpoint or a prefix
/// has fewer.
const MAX_LINE: usize = 256;

/// Collects bytes and gives them back line by line. The lines may hold keys, so what was given back is wiped, and the buffer
/// lies where it does not move: an array would leave a copy on the stack with every move.
#[derive(Default)]
pub struct Lines {
    buffer: Zeroizing<Vec<u8>>,
}

/// A line, or what there is instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A line was given.
    Line,
    /// The input has no further line feed.
    Rest,
    /// The line is too long.
    TooLong,
}

impl Lines {
    /// Nothing collected.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a line was begun and not ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes bytes from the front of `input` up to the end of a line, and gives the line, without its line feed, to `use_line`.
    pub(super) fn take(&mut self, input: &mut &[u8], use_line: impl FnOnce(&[u8])) -> Taken {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (head, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.buffer.len() + head.len() > MAX_LINE {
            return Taken::TooLong;
        }
        if self.buffer.capacity() == 0 {
            // All at once: memory that is outgrown is not wiped.
            self.buffer.reserve_exact(MAX_LINE);
        }
        self.buffer.extend_from_slice(head);
        *input = rest.get(1..).unwrap_or(&[]);
        if end.is_none() {
            return Taken::Rest;
        }
        use_line(&self.buffer);
        self.buffer.as_mut_slice().zeroize();
        self.buffer.clear();
        Taken::Line
    }
}
