//! The text of configuration files, where it holds keys: in memory that is wiped, without I/O.
//!
//! Files are read by `runtime` and understood by Python. What stands between the two is here: the secrets are cut out
//! of a text before Python sees it, and put back before it is written.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod redact;
