//! The text that `wg(8)` speaks with a userspace engine, without the socket it goes over.
//!
//! # Theory
//!
//! A client sends requests, each a few lines `key=value` and an empty line; the answer to each ends with `errno=N` and
//! an empty line (the cross-platform interface document of WireGuard):
//!
//! ```text
//! request  = "get=1" LF LF
//!          / "counters=1" LF LF
//!          / "filter=1" LF LF
//!          / "set=1" LF *device *peer LF
//! device   = private_key / listen_port / fwmark / replace_peers / "filter=" ( true / false ) / filter_own / filter_protected
//! peer     = "public_key=" hex *( remove / update_only / preshared_key / endpoint / persistent_keepalive_interval
//!                                 / replace_allowed_ips / allowed_ip / protocol_version / replace_rules / allow )
//! ```
//!
//! `counters` is of our own: the answer has a line `event=N` for each [`Event`](crate::Event), and how many datagrams and
//! packets came to another shard than their own. So are the keys of the packet filter, which only the answer to `filter` shows:
//! `wg(8)` never sees them. `filter=true` makes a filter, or another in the place of one, of the `filter_own` and
//! `filter_protected` that follow; `replace_rules=true` takes a peer's rules away, and each `allow` that follows adds one.
//!
//! A request is read whole before anything is done, so that a mistake in its last line leaves everything as it was
//! ([`Parser`] gives a [`Request`], [`Control::apply`](crate::Control::apply) carries it out). What it may hold is
//! bounded by what an interface may have: a client that sends without end is refused, not stored.
//!
//! Keys pass through here as hexadecimal digits: lines and answers lie in memory that is wiped, and errors name the
//! line and the key, never a value.

mod apply;
mod changes;
mod error;
mod hex;
mod lines;
mod parser;
mod reply;
#[cfg(test)]
mod tests;

pub use changes::{Changes, PeerChange, Request};
pub use error::{Errno, Mistake, Problem};
pub use lines::Lines;
pub use parser::{Interfaces, Parser};
pub use reply::{DeviceReport, Reply};
