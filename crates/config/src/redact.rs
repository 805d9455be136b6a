//! Keys cut out of the text of a configuration file, and put back.
//!
//! # Theory
//!
//! A configuration file is parsed by code that cannot wipe its memory (CPython copies and keeps strings as it
//! likes). So the text is split in two before that code sees it: the *redacted text*, in which each secret is
//! replaced by a placeholder, and the *secrets*, which stay in memory that is wiped. [`splice`] joins them
//! again, byte for byte.
//!
//! A placeholder is the secret's number between two NUL bytes. No text has a NUL byte of its own: bash, which
//! reads these files for `wg-quick`, cannot hold one, and [`redact`] refuses it. So a placeholder cannot be
//! forged by the file, and nothing needs escaping.
//!
//! What is secret:
//! - the whole value of `PrivateKey` and `PresharedKey`, well-formed or not, in whichever section it stands,
//!   found as `wg` finds it: letters of any case, white space anywhere in the name, up to `#`;
//! - anywhere else but in the value of `PublicKey`: 43 characters of base64 and a `=`, the form of a key. That
//!   covers what a person leaves behind: a key under a misspelt name, commented out, or inside a hook. A value
//!   of `PublicKey` that is longer than one key is looked through as well.

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

/// The longest text that is taken, in bytes: a file with some 80,000 peers.
pub const MAX_TEXT: usize = 16 * 1024 * 1024;

/// The byte on either side of the number in a placeholder.
pub const MARK: u8 = 0;

/// A text without its secrets, and the secrets in the order of their placeholders' numbers (from 0).
pub struct Redacted {
    /// The text with placeholders; the bytes are any, not only UTF-8.
    pub text: Vec<u8>,
    /// What stood where the placeholders are.
    pub secrets: Vec<Zeroizing<Vec<u8>>>,
}

/// Secrets must not reach a log, so only their number is shown.
impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redacted")
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

/// Why a text was not taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedactError {
    /// A NUL byte stands on this line (from 1).
    Nul {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The text is longer than [`MAX_TEXT`].
    TooLong,
}

/// Why a redacted text and its secrets do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceError {
    /// A NUL byte that does not begin a well-formed placeholder.
    BadPlaceholder,
    /// A placeholder whose number has no secret.
    NoSuchSecret {
        /// The number.
        number: usize,
    },
    /// A secret that holds a NUL byte or a line feed: the result would read differently.
    BadSecret {
        /// The number.
        number: usize,
    },
    /// The result would be longer than [`MAX_TEXT`].
    TooLong,
}

impl fmt::Display for RedactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul { line } => write!(f, "line {line} holds a NUL byte"),
            Self::TooLong => write!(f, "longer than {MAX_TEXT} bytes"),
        }
    }
}

impl fmt::Display for SpliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPlaceholder => write!(f, "a NUL byte that is not part of a placeholder"),
            Self::NoSuchSecret { number } => write!(f, "placeholder {number} has no secret"),
            Self::BadSecret { number } => write!(f, "secret {number} holds a NUL byte or a line feed"),
            Self::TooLong => write!(f, "longer than {MAX_TEXT} bytes"),
        }
    }
}

impl core::error::Error for RedactError {}
impl core::error::Error for SpliceError {}

/// Takes the secrets out of `text`.
pub fn redact(text: &[u8]) -> Result<Redacted, RedactError> {
    if text.len() > MAX_TEXT {
        return Err(RedactError::TooLong);
    }
    let mut redacted = Redacted {
        text: Vec::with_capacity(text.len()),
        secrets: Vec::new(),
    };
    for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if line.contains(&MARK) {
            return Err(RedactError::Nul { line: index + 1 });
        }
        redacted.line(line);
    }
    Ok(redacted)
}

/// Puts `secrets` back into a text that [`redact`] made, or an edited one.
///
/// The length is reckoned before the first byte is written, so that no outgrown buffer is left unwiped.
pub fn splice<S: AsRef<[u8]>>(text: &[u8], secrets: &[S]) -> Result<Zeroizing<Vec<u8>>, SpliceError> {
    let mut length = 0_usize;
    for piece in pieces(text, secrets) {
        length = length.saturating_add(piece?.len());
    }
    if length > MAX_TEXT {
        return Err(SpliceError::TooLong);
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(length));
    for piece in pieces(text, secrets) {
        whole.extend_from_slice(piece?);
    }
    Ok(whole)
}

/// White space as C's `isspace` sees it in the C locale, which is what `wg` goes by.
#[must_use]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Characters of a key in base64, the final `=` included.
const KEY_LEN: usize = 44;

/// What the part of a line before its comment assigns to.
enum Name {
    Secret,
    Public,
    Other,
}

impl Redacted {
    fn line(&mut self, line: &[u8]) {
        let code_end = position(line, b'#').unwrap_or(line.len());
        let (code, comment) = line.split_at(code_end);
        let Some(equals) = position(code, b'=') else {
            self.scan(line);
            return;
        };
        let (name, value) = code.split_at(equals + 1);
        match classify(name) {
            Name::Secret => {
                let start = value
                    .iter()
                    .position(|&byte| !is_space(byte))
                    .unwrap_or(value.len());
                let end = value
                    .iter()
                    .rposition(|&byte| !is_space(byte))
                    .map_or(start, |last| last + 1);
                let (before, rest) = value.split_at(start);
                let (secret, after) = rest.split_at(end - start);
                self.text.extend_from_slice(name);
                self.text.extend_from_slice(before);
                if !secret.is_empty() {
                    self.hide(secret);
                }
                self.text.extend_from_slice(after);
            }
            Name::Public if value.iter().filter(|&&byte| !is_space(byte)).count() <= KEY_LEN => {
                self.text.extend_from_slice(code);
            }
            Name::Public | Name::Other => self.scan(code),
        }
        self.scan(comment);
    }

    /// Copies `bytes`, hiding what has the form of a key.
    fn scan(&mut self, bytes: &[u8]) {
        const DIGITS: usize = KEY_LEN - 1;
        let mut copied = 0;
        let mut run = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            if byte == b'=' && run >= DIGITS {
                let (before, secret) = bytes[copied..=index].split_at(index - DIGITS - copied);
                self.text.extend_from_slice(before);
                self.hide(secret);
                copied = index + 1;
            }
            run = if is_base64_digit(byte) { run + 1 } else { 0 };
        }
        self.text.extend_from_slice(&bytes[copied..]);
    }

    fn hide(&mut self, secret: &[u8]) {
        let number = self.secrets.len();
        self.secrets.push(Zeroizing::new(secret.to_vec()));
        self.text.push(MARK);
        self.text.extend_from_slice(alloc::format!("{number}").as_bytes());
        self.text.push(MARK);
    }
}

fn classify(name_and_equals: &[u8]) -> Name {
    let is = |wanted: &str| {
        let letters = name_and_equals.iter().filter(|&&byte| !is_space(byte));
        letters.map(u8::to_ascii_lowercase).eq(wanted.bytes())
    };
    if is("privatekey=") || is("presharedkey=") {
        Name::Secret
    } else if is("publickey=") {
        Name::Public
    } else {
        Name::Other
    }
}

/// The text between placeholders and the secrets, in order.
fn pieces<'a, S: AsRef<[u8]>>(
    text: &'a [u8],
    secrets: &'a [S],
) -> impl Iterator<Item = Result<&'a [u8], SpliceError>> {
    // Every second part is a number: placeholders are the only places where the mark stands.
    let parts = text.split(|&byte| byte == MARK).count();
    text.split(|&byte| byte == MARK)
        .enumerate()
        .map(move |(index, part)| {
            if index % 2 == 0 {
                return Ok(part);
            }
            if index + 1 == parts || part.is_empty() || part.len() > 9 || !part.iter().all(u8::is_ascii_digit)
            {
                return Err(SpliceError::BadPlaceholder);
            }
            let number = part
                .iter()
                .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            let secret = secrets
                .get(number)
                .ok_or(SpliceError::NoSuchSecret { number })?
                .as_ref();
            if secret.iter().any(|&byte| byte == MARK || byte == b'\n') {
                return Err(SpliceError::BadSecret { number });
            }
            Ok(secret)
        })
}

fn is_base64_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&byte| byte == wanted)
}

#[cfg(test)]
mod tests;
