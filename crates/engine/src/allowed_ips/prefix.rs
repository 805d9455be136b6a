//! A prefix: an address and how many of its leading bits count.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::address::Address;

/// An IPv4 or IPv6 prefix. The bits behind its length are zero.
///
/// Ordered by family (IPv4 first), then address, then length: a prefix comes right before those inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

impl Prefix {
    /// The prefix of `len` bits that `address` lies in: its host bits are dropped, as `wg(8)` does.
    ///
    /// # Errors
    /// If `len` is above 32 for IPv4 or above 128 for IPv6.
    pub fn new(address: impl Into<IpAddr>, len: u8) -> Result<Self, PrefixError> {
        let address = address.into();
        let width = width(address);
        if len > width {
            return Err(PrefixError::Length {
                len: u32::from(len),
                width,
            });
        }
        let address = match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().masked(len)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().masked(len)).into(),
        };
        Ok(Self { address, len })
    }

    /// A prefix whose host bits are known to be zero, and whose length to be right.
    pub(super) const fn masked(address: IpAddr, len: u8) -> Self {
        Self { address, len }
    }

    /// The prefix that holds `address` alone.
    #[must_use]
    pub fn host(address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        Self {
            address,
            len: width(address),
        }
    }

    /// The first address of the prefix.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that count, 0 to 32 or 128.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a prefix has a length, but is no collection"
    )]
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether `address` lies in the prefix; never for an address of the other family.
    #[must_use]
    pub fn contains(&self, address: impl Into<IpAddr>) -> bool {
        Self::new(address, self.len).is_ok_and(|prefix| prefix.address == self.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() {
        u32::WIDTH
    } else {
        u128::WIDTH
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::host(address)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `address/length`, or an address alone for all of its bits.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address {
            text: excerpt(address),
        })?;
        let Some(len) = len else {
            return Ok(Self::host(address));
        };
        // `parse` alone would take a plus sign.
        let digits = (1..=3).contains(&len.len()) && len.bytes().all(|byte| byte.is_ascii_digit());
        let number = len.parse::<u32>().ok().filter(|_| digits);
        let Some(number) = number else {
            return Err(PrefixError::LengthText {
                text: excerpt(len),
                width: width(address),
            });
        };
        match u8::try_from(number) {
            Ok(len) => Self::new(address, len),
            Err(_) => Err(PrefixError::Length {
                len: number,
                width: width(address),
            }),
        }
    }
}

/// The beginning of a text, as much as an error message should repeat.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 48;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text[..end].to_owned() + "…",
        None => text.to_owned(),
    }
}

/// Why a prefix was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// What should be an address is none.
    Address {
        /// The beginning of what stood there.
        text: String,
    },
    /// What stands behind the slash is no number.
    LengthText {
        /// The beginning of what stood there.
        text: String,
        /// The longest length of the address's family.
        width: u8,
    },
    /// The length is more than the address has bits.
    Length {
        /// The length.
        len: u32,
        /// The longest length of the address's family.
        width: u8,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { text } => {
                write!(
                    formatter,
                    "{text:?} is not an IP address; write a prefix as 10.0.0.0/8 or fd00::/64"
                )
            }
            Self::LengthText { text, width } => write!(
                formatter,
                "{text:?} is not a prefix length; write a number from 0 to {width} behind the slash"
            ),
            Self::Length { len, width } => {
                let family = if *width == u32::WIDTH { "IPv4" } else { "IPv6" };
                write!(
                    formatter,
                    "a prefix length of {len} is too long: an {family} address has {width} bits"
                )
            }
        }
    }
}

impl core::error::Error for PrefixError {}
