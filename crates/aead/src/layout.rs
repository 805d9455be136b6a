//! Where the packets of a batch lie, and the proof that they lie apart.

use core::fmt;

use crate::TAG_LEN;

/// One packet of a batch: it lies in `slab.bytes[slot * stride + start ..]`, `len` bytes of text and the tag
/// directly behind the text. Offsets and lengths are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Index of its key among the keys of the batch.
    pub key: u16,
    /// The slot it lies in; slots strictly increase along a batch.
    pub slot: u32,
    /// Where its text starts within the slot.
    pub start: u32,
    /// Length of its text, without the tag.
    pub len: u32,
    /// The message counter that its nonce is made of.
    pub counter: u64,
}

/// Slots of `stride` bytes, one behind the other. The last slot may be cut short behind its packet.
#[derive(Debug)]
pub struct Slab<'a> {
    /// The memory of all slots.
    pub bytes: &'a mut [u8],
    /// Distance between the starts of two slots; any value that holds the packets, best a multiple of 64.
    pub stride: usize,
}

/// The caller described a batch wrongly. Nothing was read or written. `packet` is the index in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// A packet names a key that was not given.
    UnknownKey {
        /// Index of the packet in the batch.
        packet: usize,
        /// The key it names.
        key: u16,
        /// How many keys were given.
        keys: usize,
    },
    /// A packet's slot is not greater than that of the packet before, so the two might overlap.
    SlotNotIncreasing {
        /// Index of the packet in the batch.
        packet: usize,
    },
    /// A packet with its tag ends behind its slot.
    OutsideSlot {
        /// Index of the packet in the batch.
        packet: usize,
    },
    /// A packet with its tag ends behind the slab.
    OutsideSlab {
        /// Index of the packet in the batch.
        packet: usize,
    },
    /// The number of verdicts is not the number of packets.
    VerdictCount {
        /// How many packets the batch has.
        packets: usize,
        /// How many verdicts there is room for.
        verdicts: usize,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownKey { packet, key, keys } => {
                write!(
                    f,
                    "packet {packet} names key {key}, but the batch has {keys} keys"
                )
            }
            Self::SlotNotIncreasing { packet } => {
                write!(
                    f,
                    "packet {packet} does not lie in a later slot than the packet before it"
                )
            }
            Self::OutsideSlot { packet } => {
                write!(
                    f,
                    "packet {packet} and its tag end behind their slot: use a larger stride"
                )
            }
            Self::OutsideSlab { packet } => {
                write!(
                    f,
                    "packet {packet} and its tag end behind the slab: use a larger slab"
                )
            }
            Self::VerdictCount { packets, verdicts } => {
                write!(
                    f,
                    "there is room for {verdicts} verdicts on {packets} packets: give one for each"
                )
            }
        }
    }
}

impl core::error::Error for LayoutError {}

/// A slab together with packets that were proved to lie inside it, apart from each other.
pub(crate) struct Layout<'p, 's> {
    packets: &'p [Packet],
    slab: Slab<'s>,
}

impl<'p, 's> Layout<'p, 's> {
    pub(crate) fn check(packets: &'p [Packet], keys: usize, slab: Slab<'s>) -> Result<Self, LayoutError> {
        let mut next_slot = 0;
        for (index, packet) in packets.iter().enumerate() {
            if usize::from(packet.key) >= keys {
                return Err(LayoutError::UnknownKey {
                    packet: index,
                    key: packet.key,
                    keys,
                });
            }
            // u64 throughout: slot + 1, start + len + tag cannot overflow it, whatever the packet says.
            if u64::from(packet.slot) < next_slot {
                return Err(LayoutError::SlotNotIncreasing { packet: index });
            }
            next_slot = u64::from(packet.slot) + 1;
            let end = u64::from(packet.start) + u64::from(packet.len) + TAG_LEN as u64;
            if end > slab.stride as u64 {
                return Err(LayoutError::OutsideSlot { packet: index });
            }
            let end = u64::from(packet.slot)
                .checked_mul(slab.stride as u64)
                .and_then(|at| at.checked_add(end));
            if end.is_none_or(|end| end > slab.bytes.len() as u64) {
                return Err(LayoutError::OutsideSlab { packet: index });
            }
        }
        Ok(Self { packets, slab })
    }

    /// Shows every packet, in order, with its index, text and room for the tag.
    pub(crate) fn for_each(&mut self, mut visit: impl FnMut(usize, &Packet, &mut [u8], &mut [u8; TAG_LEN])) {
        for (index, packet) in self.packets.iter().enumerate() {
            // `check` has proved that this fits a `usize` and the slab.
            let at = packet.slot as usize * self.slab.stride + packet.start as usize;
            let whole = &mut self.slab.bytes[at..at + packet.len as usize + TAG_LEN];
            if let Some((text, tag)) = whole.split_last_chunk_mut() {
                visit(index, packet, text, tag);
            }
        }
    }
}
