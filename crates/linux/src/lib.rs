//! System tunnels on Linux.
pub mod placeholder {}
