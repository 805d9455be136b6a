//! One WireGuard interface: peers, allowed IPs, tables, shards and counters, without I/O.
//!
//! # Theory
//!
//! An interface is a *control plane* and N *shards* that share nothing. The [`Control`] holds the
//! configuration and publishes it as a [`Directory`] (allowed IPs and the peers' whereabouts), an immutable
//! value behind an `Arc`. A [`Shard`] owns its home peers: their conversations, endpoints, staged packets,
//! timers and counters. No lock stands between the two: commands, directories and hand-overs are values that
//! the shell carries from one thread to the other.
//!
//! Packets come and go in a [`Batch`]: one slab, packets at a stride. The way of a batch outwards is
//! [`Shard::send`] (allowed IPs, home shard, nonce range) → [`SealJob::run`] (the cipher; any thread may do
//! it) → [`Shard::sealed`] (order restored by the job's number). Inwards: [`Shard::receive`] (receiver index,
//! age, replay) → [`OpenJob::run`] → [`Shard::opened`] (replay again, confirmation, roaming, allowed source).
//!
//! Nothing here reads a clock, a random source or a socket: each call is given the [`Moment`], and tells
//! through [`Output`] and [`Shard::deadline`] what is to be done and when it wants to be called again.
//!
//! [`Engine`] composes a control plane and its shards on one thread; tests in virtual time and the rootless
//! shell use it.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod allowed_ips;
pub mod deadlines;
pub mod filter;
pub mod table;
pub mod uapi;

mod batch;
mod control;
mod counters;
mod directory;
mod engine;
mod job;
mod limits;
mod load;
mod output;
mod packet;
mod pages;
mod peer;
mod sequence;
mod shard;
mod sieve;
mod slots;

pub use batch::{Batch, Slot};
pub use control::{ConfigureError, Control, PeerConfig};
pub use counters::{Counters, Event};
pub use directory::{Directory, PeerRef};
pub use engine::Engine;
pub use job::{OpenJob, SealJob};
pub use limits::Limits;
pub use output::{HandedOver, Handover, Notice, Output};
pub use peer::{Endpoint, PeerReport, PeerStatus};
pub use shard::{Command, Moment, Shard};
