//! TCP/IP in user space for rootless tunnels: what an operating system would do behind a TUN, without one.
//!
//! [`Netstack`] does no I/O and reads no clock. Decrypted IP packets go in by [`Netstack::receive`], IP packets
//! to encrypt come out through a [`PacketSink`] in [`Netstack::poll`], what became possible is told by
//! [`Netstack::next_event`], and [`Netstack::deadline`] says when to call again.
//!
//! # Shape
//!
//! TCP is smoltcp's, but its `SocketSet` looks at every socket for every packet. So **each connection is a
//! smoltcp `Interface` of its own with one socket**, and a hash table of 4-tuples stands in front of them: a
//! packet touches one connection, however many there are. A list names the connections that have work and an
//! ordered set holds their deadlines. UDP, ICMP and everything that answers without a connection is written here
//! on smoltcp's wire formats.
//!
//! What smoltcp's sender lacks (congestion control that counts bytes, recovery from more than one loss, probes of a
//! lost tail) is steered from outside, in `sender`.
//!
//! A received segment is processed at once, but what it provokes waits for the next `poll`: a batch of `receive`
//! calls followed by one `poll` acknowledges cumulatively.
//!
//! # Nothing is forwarded
//!
//! A packet that is not for one of the stack's own addresses is dropped and counted. So are fragments (neither
//! family is reassembled), IPv6 extension headers, and packets with a source nobody can have.
//!
//! # Budget
//!
//! All memory is bounded by [`Limits`]:
//!
//! | what | bound | default |
//! |-|-|-|
//! | connections | `connections` × (about 2.5 KiB + buffers) | 16,384 |
//! | buffers of a connection | `receive_buffer` + `transmit_buffer`, address space until touched | 2 MiB |
//! | connections nobody accepted yet | the listeners' backlogs | caller's choice |
//! | released connections in TIME-WAIT | a quarter of `connections` × about 150 bytes, the oldest is dropped first | 4,096 |
//! | datagram sockets | `datagram_sockets` × `datagram_queue` | 4,096 × 256 KiB |
//! | replies and datagrams on their way out | `outbox` | 1 MiB |
//! | unanswered echo requests | `pings` | 1,024 |
//! | events | one of a kind for each connection, listener, socket and ping | |
//! | notices of the engine | the newest of each peer | |
//!
//! Buffers come from anonymous mappings: pages that no byte reached cost nothing, and they return to the system
//! when the connection is freed.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod buffers;
mod config;
mod connection;
mod counters;
mod datagram;
mod deadlines;
mod demux;
mod device;
mod error;
mod event;
mod generator;
mod hash;
mod icmp;
mod initial_sequence;
mod limiter;
mod listener;
mod machine;
mod notices;
mod outbox;
mod ping;
mod ports;
mod rootless;
mod sender;
mod slots;
mod stack;
mod time;
mod time_wait;

pub use config::{Config, ConfigError, Keepalive, Limits, Timing};
pub use counters::Counters;
pub use datagram::Datagram;
pub use device::PacketSink;
pub use error::{BindError, ConnectError, ListenError, PingError, SendError, WriteError};
pub use event::{CloseReason, ConnectFailure, Event, Unreachable};
pub use rootless::Rootless;
pub use slots::{ConnectionId, ListenerId, PingId, SocketId};
pub use stack::{Held, Netstack, Read};
pub use wirewright_protocol::Instant;
