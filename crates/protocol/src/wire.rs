//! The four messages as they lie in a datagram (section 5.4); integers are little-endian.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use crate::error::ParseError;

/// Bytes that a data message adds to its padded packet: the header in front, the tag behind.
pub const DATA_OVERHEAD: usize = DataHeader::LEN + 16;

/// First message of a handshake, 148 bytes.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Initiation {
    /// Type 1 and three reserved zero bytes.
    pub(crate) kind: U32,
    /// Index by which the initiator wants to be addressed.
    pub(crate) sender: U32,
    /// The initiator's ephemeral public key.
    pub(crate) ephemeral: [u8; 32],
    /// The initiator's static public key, sealed.
    pub(crate) encrypted_static: [u8; 48],
    /// A TAI64N timestamp, sealed.
    pub(crate) encrypted_timestamp: [u8; 28],
    /// Proof of knowing the responder's public key.
    pub(crate) mac1: [u8; 16],
    /// Proof of owning the source address, or zeros.
    pub(crate) mac2: [u8; 16],
}

/// Second message of a handshake, 92 bytes.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Response {
    /// Type 2 and three reserved zero bytes.
    pub(crate) kind: U32,
    /// Index by which the responder wants to be addressed.
    pub(crate) sender: U32,
    /// The initiation's sender index.
    pub(crate) receiver: U32,
    /// The responder's ephemeral public key.
    pub(crate) ephemeral: [u8; 32],
    /// The tag of an empty text.
    pub(crate) encrypted_nothing: [u8; 16],
    /// Proof of knowing the initiator's public key.
    pub(crate) mac1: [u8; 16],
    /// Proof of owning the source address, or zeros.
    pub(crate) mac2: [u8; 16],
}

/// Answer of a responder under load, 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct CookieReply {
    /// Type 3 and three reserved zero bytes.
    pub(crate) kind: U32,
    /// The sender index of the message that was not processed.
    pub(crate) receiver: U32,
    /// Random nonce of XChaCha20-Poly1305.
    pub(crate) nonce: [u8; 24],
    /// The cookie, sealed.
    pub(crate) encrypted_cookie: [u8; 32],
}

/// What precedes the sealed packet in a data message, 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DataHeader {
    /// Type 4 and three reserved zero bytes.
    pub(crate) kind: U32,
    /// The receiver's index of the session.
    pub(crate) receiver: U32,
    /// Nonce of the packet.
    pub(crate) counter: U64,
}

const _: () = assert!(size_of::<Initiation>() == 148);
const _: () = assert!(size_of::<Response>() == 92);
const _: () = assert!(size_of::<CookieReply>() == 64);
const _: () = assert!(size_of::<DataHeader>() == DataHeader::LEN);

impl Initiation {
    /// The message's type.
    pub const KIND: u32 = 1;
    /// The message's length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// The index by which the author of the message wants to be addressed.
    #[must_use]
    pub const fn sender(&self) -> u32 {
        self.sender.get()
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}

impl Response {
    /// The message's type.
    pub const KIND: u32 = 2;
    /// The message's length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// The index by which the author of the message wants to be addressed.
    #[must_use]
    pub const fn sender(&self) -> u32 {
        self.sender.get()
    }

    /// The index by which the reader of the message knows what it is about.
    #[must_use]
    pub const fn receiver(&self) -> u32 {
        self.receiver.get()
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}

impl CookieReply {
    /// The message's type.
    pub const KIND: u32 = 3;
    /// The message's length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// The index by which the reader of the message knows what it is about.
    #[must_use]
    pub const fn receiver(&self) -> u32 {
        self.receiver.get()
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}

impl DataHeader {
    /// The message's type.
    pub const KIND: u32 = 4;
    /// Length of the header in bytes.
    pub const LEN: usize = 16;

    /// The header of packet `counter` for the peer that knows the session as `receiver`.
    #[must_use]
    pub const fn new(receiver: u32, counter: u64) -> Self {
        Self {
            kind: U32::new(Self::KIND),
            receiver: U32::new(receiver),
            counter: U64::new(counter),
        }
    }

    /// The index by which the reader of the message knows what it is about.
    #[must_use]
    pub const fn receiver(&self) -> u32 {
        self.receiver.get()
    }

    /// The number of the packet within its session, which is its nonce.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter.get()
    }

    /// The bytes to send in front of the sealed packet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}

/// A datagram seen as a message; nothing in it is authenticated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A handshake initiation.
    Initiation(&'a Initiation),
    /// A handshake response.
    Response(&'a Response),
    /// A cookie reply.
    CookieReply(&'a CookieReply),
    /// A data message, whose sealed packet is the rest of the datagram behind the header.
    Data(&'a DataHeader),
}

impl<'a> Message<'a> {
    /// Recognises a message by its type and length.
    ///
    /// # Errors
    /// [`ParseError::BadType`] if the first four bytes are no known type (a reserved byte that is not zero
    /// makes an unknown type), [`ParseError::BadLength`] if the length does not fit the type.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let (kind, _) = U32::ref_from_prefix(datagram).map_err(|_| ParseError::BadLength)?;
        match kind.get() {
            Initiation::KIND => exactly(datagram).map(Message::Initiation),
            Response::KIND => exactly(datagram).map(Message::Response),
            CookieReply::KIND => exactly(datagram).map(Message::CookieReply),
            DataHeader::KIND if datagram.len() < DATA_OVERHEAD => Err(ParseError::BadLength),
            DataHeader::KIND => DataHeader::ref_from_prefix(datagram)
                .map(|(header, _)| Message::Data(header))
                .map_err(|_| ParseError::BadLength),
            _ => Err(ParseError::BadType),
        }
    }
}

fn exactly<T: FromBytes + KnownLayout + Immutable + Unaligned>(datagram: &[u8]) -> Result<&T, ParseError> {
    T::ref_from_bytes(datagram).map_err(|_| ParseError::BadLength)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn datagram(kind: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[0] = kind;
        bytes
    }

    #[test]
    fn each_type_is_taken_at_its_own_length_only() {
        for (kind, len) in [(1, 148), (2, 92), (3, 64)] {
            assert!(Message::parse(&datagram(kind, len)).is_ok());
            assert_eq!(
                Message::parse(&datagram(kind, len - 1)),
                Err(ParseError::BadLength)
            );
            assert_eq!(
                Message::parse(&datagram(kind, len + 1)),
                Err(ParseError::BadLength)
            );
        }
    }

    #[test]
    fn data_needs_a_header_and_a_tag() {
        assert_eq!(Message::parse(&datagram(4, 31)), Err(ParseError::BadLength));
        assert!(matches!(Message::parse(&datagram(4, 32)), Ok(Message::Data(_))));
        assert!(matches!(
            Message::parse(&datagram(4, 65_507)),
            Ok(Message::Data(_))
        ));
    }

    #[test]
    fn a_reserved_byte_that_is_not_zero_is_refused() {
        for reserved in 1..4 {
            let mut bytes = datagram(1, 148);
            bytes[reserved] = 1;
            assert_eq!(Message::parse(&bytes), Err(ParseError::BadType));
        }
    }

    #[test]
    fn unknown_types_and_fragments_are_refused() {
        assert_eq!(Message::parse(&datagram(0, 148)), Err(ParseError::BadType));
        assert_eq!(Message::parse(&datagram(5, 148)), Err(ParseError::BadType));
        assert_eq!(Message::parse(&[]), Err(ParseError::BadLength));
        assert_eq!(Message::parse(&[4, 0, 0]), Err(ParseError::BadLength));
    }

    #[test]
    fn a_data_header_reads_as_it_was_written() {
        let mut bytes = datagram(0, 32);
        bytes[..16].copy_from_slice(DataHeader::new(0x0403_0201, 0x0c0b_0a09_0807_0605).as_bytes());
        assert_eq!(bytes[..16], [4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let Ok(Message::Data(header)) = Message::parse(&bytes) else {
            panic!("not data")
        };
        assert_eq!(
            (header.receiver(), header.counter()),
            (0x0403_0201, 0x0c0b_0a09_0807_0605)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::parse(&bytes);
        }

        #[test]
        fn what_is_parsed_is_the_datagram_itself(
            kind in 1u8..=4,
            rest in proptest::collection::vec(any::<u8>(), 60..200),
        ) {
            let mut bytes = vec![kind, 0, 0, 0];
            bytes.extend_from_slice(&rest);
            let view = match Message::parse(&bytes) {
                Ok(Message::Initiation(message)) => message.as_bytes(),
                Ok(Message::Response(message)) => message.as_bytes(),
                Ok(Message::CookieReply(message)) => message.as_bytes(),
                Ok(Message::Data(header)) => header.as_bytes(),
                Err(_) => return Ok(()),
            };
            prop_assert_eq!(view, &bytes[..view.len()]);
        }
    }
}
