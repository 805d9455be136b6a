//! For tests: where packets go, and are kept.

use crate::device::PacketSink;

#[derive(Default)]
pub(crate) struct Kept(pub(crate) Vec<Vec<u8>>);

impl PacketSink for Kept {
    fn has_room(&self) -> bool {
        true
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.push(packet);
        result
    }
}
