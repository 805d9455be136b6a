//! Sockets of the host that carry on what an interface ends: the way out for a gateway without root.
//!
//! # Theory
//!
//! The interface decides inside the lock and does no I/O: it gives [`Orders`] and takes [`Reports`]. Its thread does what was
//! ordered outside the lock, and sleeps on all of these sockets through one descriptor of epoll, so that neither a round
//! nor a sleep costs more with many of them. Readiness is edge-triggered: a socket counts as readable, or
//! writable, until a call says that it is not.
//!
//! **Nothing grows.** A stream is read only as far as [`Order::Read`] allowed; what it does not take at once waits in its
//! buffer, and since the interface is told what left ([`Report::Sent`]), it keeps that below a bound of its own. A round
//! reads no more than the reports have room for. There are at most as many sockets as the limit of descriptors leaves
//! ([`Outside::places`]).
//!
//! **Forks.** The sockets have a lock of their own, which only this thread takes, and a thread that forks: a child closes
//! its copies, or a connection that the parent ends would not end. Who holds both locks has taken the interface's first.
//!
//! Only Linux has what this needs; elsewhere [`Outside::new`] says so.

mod orders;

#[cfg(target_os = "linux")]
mod complaints;
#[cfg(target_os = "linux")]
mod datagram;
#[cfg(target_os = "linux")]
mod route;
#[cfg(target_os = "linux")]
mod stream;
#[cfg(target_os = "linux")]
mod table;
#[cfg(not(target_os = "linux"))]
#[path = "nowhere.rs"]
mod table;
#[cfg(all(test, target_os = "linux"))]
mod tests;
#[cfg(target_os = "linux")]
mod turn;

pub use orders::{Complaint, Failure, Kind, Order, Orders, Report, Reports};
pub use table::Outside;
pub(crate) use table::Table;
