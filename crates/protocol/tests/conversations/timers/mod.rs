//! The timer table, a file a row.

mod jitter;
mod keepalive;
mod new_handshake;
mod persistent;
mod retransmit;
mod zero_keys;
