//! Packets that are longer than the tunnel's MTU, cut into fragments (RFC 791 2.3, RFC 8200 4.5): answers of the host's
//! sockets come whole, however they came to the host, and what one peer sends another may be longer than ours.

use crate::device::PacketSink;

const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
const FRAGMENT: usize = 8;
/// Next header "fragment".
const NEXT_FRAGMENT: u8 = 44;

pub(crate) struct Cutter {
    /// The identification of the next packet.
    next: u32,
    /// A packet on its way, whole.
    whole: Vec<u8>,
}

impl Cutter {
    pub(crate) fn new(first: u32) -> Self {
        Self {
            next: first,
            whole: Vec::new(),
        }
    }

    /// Emits a packet of `len` bytes that `fill` writes, in as many pieces as it takes. It must have no options and no
    /// extension headers.
    pub(crate) fn emit(
        &mut self,
        len: usize,
        mtu: usize,
        sink: &mut impl PacketSink,
        fill: impl FnOnce(&mut [u8]),
    ) {
        if len <= mtu {
            return sink.packet(len, fill);
        }
        self.whole.clear();
        self.whole.resize(len, 0);
        fill(&mut self.whole);
        self.next = self.next.wrapping_add(1);
        match self.whole.first().map(|byte| byte >> 4) {
            Some(4) => cut_v4(&self.whole, self.next, mtu, sink),
            Some(6) => cut_v6(&self.whole, self.next, mtu, sink),
            _ => (),
        }
    }
}

fn cut_v4(whole: &[u8], number: u32, mtu: usize, sink: &mut impl PacketSink) {
    let Some((header, body)) = whole.split_at_checked(HEADER_V4) else {
        return;
    };
    #[allow(clippy::cast_possible_truncation)] // the lower half
    let number = number as u16;
    pieces(body, mtu - HEADER_V4, |offset, piece, more| {
        let len = HEADER_V4 + piece.len();
        sink.packet(len, |room| {
            let Some((head, rest)) = room.split_at_mut_checked(HEADER_V4) else {
                return;
            };
            head.copy_from_slice(header);
            rest.copy_from_slice(piece);
            let flags = u16::from(more) << 13 | u16::try_from(offset / 8).unwrap_or(0);
            put(head, 2, u16::try_from(len).unwrap_or(0));
            put(head, 4, number);
            put(head, 6, flags);
            put(head, 10, 0);
            smoltcp::wire::Ipv4Packet::new_unchecked(room).fill_checksum();
        });
    });
}

fn cut_v6(whole: &[u8], number: u32, mtu: usize, sink: &mut impl PacketSink) {
    let Some((header, body)) = whole.split_at_checked(HEADER_V6) else {
        return;
    };
    let next = header.get(6).copied().unwrap_or(0);
    pieces(body, mtu - HEADER_V6 - FRAGMENT, |offset, piece, more| {
        sink.packet(HEADER_V6 + FRAGMENT + piece.len(), |room| {
            let Some((head, rest)) = room.split_at_mut_checked(HEADER_V6) else {
                return;
            };
            let Some((fragment, rest)) = rest.split_first_chunk_mut::<FRAGMENT>() else {
                return;
            };
            head.copy_from_slice(header);
            put(head, 4, u16::try_from(FRAGMENT + piece.len()).unwrap_or(0));
            if let Some(kind) = head.get_mut(6) {
                *kind = NEXT_FRAGMENT;
            }
            let [o1, o2] = (u16::try_from(offset).unwrap_or(0) | u16::from(more)).to_be_bytes();
            let [n1, n2, n3, n4] = number.to_be_bytes();
            *fragment = [next, 0, o1, o2, n1, n2, n3, n4];
            rest.copy_from_slice(piece);
        });
    });
}

/// Each piece of at most `room` bytes, all but the last a multiple of eight: where it begins, and whether more follow.
fn pieces(body: &[u8], room: usize, mut emit: impl FnMut(usize, &[u8], bool)) {
    let size = (room / 8 * 8).max(8);
    let last = body.len().saturating_sub(1) / size;
    for (number, piece) in body.chunks(size).enumerate() {
        emit(number * size, piece, number < last);
    }
}

fn put(header: &mut [u8], at: usize, value: u16) {
    if let Some(place) = header.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::kept::Kept;

    fn cut(header: &[u8], body: usize, mtu: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        let body: Vec<u8> = (0..body).map(|at| (at % 251) as u8).collect();
        let mut kept = Kept::default();
        let len = header.len() + body.len();
        Cutter::new(7).emit(len, mtu, &mut kept, |room| {
            room[..header.len()].copy_from_slice(header);
            room[header.len()..].copy_from_slice(&body);
        });
        (body, kept.0)
    }

    #[test]
    fn fragments_fit_and_join_to_what_was_cut() {
        let mut header = [0; HEADER_V4];
        header[0] = 0x45;
        let (body, fragments) = cut(&header, 4_000, 1_420);
        let mut joined = vec![0; body.len()];
        for (number, fragment) in fragments.iter().enumerate() {
            assert!(fragment.len() <= 1_420);
            let packet = smoltcp::wire::Ipv4Packet::new_checked(&fragment[..]).unwrap();
            assert!(packet.verify_checksum());
            assert_eq!(packet.more_frags(), number + 1 < fragments.len());
            assert_eq!(packet.ident(), 8);
            let at = usize::from(packet.frag_offset());
            joined[at..at + packet.payload().len()].copy_from_slice(packet.payload());
        }
        assert_eq!((fragments.len(), joined), (3, body));
    }

    #[test]
    fn fragments_of_the_other_family_have_a_header_of_their_own() {
        let mut header = [0; HEADER_V6];
        (header[0], header[6]) = (0x60, 17);
        let (body, fragments) = cut(&header, 3_000, 1_280);
        let mut joined = vec![0; body.len()];
        for (number, fragment) in fragments.iter().enumerate() {
            assert!(fragment.len() <= 1_280);
            let [next, _, o1, o2, id @ ..] = *fragment[HEADER_V6..].first_chunk::<8>().unwrap();
            let offset = u16::from_be_bytes([o1, o2]);
            assert_eq!((fragment[6], next, id), (NEXT_FRAGMENT, 17, [0, 0, 0, 8]));
            assert_eq!(offset & 1 == 1, number + 1 < fragments.len());
            let piece = &fragment[HEADER_V6 + FRAGMENT..];
            let at = usize::from(offset & !7);
            joined[at..at + piece.len()].copy_from_slice(piece);
        }
        assert_eq!(joined, body);
    }

    #[test]
    fn what_fits_is_left_whole() {
        let mut header = [0; HEADER_V4];
        header[0] = 0x45;
        assert_eq!(cut(&header, 1_400, 1_420).1.len(), 1);
    }
}
