//! Joining packets of a batch, in place and in a buffer of its own.

use std::collections::{HashMap, VecDeque};

use wirewright_offload::coalesce::Coalescer;
use wirewright_offload::gather::{Gather, Kinds, MAX_BYTES};
use wirewright_offload::virtio::{HEADER_LEN, Header, Kind};

use super::naive::{self, Layout, Transport};
use crate::script::Script;

/// More than one group takes.
const MOST: usize = 150;

/// Makes packets of a few flows, whole and damaged, and joins them.
///
/// # Panics
///
/// If a packet is lost, told twice or overtaken in its flow, or if cutting what was joined gives other packets than
/// those that came.
pub fn join(bytes: &[u8]) {
    let mut script = Script(bytes);
    let shape = script.u8();
    let packets = packets(&mut script);
    let kinds = Kinds {
        tcp: shape & 1 == 0,
        udp: shape & 2 == 0,
    };
    let mut gather = Gather::new(kinds);
    // A plan must know nothing of the one before.
    gather.plan(packets.len() / 2, |index| &packets[index]);
    gather.plan(packets.len(), |index| &packets[index]);
    check_plan(&gather, kinds, &packets);
    coalesce(&packets, 1 + usize::from(shape >> 4 & 3));
}

fn check_plan(gather: &Gather, kinds: Kinds, packets: &[Vec<u8>]) {
    let mut order = Vec::new();
    for group in gather.groups() {
        let members: Vec<usize> = gather.packets(group).collect();
        assert_eq!(members.len(), group.count());
        let headers = group.headers();
        let head: [u8; HEADER_LEN] = group.virtio().write(headers.len() as u16);
        let header = Header::parse(&head).expect("a device takes what it offered");
        if let [only] = members[..] {
            assert!(
                headers.is_empty() && header == Header::default(),
                "a single packet is not as it came"
            );
            order.push((only, members));
            continue;
        }
        let mut whole = headers.to_vec();
        for member in &members {
            whole.extend(&packets[*member][headers.len()..]);
        }
        assert!(whole.len() <= MAX_BYTES);
        let (kind, segment) = header.segments.expect("several packets are cut again");
        let partial = header
            .checksum
            .expect("a joined packet has a checksum to complete");
        let transport = match kind {
            Kind::Udp => Transport::Udp,
            Kind::Tcp4 | Kind::Tcp6 => Transport::Tcp,
        };
        assert!(
            if transport == Transport::Tcp {
                kinds.tcp
            } else {
                kinds.udp
            },
            "it joins what it was not to"
        );
        let layout = naive::layout(&whole, transport).expect("a joined packet is a packet");
        assert_eq!(
            (kind == Kind::Tcp6, layout.transport),
            (layout.is_v6 && kind != Kind::Udp, partial.start.into())
        );
        check_checksum(
            &whole,
            transport,
            layout,
            usize::from(partial.start + partial.offset),
        );
        check_pieces(
            &whole,
            transport,
            segment.into(),
            members.iter().map(|member| &packets[*member]),
        );
        order.push((members[0], members));
    }
    let mut all: Vec<usize> = order.iter().flat_map(|(_, members)| members.clone()).collect();
    check_order(&all, packets);
    all.sort_unstable();
    let expected: Vec<usize> = (0..packets.len())
        .filter(|index| !packets[*index].is_empty())
        .collect();
    assert_eq!(all, expected, "a packet was lost, or told twice");
}

/// The field holds the sum of the pseudo-header, and completing it gives what the naive way does.
fn check_checksum(whole: &[u8], transport: Transport, layout: Layout, field: usize) {
    let mut expected = whole.to_vec();
    naive::seal(&mut expected, transport, layout);
    let mut completed = whole.to_vec();
    let sum = match !naive::sum(&whole[layout.transport..]) {
        0 if transport == Transport::Udp => 0xffff,
        sum => sum,
    };
    naive::put(&mut completed, field, sum);
    assert!(completed == expected, "a joined packet has wrong lengths or sums");
}

/// Cutting gives the packets again.
fn check_pieces<'a>(
    whole: &[u8],
    transport: Transport,
    segment: usize,
    packets: impl ExactSizeIterator<Item = &'a Vec<u8>>,
) {
    let layout = naive::layout(whole, transport).expect("a joined packet is a packet");
    assert_eq!(
        naive::count(whole, transport, layout, segment),
        Some(packets.len())
    );
    for (index, packet) in packets.enumerate() {
        let mut piece = naive::piece(whole, transport, layout, segment, index);
        let mut packet = packet.clone();
        forget_what_means_nothing(&mut piece, transport);
        forget_what_means_nothing(&mut packet, transport);
        assert!(piece == packet, "packet {index} is not what it was");
    }
}

/// With "don't fragment" an identification means nothing (RFC 6864), and a sum of zero has two forms.
fn forget_what_means_nothing(packet: &mut [u8], transport: Transport) {
    let layout = naive::layout(packet, transport).expect("a joined packet was one before");
    if !layout.is_v6 && packet[6] & 0x40 != 0 {
        let (id, sum) = (naive::word(packet, 4), naive::word(packet, 10));
        naive::put(packet, 4, 0);
        let without = naive::sum(&[sum.to_be_bytes(), id.to_be_bytes()].concat());
        naive::put(packet, 10, without);
    }
    let field = layout.transport + if transport == Transport::Tcp { 16 } else { 6 };
    let fields = [Some(field), (!layout.is_v6).then_some(10)];
    for field in fields.into_iter().flatten() {
        if naive::word(packet, field) == 0xffff && transport == Transport::Tcp || field == 10 {
            let sum = naive::word(packet, field) % 0xffff;
            naive::put(packet, field, sum);
        }
    }
}

/// Each flow keeps its order, and nothing of TCP overtakes what may be a part of it.
fn check_order(order: &[usize], packets: &[Vec<u8>]) {
    let mut latest: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut latest_tcp = None;
    let mut barrier = None;
    for &index in order {
        let packet = &packets[index];
        if let Some(flow) = flow_of(packet) {
            let before = latest.insert(flow, index);
            assert!(before < Some(index), "a packet overtakes its flow");
        }
        let is_tcp = naive::layout(packet, Transport::Tcp).is_some();
        let may_be_tcp = !is_tcp && packet[0] >> 4 == 4 && packet.len() >= 20 && packet[9] == 6;
        if is_tcp || may_be_tcp {
            assert!(
                barrier < Some(index),
                "a segment overtakes what may belong to its flow"
            );
        }
        if may_be_tcp {
            assert!(latest_tcp < Some(index), "what may belong to a flow overtakes it");
            barrier = Some(index);
        }
        latest_tcp = latest_tcp.max((is_tcp || may_be_tcp).then_some(index));
    }
}

fn flow_of(packet: &[u8]) -> Option<Vec<u8>> {
    let find = |transport| naive::layout(packet, transport).map(|layout| (transport, layout));
    let (transport, layout) = find(Transport::Tcp).or_else(|| find(Transport::Udp))?;
    let addresses = if layout.is_v6 { 8..40 } else { 12..20 };
    let ports = &packet[layout.transport..layout.transport + 4];
    Some(
        [
            &[u8::from(layout.is_v6), transport as u8],
            &packet[addresses],
            ports,
        ]
        .concat(),
    )
}

/// What a coalescer gives, cut again, is what it was given.
fn coalesce(packets: &[Vec<u8>], flows: usize) {
    let mut coalescer = Coalescer::new(flows, MAX_BYTES);
    let mut waiting: HashMap<Option<Vec<u8>>, VecDeque<&Vec<u8>>> = HashMap::new();
    let mut came = Vec::new();
    for packet in packets.iter().filter(|packet| !packet.is_empty()) {
        waiting.entry(flow_of(packet)).or_default().push_back(packet);
        coalescer.push(packet, |packet| came.push(packet.to_vec()));
    }
    coalescer.flush(|packet| came.push(packet.to_vec()));
    for whole in came {
        let queue = waiting
            .get_mut(&flow_of(&whole))
            .expect("a packet came that nobody sent");
        let first = queue.front().expect("a packet came twice");
        if **first == whole {
            queue.pop_front();
            continue;
        }
        let layout = naive::layout(first, Transport::Tcp).expect("only segments are joined");
        let segment = first.len() - layout.payload;
        let joined = naive::layout(&whole, Transport::Tcp).expect("a joined packet is a packet");
        let count =
            naive::count(&whole, Transport::Tcp, joined, segment).expect("what was joined can be cut");
        let members: Vec<&Vec<u8>> = queue.drain(..count.min(queue.len())).collect();
        let mut sealed = whole.clone();
        naive::seal(&mut sealed, Transport::Tcp, joined);
        assert!(sealed == whole, "a joined packet has wrong lengths or sums");
        check_pieces(&whole, Transport::Tcp, segment, members.into_iter());
    }
    assert!(waiting.values().all(VecDeque::is_empty), "a packet was lost");
}

/// One flow of a script, and what its next packet is like.
struct Flow {
    is_v6: bool,
    transport: Transport,
    options: usize,
    port: u8,
    sequence: u32,
    id: u16,
    dont_fragment: bool,
}

fn packets(script: &mut Script<'_>) -> Vec<Vec<u8>> {
    let mut flows: Vec<Flow> = (0..8_u8)
        .map(|number| Flow {
            is_v6: number & 1 != 0,
            transport: if number & 2 == 0 {
                Transport::Tcp
            } else {
                Transport::Udp
            },
            options: usize::from(number & 4) * 3,
            port: number,
            sequence: u32::MAX - 3000,
            id: u16::MAX - 2,
            dont_fragment: number & 4 == 0,
        })
        .collect();
    let mut packets = Vec::new();
    while !script.0.is_empty() && packets.len() < MOST {
        let (head, len) = (script.u8(), script.u8());
        let flow = &mut flows[usize::from(head & 7)];
        let mut packet = match head >> 3 & 7 {
            // Bytes of the script's own.
            7 => script.bytes(len.into()).to_vec(),
            // Some other length than the flow's usual.
            6 => flow.next(script.u16() as usize % 3000, len),
            _ => flow.next(100 * usize::from(1 + len % 16), 0x10),
        };
        if head & 0x40 != 0 {
            // Something changes, with or without right sums.
            let (at, mask) = (usize::from(script.u8()), script.u8());
            if let Some(byte) = packet.get_mut(at) {
                *byte ^= mask;
            }
            let layout = naive::layout(&packet, flow.transport);
            if let Some(layout) = layout.filter(|_| head & 0x80 != 0) {
                naive::seal(&mut packet, flow.transport, layout);
            }
        }
        packets.push(packet);
    }
    packets
}

impl Flow {
    fn next(&mut self, len: usize, flags: u8) -> Vec<u8> {
        let mut packet = if self.is_v6 {
            let addresses: Vec<u8> = (0..32).collect();
            let number = if self.transport == Transport::Tcp { 6 } else { 17 };
            [&[0x60, 0, 0, 0, 0, 0, number, 64], &addresses[..]].concat()
        } else {
            let number = if self.transport == Transport::Tcp { 6 } else { 17 };
            let mut header = vec![
                0x45, 0, 0, 0, 0, 0, 0, 0, 64, number, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
            ];
            naive::put(&mut header, 4, self.id);
            header[6] = if self.dont_fragment { 0x40 } else { 0 };
            header
        };
        let transport = packet.len();
        let ports = [1, self.port, 2, 2];
        packet.extend(ports);
        match self.transport {
            Transport::Tcp => {
                packet.extend(self.sequence.to_be_bytes());
                packet.extend([
                    0,
                    0,
                    0,
                    77,
                    ((20 + self.options) * 4) as u8,
                    flags,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]);
                packet.extend((0..self.options).map(|byte| byte as u8));
            }
            Transport::Udp => packet.extend([0; 4]),
        }
        let layout = Layout {
            is_v6: self.is_v6,
            transport,
            payload: packet.len(),
        };
        packet.extend((0..len).map(|byte| (self.sequence as usize + byte).wrapping_mul(0x9e37_79b1) as u8));
        naive::seal(&mut packet, self.transport, layout);
        self.sequence = self.sequence.wrapping_add(len as u32);
        self.id = self.id.wrapping_add(1);
        packet
    }
}
