//! TCP/IP in user space for rootless tunnels: what an operating system would do behind a TUN, without one.
//!
//! [`Netstack`] does no I/O and reads no clock. Decrypted IP packets go in by [`Netstack::receive`], IP packets
//! to encrypt come out through a [`PacketSink`] in [`Netstack::poll`], what became possible is told by
//! [`Netstack::next_event`], and [`Netstack::deadline`] says when to call again.
//!
//! # Shape
//!
//! Everything is written here, on smoltcp's wire formats: its TCP sends too slowly where packets are lost
//! (`docs/notes/tcp-sender.md`), and looks at every socket for every packet. Here a hash table of 4-tuples stands before the
//! connections, so that a packet touches one of them, however many there are; a list names those that have work, and an
//! ordered set holds their deadlines. TCP is in `tcp`.
//!
//! A received segment is processed at once, but what it provokes waits for the next `poll`: a batch of `receive`
//! calls followed by one `poll` acknowledges cumulatively.
//!
//! # Nothing is forwarded unless it is asked for
//!
//! A packet that is not for one of the stack's own addresses is dropped and counted, unless [`Netstack::forward`] was called:
//! then it is carried on by sockets of the host (`forward`). Dropped are also fragments (neither
//! family is reassembled), IPv6 extension headers, and packets with a source nobody can have.
//!
//! # Budget
//!
//! All memory is bounded by [`Limits`]:
//!
//! | what | bound | default |
//! |-|-|-|
//! | connections | `connections` × (about 1.5 KiB + buffers + what is known of segments in flight, up to 256 KiB) | 16,384 |
//! | buffers of a connection | `receive_buffer` + `transmit_buffer`, address space until touched | 2 MiB |
//! | what windows grow beyond that | `largest_window` for each of the two, `window_growth` for all connections | 4 MiB, 256 MiB |
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
mod config;
mod connection;
mod counters;
mod datagram;
mod deadlines;
mod demux;
mod device;
mod error;
mod event;
mod forward;
mod hash;
mod icmp;
mod initial_sequence;
mod limiter;
mod listener;
mod notices;
mod outbox;
mod ping;
mod ports;
mod rootless;
mod slots;
mod stack;
mod tcp;
mod time_wait;

pub use config::{Config, ConfigError, Control, Keepalive, Limits, Timing};
pub use counters::Counters;
pub use datagram::Datagram;
pub use device::PacketSink;
pub use error::{BindError, ConnectError, ListenError, PingError, SendError, WriteError};
pub use event::{CloseReason, ConnectFailure, Event, Unreachable};
pub use forward::{ForwardCounters, Forwarding};
pub use rootless::Rootless;
pub use slots::{ConnectionId, ListenerId, PingId, SocketId};
pub use stack::{Forwarded, Held, Netstack, Read};
pub use wirewright_protocol::Instant;
