//! UDP sockets, threads, clocks and wakers for the engine, on any operating system.
//!
//! Only this crate and `linux` make system calls. A [`Shell`] joins three things on one thread: the outer sockets, an
//! [`wirewright_engine::Engine`], and the plaintext side, which is whatever implements [`Interface`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
pub mod fork;
pub mod outside;
pub mod secret_file;
pub mod vault;

mod alarm;
mod random;
mod refusals;
mod rest;
mod shell;
mod suspend;
mod udp;
mod waker;

pub use alarm::{Alarm, SystemTimer, Timer};
pub use random::OsRandom;
pub use refusals::Refusals;
pub use rest::{Rest, is_final};
pub use shell::{Interface, Owner, Shell, State};
pub use suspend::SuspendWatch;
pub use udp::{UdpSockets, cause};
pub use waker::Waker;
