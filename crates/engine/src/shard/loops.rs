//! Routing loops: our own messages, routed back into the interface.
//!
//! # Theory
//!
//! If the way to a peer's endpoint leads into the tunnel, a message goes round, longer by a header and a tag each time,
//! until it is cut into fragments, which multiply. A message of ours names a session by its receiver's index, so that an
//! outgoing packet that holds a data message to one of the sessions in use here is taken for such. Sessions are remembered
//! in a small table in which a newer one takes the place of another; a stranger's message hits one with a chance of at
//! most 2^-24.

use alloc::boxed::Box;

use crate::packet::data_message_receiver;

const SLOTS: usize = 256;

/// The sessions to which this shard seals.
pub(super) struct Loops {
    receivers: Box<[u32; SLOTS]>,
}

impl Loops {
    pub(super) fn new() -> Self {
        let mut receivers = Box::new([0; SLOTS]);
        // What an empty place holds belongs to another place: zero may be an index as any other.
        if let Some(place) = receivers.get_mut(slot(0)) {
            *place = u32::MAX;
        }
        Self { receivers }
    }

    /// Something is sealed to the session that its receiver knows by `receiver_index`.
    pub(super) fn note(&mut self, receiver_index: u32) {
        if let Some(place) = self.receivers.get_mut(slot(receiver_index)) {
            *place = receiver_index;
        }
    }

    /// Whether an outgoing packet is a message of ours that came back.
    pub(super) fn is_ours(&self, packet: &[u8]) -> bool {
        data_message_receiver(packet)
            .is_some_and(|receiver| self.receivers.get(slot(receiver)) == Some(&receiver))
    }
}

/// Indices need not be random, so that they are spread (Knuth's multiplicative hash).
fn slot(receiver_index: u32) -> usize {
    (receiver_index.wrapping_mul(0x9e37_79b1) >> 24) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_to(receiver: u32) -> [u8; 40] {
        let mut packet = [0; 40];
        (packet[0], packet[9], packet[28]) = (0x45, 17, 4);
        packet[32..36].copy_from_slice(&receiver.to_le_bytes());
        packet
    }

    #[test]
    fn an_empty_table_knows_nobody() {
        let loops = Loops::new();
        for receiver in (0..1000).chain([u32::MAX]) {
            assert!(!loops.is_ours(&message_to(receiver)), "{receiver}");
        }
    }

    #[test]
    fn a_session_is_known_until_another_takes_its_place() {
        let mut loops = Loops::new();
        let other = (8..).find(|other| slot(*other) == slot(7)).unwrap();
        loops.note(7);
        assert!(loops.is_ours(&message_to(7)) && !loops.is_ours(&message_to(other)));
        loops.note(other);
        assert!(!loops.is_ours(&message_to(7)) && loops.is_ours(&message_to(other)));
        loops.note(0);
        assert!(loops.is_ours(&message_to(0)));
    }
}
