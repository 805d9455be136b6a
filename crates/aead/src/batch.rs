//! Batches: many packets, several keys, one verdict a packet.
//!
//! The loop is packet by packet because ring offers nothing wider. The functions promise no order among the
//! packets of a batch, so that a multi-packet implementation (a lane a packet) can take their place.

use core::borrow::Borrow;

use crate::Key;
use crate::cipher::{self, Verdict};
use crate::layout::{Layout, LayoutError, Packet, Slab};

/// Encrypts every packet of the batch in place and writes its tag behind it.
///
/// # Errors
///
/// If the batch is described wrongly; then no byte was touched.
pub fn seal<K: Borrow<Key>>(keys: &[K], packets: &[Packet], slab: Slab<'_>) -> Result<(), LayoutError> {
    Layout::check(packets, keys.len(), slab)?.for_each(|_, packet, text, tag| {
        cipher::seal(
            key_of(keys, packet),
            cipher::nonce(packet.counter),
            &[],
            text,
            tag,
        );
    });
    cipher::wipe_dead_frames();
    Ok(())
}

/// Authenticates and decrypts every packet of the batch in place; a packet's `len` does not count its tag.
///
/// `verdicts[i]` is about packet `i`. A forged packet's text is wiped, its neighbours are not affected.
///
/// # Errors
///
/// If the batch is described wrongly or `verdicts` is not as long as `packets`; then no byte was touched, of
/// the verdicts neither.
pub fn open<K: Borrow<Key>>(
    keys: &[K],
    packets: &[Packet],
    slab: Slab<'_>,
    verdicts: &mut [Verdict],
) -> Result<(), LayoutError> {
    if verdicts.len() != packets.len() {
        return Err(LayoutError::VerdictCount {
            packets: packets.len(),
            verdicts: verdicts.len(),
        });
    }
    Layout::check(packets, keys.len(), slab)?.for_each(|index, packet, text, tag| {
        verdicts[index] = cipher::open(
            key_of(keys, packet),
            cipher::nonce(packet.counter),
            &[],
            text,
            tag,
        );
    });
    cipher::wipe_dead_frames();
    Ok(())
}

/// `Layout::check` has proved that the packet names one of the keys.
fn key_of<'k, K: Borrow<Key>>(keys: &'k [K], packet: &Packet) -> &'k Key {
    keys[usize::from(packet.key)].borrow()
}
