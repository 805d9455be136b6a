//! Splitting and gathering of packets that travel together, and internet checksums, without I/O.
