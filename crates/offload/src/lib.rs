//! Packets that travel together, without I/O: internet checksums, UDP trains, TCP super-segments.
//!
//! A kernel charges by the call and by the trip through its stack, not by the byte. So datagrams are handed to
//! it in trains (UDP segmentation offload) and taken from it in trains (UDP receive offload), and TCP segments
//! of one flow are handed on as one large segment. On the wire nothing changes.
//!
//! - [`checksum`]: the internet checksum, whole and incremental.
//! - [`segments`]: cutting received trains apart and finding trains among outgoing datagrams.
//! - [`coalesce`]: joining TCP segments of one flow.
//! - [`split`]: cutting a TCP or UDP super-segment into packets.
//! - [`gather`]: joining without a copy, for a device that takes packets in pieces.
//! - [`virtio`]: what a TUN device says about a packet in front of it.
//!
//! Lengths and offsets are bytes everywhere. Nothing allocates on the path of a packet.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod coalesce;
mod extension;
pub mod gather;
pub mod segments;
pub mod split;
mod tcp;
mod udp;
pub mod virtio;
