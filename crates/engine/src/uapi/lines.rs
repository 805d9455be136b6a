//! Bytes as they come, cut into lines.

use zeroize::{Zeroize, Zeroizing};

/// The longest line that means something: `private_key=` and 64 digits have 76 characters; an endpoint or a prefix
/// has fewer.
const MAX_LINE: usize = 256;

/// Collects bytes and gives them back line by line. The lines may hold keys, so what was given back is wiped.
pub struct Lines {
    buffer: Zeroizing<[u8; MAX_LINE]>,
    filled: usize,
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
        Self {
            buffer: Zeroizing::new([0; MAX_LINE]),
            filled: 0,
        }
    }

    /// Whether a line was begun and not ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes bytes from the front of `input` up to the end of a line, and gives the line, without its line feed, to `use_line`.
    pub(super) fn take(&mut self, input: &mut &[u8], use_line: impl FnOnce(&[u8])) -> Taken {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (head, rest) = input.split_at(end.unwrap_or(input.len()));
        let Some(room) = self.buffer.get_mut(self.filled..self.filled + head.len()) else {
            return Taken::TooLong;
        };
        room.copy_from_slice(head);
        self.filled += head.len();
        *input = rest.get(1..).unwrap_or(&[]);
        if end.is_none() {
            return Taken::Rest;
        }
        let line = self.buffer.get_mut(..self.filled).unwrap_or(&mut []);
        use_line(line);
        line.zeroize();
        self.filled = 0;
        Taken::Line
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}
