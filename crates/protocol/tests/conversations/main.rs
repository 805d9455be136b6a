//! Two conversations in virtual time: each rule of the handshake, each row of the timer table, by name.
//!
//! [`pair`] holds two hosts and the wire between them; nothing sleeps and nothing reads a clock.

#![allow(clippy::unwrap_used)]

mod cookies;
mod handshake;
mod host;
mod pair;
mod sessions;
mod timers;
mod weather;
