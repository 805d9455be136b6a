//! One WireGuard interface: peers, allowed IPs, tables, shards and counters, without I/O.
