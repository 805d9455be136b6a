//! A batch of packets: one slab, packets at a stride.
//!
//! A batch is owned by whoever works on it and moves whole from stage to stage, from thread to thread and back
//! into a pool; that is why no lock is needed. The same bytes serve as plaintext and as datagram: a plaintext
//! packet begins [`Batch::HEADROOM`] bytes into its slot, where the data header will stand before it, and leaves
//! room for padding and tag behind it, so that sealing and opening never move a byte.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use wirewright_protocol::wire::DATA_OVERHEAD;
use zeroize::Zeroize;

use crate::directory::PeerRef;
use crate::peer::Endpoint;

/// Where one packet lies in its slot of a [`Batch`], and where it came from or goes to.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Offset of the first byte within the slot.
    pub start: u32,
    /// Length in bytes. Zero: the slot holds no packet (dropped, or not a packet for this stage).
    pub len: u32,
    /// The datagram's remote address, and the local address that it came to or must leave from. It has a
    /// meaning for datagrams only.
    pub path: Endpoint,
    /// The peer that the datagram goes to, so that its fate can be told of the peer ([`crate::Engine::refused`]). `None`
    /// for what was received, for plaintext, and for what goes to an address that may be anybody's.
    pub peer: Option<PeerRef>,
    /// How many routers the datagram may pass, where it may not pass as many as the system's others: it holds a message of
    /// another tunnel.
    pub hop_limit: Option<u8>,
}

/// A slab of packets at a stride.
pub struct Batch {
    bytes: Box<[u8]>,
    stride: usize,
    slots: Vec<Slot>,
}

impl Batch {
    /// Bytes before a plaintext packet: the header of a data message (the paper's section 5.4.6).
    pub const HEADROOM: usize = 16;

    /// An empty batch with room for `slots` packets of `stride` bytes each, zeroed.
    #[must_use]
    pub fn new(slots: usize, stride: usize) -> Self {
        Self {
            bytes: vec![0; slots * stride].into_boxed_slice(),
            stride,
            slots: Vec::with_capacity(slots),
        }
    }

    /// The stride that plaintext packets of up to `mtu` bytes need: header, padding and tag included, and a
    /// multiple of 64, since stores that cross a cache line cost two.
    #[must_use]
    pub const fn stride_for(mtu: usize) -> usize {
        (mtu.next_multiple_of(16) + DATA_OVERHEAD).next_multiple_of(64)
    }

    /// How many slots fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len().checked_div(self.stride).unwrap_or(0)
    }

    /// Bytes from one slot to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// How many slots are in use, empty ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no slot is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many more packets fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity().saturating_sub(self.slots.len())
    }

    /// Whether no further packet fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Forgets all packets; the slab keeps its size.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// Adds a plaintext packet of `len` bytes that `fill` writes. False if the batch is full or the packet does
    /// not fit a slot together with header, padding and tag.
    pub fn push_plaintext(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        if len.next_multiple_of(16) + DATA_OVERHEAD > self.stride {
            return false;
        }
        self.push(Self::HEADROOM, len, Endpoint::UNSPECIFIED, fill)
    }

    /// Adds a datagram of `len` bytes that `fill` writes. False if the batch is full or the slot too small.
    pub fn push_datagram(&mut self, path: Endpoint, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        self.push(0, len, path, fill)
    }

    /// Takes what a socket wrote to [`Batch::buffer_mut`]: `len` bytes, in datagrams of `segment` bytes each
    /// (the last may be shorter), as UDP receive offload delivers them, all over the same path.
    pub fn set_received(&mut self, len: usize, segment: usize, path: Endpoint) {
        self.slots.clear();
        let len = len.min(self.bytes.len());
        self.stride = segment.clamp(1, self.bytes.len().max(1));
        let mut offset = 0;
        while offset < len {
            let size = self.stride.min(len - offset);
            self.slots.push(Slot {
                start: 0,
                len: size as u32,
                path,
                peer: None,
                hop_limit: None,
            });
            offset += size;
        }
    }

    /// The whole slab, to be written to by a socket.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The packet in slot `index`; empty if there is none.
    #[must_use]
    pub fn packet(&self, index: usize) -> &[u8] {
        self.range(index)
            .and_then(|range| self.bytes.get(range))
            .unwrap_or(&[])
    }

    /// The packet in slot `index`, writable.
    pub fn packet_mut(&mut self, index: usize) -> &mut [u8] {
        match self.range(index) {
            Some(range) => self.bytes.get_mut(range).unwrap_or(&mut []),
            None => &mut [],
        }
    }

    /// The packets that are present, with their slots.
    pub fn packets(&self) -> impl Iterator<Item = (&Slot, &[u8])> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.len > 0)
            .map(|(index, slot)| (slot, self.packet(index)))
    }

    /// The description of slot `index`.
    #[must_use]
    pub fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    pub(crate) fn slot_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)
    }

    /// Adds a copy of a packet of another batch at the same place of its slot.
    pub(crate) fn push_slot(&mut self, slot: &Slot, packet: &[u8]) -> bool {
        self.push(slot.start as usize, packet.len(), slot.path, |bytes| {
            bytes.copy_from_slice(packet)
        })
    }

    /// Empties slot `index`.
    pub(crate) fn drop_packet(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.len = 0;
        }
    }

    /// Slot `index` as a whole: header room, packet, padding and tag.
    pub(crate) fn slot_bytes_mut(&mut self, index: usize) -> &mut [u8] {
        let from = index * self.stride;
        let to = (from + self.stride).min(self.bytes.len());
        self.bytes.get_mut(from..to).unwrap_or(&mut [])
    }

    /// The slab and its stride, as the cipher wants them.
    pub(crate) fn slab(&mut self) -> wirewright_aead::Slab<'_> {
        wirewright_aead::Slab {
            bytes: &mut self.bytes,
            stride: self.stride,
        }
    }

    fn push(&mut self, start: usize, len: usize, path: Endpoint, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.is_full() || start + len > self.stride {
            return false;
        }
        self.slots.push(Slot {
            start: start as u32,
            len: len as u32,
            path,
            peer: None,
            hop_limit: None,
        });
        fill(self.packet_mut(self.slots.len() - 1));
        true
    }

    fn range(&self, index: usize) -> Option<core::ops::Range<usize>> {
        let slot = self.slots.get(index)?;
        let from = index * self.stride + slot.start as usize;
        Some(from..from + slot.len as usize)
    }
}

/// Batches kept for reuse, so that steady traffic allocates nothing.
#[derive(Default)]
pub(crate) struct Pool {
    free: Vec<Batch>,
}

impl Pool {
    /// An empty batch of `slots` slots of `stride` bytes.
    pub(crate) fn take(&mut self, slots: usize, stride: usize) -> Batch {
        let size = slots * stride;
        match self.free.iter().rposition(|batch| batch.bytes.len() == size) {
            Some(position) => {
                let mut batch = self.free.swap_remove(position);
                batch.slots.clear();
                batch.stride = stride;
                batch
            }
            None => Batch::new(slots, stride),
        }
    }

    /// Keeps a batch, unless `limit` are kept already or it is a small one.
    pub(crate) fn put(&mut self, batch: Batch, limit: usize) {
        if self.free.len() < limit && batch.bytes.len() >= SMALL {
            self.free.push(batch);
        }
    }
}

/// Batches below this size are cheaper to make than to keep.
const SMALL: usize = 4096;

/// A slab carried plaintext; its memory goes back to the allocator, so it is wiped.
impl Drop for Batch {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_is_left_of_the_slots() {
        let mut batch = Batch::new(3, 64);
        assert_eq!((batch.room(), batch.is_full()), (3, false));
        assert!(batch.push_plaintext(10, |bytes| bytes.fill(1)));
        assert!(batch.push_plaintext(10, |bytes| bytes.fill(1)));
        assert_eq!(batch.room(), 1);
        assert!(batch.push_plaintext(10, |bytes| bytes.fill(1)));
        assert_eq!((batch.room(), batch.is_full()), (0, true));
        batch.clear();
        assert_eq!(batch.room(), 3);
    }

    #[test]
    fn a_plaintext_packet_leaves_room_for_header_padding_and_tag() {
        let mut batch = Batch::new(2, Batch::stride_for(100));
        assert!(batch.push_plaintext(100, |bytes| bytes.fill(7)));
        assert_eq!(batch.packet(0), [7; 100]);
        assert!(batch.slot_bytes_mut(0).len() >= 16 + 112 + 16);
        assert!(!batch.push_plaintext(batch.stride(), |_| ()));
    }

    #[test]
    fn a_full_batch_takes_no_more() {
        let mut batch = Batch::new(1, 64);
        assert!(batch.push_datagram(Endpoint::UNSPECIFIED, 64, |_| ()));
        assert!(batch.is_full());
        assert!(!batch.push_datagram(Endpoint::UNSPECIFIED, 1, |_| ()));
    }

    #[test]
    fn a_coalesced_buffer_is_seen_as_its_datagrams() {
        let mut batch = Batch::new(4, 64);
        batch.buffer_mut()[..250].copy_from_slice(&core::array::from_fn::<u8, 250, _>(|index| index as u8));
        batch.set_received(250, 100, Endpoint::UNSPECIFIED);
        let lengths: Vec<usize> = batch.packets().map(|(_, packet)| packet.len()).collect();
        assert_eq!(lengths, [100, 100, 50]);
        assert_eq!(batch.packet(2)[0], 200);
    }

    #[test]
    fn a_dropped_packet_is_skipped() {
        let mut batch = Batch::new(2, 64);
        batch.push_datagram(Endpoint::UNSPECIFIED, 3, |bytes| bytes.fill(1));
        batch.push_datagram(Endpoint::UNSPECIFIED, 3, |bytes| bytes.fill(2));
        batch.drop_packet(0);
        assert_eq!(batch.packets().count(), 1);
        assert_eq!(batch.packets().next().unwrap().1, [2, 2, 2]);
    }
}
