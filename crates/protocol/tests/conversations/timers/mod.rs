//! The timer table, a file a row.

mod keepalive;
mod new_handshake;
mod persistent;
mod retransmit;
mod zero_keys;
