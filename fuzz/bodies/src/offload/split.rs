//! What a TUN device hands over: a header that says what is left to be done, and a packet.

use wirewright_offload::split::Split;
use wirewright_offload::virtio::{HEADER_LEN, Header, Kind, Partial};

use super::naive::{self, Transport};
use crate::script::Script;

/// Packets of one super-packet that are looked at, first and last among them.
const LOOKED_AT: usize = 64;

/// Takes one byte of shape, a virtio header and a packet, and does what the header asks for.
///
/// # Panics
///
/// If a packet differs in a byte from what the naive way comes to, or if only one of the two ways takes it.
pub fn split(bytes: &[u8]) {
    let mut script = Script(bytes);
    let shape = script.u8();
    let mut head = [0; HEADER_LEN];
    let from = script.bytes(HEADER_LEN);
    head[..from.len()].copy_from_slice(from);
    let mut packet = script.0[..script.0.len().min(65_535)].to_vec();
    if shape & 1 != 0 {
        make_lengths_true(&mut packet);
    }
    let Some(header) = Header::parse(&head) else {
        return;
    };
    assert_eq!(
        Header::parse(&header.write(40)),
        Some(header),
        "a header is not read as it was written"
    );
    match header.segments {
        None => {
            if let Some(partial) = header.checksum {
                complete(partial, packet);
            }
        }
        Some((kind, segment)) => cut(kind, &packet, segment.into(), header.checksum),
    }
}

/// So that what is mutated stays a packet.
fn make_lengths_true(packet: &mut [u8]) {
    let len = packet.len();
    let transport = match packet.first().map(|byte| byte >> 4) {
        Some(4) if len >= 20 => {
            naive::put(packet, 2, len as u16);
            usize::from(packet[0] & 15) * 4
        }
        Some(6) if len >= 40 => {
            naive::put(packet, 4, (len - 40) as u16);
            40
        }
        _ => return,
    };
    if naive::layout(packet, Transport::Tcp).is_none() && transport + 8 <= len {
        naive::put(packet, transport + 4, (len - transport) as u16);
    }
}

fn complete(partial: Partial, packet: Vec<u8>) {
    let (start, field) = (
        usize::from(partial.start),
        usize::from(partial.start) + usize::from(partial.offset),
    );
    let mut expected = packet.clone();
    let is_inside = field + 2 <= packet.len();
    if is_inside {
        let sum = match !naive::sum(&packet[start..]) {
            0 => 0xffff,
            sum => sum,
        };
        naive::put(&mut expected, field, sum);
    }
    let mut completed = packet;
    assert_eq!(partial.complete(&mut completed), is_inside);
    assert!(
        completed == expected,
        "a checksum is not the one that was asked for"
    );
}

fn cut(kind: Kind, packet: &[u8], segment: usize, checksum: Option<Partial>) {
    let transport = match kind {
        Kind::Tcp4 | Kind::Tcp6 => Transport::Tcp,
        Kind::Udp => Transport::Udp,
    };
    let split = Split::asked(packet, kind, segment, checksum);
    let layout = match checksum {
        None => naive::layout(packet, transport),
        Some(partial) if usize::from(partial.offset) != transport.field() => None,
        Some(partial) => naive::layout_behind(packet, transport, partial.start.into()),
    };
    let expected = layout.and_then(|layout| {
        let count = naive::count(packet, transport, layout, segment)?;
        Some((layout, count))
    });
    assert_eq!(
        split.ok().map(|split| split.count()),
        expected.map(|(_, count)| count)
    );
    let (Ok(split), Some((layout, count))) = (split, expected) else {
        return;
    };
    assert!(
        !split.write(count, &mut vec![0; split.packet_len(count)]),
        "there is one packet too many"
    );
    for index in (0..count).step_by(count.div_ceil(LOOKED_AT)).chain([count - 1]) {
        let mut piece = vec![0xa5; split.packet_len(index)];
        assert!(
            split.write(index, &mut piece),
            "a packet has not the length that was told"
        );
        assert!(
            piece == naive::piece(packet, transport, layout, segment, index),
            "packet {index} of {count} is another"
        );
    }
}
