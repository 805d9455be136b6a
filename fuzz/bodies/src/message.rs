//! The parser of datagrams.

use wirewright_protocol::{Message, ParseError};

/// Parses a datagram and compares the outcome with the format's definition (sections 5.4.2 to 5.4.7 of the
/// paper), written here a second time.
///
/// # Panics
///
/// If the parser takes what it must refuse, refuses what it must take, or shows other bytes than it was given.
pub fn message(datagram: &[u8]) {
    let kind = datagram.first_chunk().copied().map(u32::from_le_bytes);
    let well_formed = matches!(
        (kind, datagram.len()),
        (Some(1), 148) | (Some(2), 92) | (Some(3), 64) | (Some(4), 32..)
    );
    let shown = match Message::parse(datagram) {
        Ok(Message::Initiation(message)) => message.as_bytes(),
        Ok(Message::Response(message)) => message.as_bytes(),
        Ok(Message::CookieReply(message)) => message.as_bytes(),
        Ok(Message::Data(header)) => header.as_bytes(),
        Err(error) => {
            let known = kind.is_none_or(|kind| (1..=4).contains(&kind));
            assert!(!well_formed, "a well-formed datagram was refused");
            assert_eq!(
                error == ParseError::BadLength,
                known,
                "refused for the wrong reason"
            );
            return;
        }
    };
    assert!(well_formed, "a malformed datagram was taken");
    assert_eq!(
        shown,
        &datagram[..shown.len()],
        "other bytes are shown than came in"
    );
}
