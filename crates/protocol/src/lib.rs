//! One WireGuard conversation: handshake, cookies, sessions and timers, without I/O.
