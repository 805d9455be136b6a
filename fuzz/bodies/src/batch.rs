//! Sealing and opening batches in a slab.

use wirewright_aead::{Key, Packet, Slab, TAG_LEN, Verdict, open, seal};

use crate::script::Script;

const MAX_PACKETS: usize = 8;
const KEYS: u16 = 3;

/// Describes a batch by the bytes, rightly or wrongly, seals and opens it.
///
/// # Panics
///
/// If a batch is refused and yet touched, if something outside the packets changes, or if what was sealed does
/// not open to what it was.
pub fn batch(bytes: &[u8]) {
    let mut script = Script(bytes);
    let keys: Vec<Key> = (0..KEYS).map(|number| Key::new(&[number as u8; 32])).collect();
    let stride = usize::from(script.u8());
    let packets: Vec<Packet> = (0..usize::from(script.u8()) % MAX_PACKETS)
        .map(|number| packet(&mut script, number))
        .collect();
    let forged = script.u16();
    let text = script.0;
    let mut slab = text.to_vec();

    let sealed = seal(
        &keys,
        &packets,
        Slab {
            bytes: &mut slab,
            stride,
        },
    );
    if sealed.is_err() {
        assert_eq!(slab, text, "a refused batch was touched");
    }
    let unsealed: Vec<Verdict> = vec![Verdict::Forged; packets.len()];
    let mut verdicts = unsealed.clone();
    let victim = packets.get(usize::from(forged) % MAX_PACKETS);
    if let (Ok(()), Some(victim)) = (sealed, victim) {
        slab[at(victim, stride) + victim.len as usize] ^= 1;
    }
    let opened = open(
        &keys,
        &packets,
        Slab {
            bytes: &mut slab,
            stride,
        },
        &mut verdicts,
    );
    assert_eq!(sealed, opened, "seal and open disagree about the layout");
    if sealed.is_err() {
        assert_eq!(slab, text, "a refused batch was touched");
        assert_eq!(verdicts, unsealed, "a refused batch has verdicts");
        return;
    }
    let mut expected = text.to_vec();
    for (packet, verdict) in packets.iter().zip(&verdicts) {
        let (start, len) = (at(packet, stride), packet.len as usize);
        if victim == Some(packet) {
            assert_eq!(*verdict, Verdict::Forged, "a forged tag was taken");
            expected[start..start + len].fill(0);
        } else {
            assert_eq!(*verdict, Verdict::Authentic, "a sealed packet does not open");
        }
        // What tags are left behind is not promised.
        let tag = start + len..start + len + TAG_LEN;
        expected[tag.clone()].copy_from_slice(&slab[tag]);
    }
    assert_eq!(
        slab, expected,
        "a byte changed that is no packet's, or a text is not what it was"
    );
}

/// A packet whose numbers are mostly reasonable, now and then absurd.
fn packet(script: &mut Script<'_>, number: usize) -> Packet {
    let shape = script.u8();
    let absurd = |bit: u8| if shape & bit == 0 { 0 } else { u32::MAX - 40 };
    Packet {
        key: u16::from(shape >> 4) % (KEYS + 1),
        slot: (number as u32 + u32::from(script.u8() % 3)).wrapping_add(absurd(1)),
        start: u32::from(script.u8() % 64).wrapping_add(absurd(2)),
        len: u32::from(script.u8()).wrapping_add(absurd(4)),
        counter: u64::from(script.u16()),
    }
}

fn at(packet: &Packet, stride: usize) -> usize {
    packet.slot as usize * stride + packet.start as usize
}
