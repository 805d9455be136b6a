//! What can be wrong with a request.

use core::fmt;

/// The number that tells a client what went wrong, as on Linux.
///
/// `wg` reads only digits after a get, and takes the number of a failed set for negative: so a get is answered with
/// the positive number, a set with the negative one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Done.
    pub const NONE: Self = Self(0);
    /// Reading or writing failed.
    pub const EIO: Self = Self(5);
    /// There is no such interface.
    pub const ENODEV: Self = Self(19);
    /// More than an interface may have.
    pub const ENOMEM: Self = Self(12);
    /// A value that the key does not take.
    pub const EINVAL: Self = Self(22);
    /// Not the protocol.
    pub const EPROTO: Self = Self(71);
}

/// What is wrong with a request, and in which of its lines (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line within the request.
    pub line: u32,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is longer than any line that means something.
    TooLong,
    /// It has no `=`, or is no text.
    NotAssignment,
    /// The request begins with none of `get=1`, `set=1`, `counters=1` and `filter=1`.
    NoOperation,
    /// A request that only asks has lines of its own.
    GetWithContent,
    /// The key is unknown. It is not repeated: it may be a value in the wrong place.
    UnknownKey,
    /// A key that belongs to the device, after the first peer.
    DeviceKeyAfterPeer(&'static str),
    /// A key that belongs to a peer, before the first one.
    PeerKeyBeforePeer(&'static str),
    /// The value is not one that this key takes.
    BadValue(&'static str),
    /// The scope of an endpoint is neither a number nor the name of an interface.
    UnknownInterface,
    /// More peers than an interface may have.
    TooManyPeers,
    /// More allowed IPs than an interface may have.
    TooManyAllowedIps,
    /// More rules than an interface may have.
    TooManyRules,
}

impl Mistake {
    /// The number to answer with.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self.problem {
            Problem::BadValue(_) | Problem::UnknownKey => Errno::EINVAL,
            Problem::UnknownInterface => Errno::ENODEV,
            Problem::TooManyPeers | Problem::TooManyAllowedIps | Problem::TooManyRules => Errno::ENOMEM,
            _ => Errno::EPROTO,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: ", self.line)?;
        match self.problem {
            Problem::TooLong => formatter.write_str("longer than any line that means something"),
            Problem::NotAssignment => formatter.write_str("not of the form key=value"),
            Problem::NoOperation => {
                formatter.write_str("a request begins with get=1, set=1, counters=1 or filter=1")
            }
            Problem::GetWithContent => {
                formatter.write_str("get=1, counters=1 and filter=1 are followed by an empty line")
            }
            Problem::UnknownKey => formatter.write_str("unknown key"),
            Problem::DeviceKeyAfterPeer(key) => {
                write!(formatter, "{key} belongs to the device, and stands after a peer")
            }
            Problem::PeerKeyBeforePeer(key) => {
                write!(
                    formatter,
                    "{key} belongs to a peer, and stands before any public_key"
                )
            }
            Problem::BadValue(key) => write!(formatter, "{key} does not take this value"),
            Problem::UnknownInterface => {
                formatter.write_str("the endpoint's scope is neither an interface here nor a number")
            }
            Problem::TooManyPeers => formatter.write_str("more peers than an interface may have"),
            Problem::TooManyAllowedIps => formatter.write_str("more allowed IPs than an interface may have"),
            Problem::TooManyRules => formatter.write_str("more rules than an interface may have"),
        }
    }
}

impl core::error::Error for Mistake {}
