//! System tunnels on Linux: TUN devices, sockets with offloads, the UAPI socket, and threads that drive shards.
//!
//! # Theory
//!
//! An interface is one thread for control and one for each shard. A shard's thread owns a queue of the TUN device and a
//! pair of sockets, and runs to completion: it takes what its sockets and its queue have, a bounded amount, carries it
//! through the engine and hands it on, and sleeps when there is nothing left. Nothing is shared between threads but the
//! letters in their mailboxes: commands, published directories, and batches that belong to another shard.
//!
//! Only this crate and `runtime` make system calls; the protocol is the engine's.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod sys;

pub mod process;
pub mod shim;
pub mod tun;
pub mod udp;

mod delivery;
mod device;
mod ifreq;
mod intake;
mod journal;
mod link;
mod mailbox;
mod netlink;
mod served;
mod uapi;
mod wait;
mod worker;

pub use device::{Config, Device, MTU};
pub use journal::LogLevel;
pub use sys::inherited;
