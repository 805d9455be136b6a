//! Where packets leave.

use smoltcp::phy::{Checksum, ChecksumCapabilities};

/// Takes packets to encrypt and send.
pub trait PacketSink {
    /// Whether a packet as large as the MTU fits. While it does not, connections wait and keep their data.
    fn has_room(&self) -> bool;

    /// Takes one packet: gives `fill` a buffer of exactly `len` bytes, of any content, and returns what it
    /// returns. Called only after `has_room` said yes.
    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R;
}

/// What went out.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// What smoltcp computes: incoming checksums are verified before anything else.
pub(crate) fn checksums() -> ChecksumCapabilities {
    let mut checksum = ChecksumCapabilities::default();
    (checksum.ipv4, checksum.tcp) = (Checksum::Tx, Checksum::Tx);
    checksum
}
