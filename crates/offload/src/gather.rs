//! Joining packets without a copy: which belong together, and the headers of the whole.
//!
//! A TUN device takes a packet in pieces (`writev`). So the payloads of joined packets stay where the cipher left them,
//! and only headers are written. The rules are those of [`coalesce`](crate::coalesce), whose result a TCP stack in this
//! process takes as one piece of memory; here UDP datagrams are joined, too (as `UDP_GRO` does):
//!
//! - datagrams of one flow with right checksums (a datagram without one is left alone);
//! - all of one length, of which the last may be shorter, and none empty;
//! - they agree in traffic class, TTL or hop limit, flow label and "don't fragment"; IPv4 identifications count on, or
//!   mean nothing.
//!
//! The transport checksum of the whole covers its pseudo-header only, and the virtio header says so: what was checked
//! piece by piece need not be summed again.

use alloc::vec::Vec;

use crate::checksum::Sum;
use crate::coalesce::{is_joinable, same_ip_fields, same_tcp_fields};
use crate::tcp::{self, Class, FlowKey, Segment};
use crate::udp::{self, Datagram};
use crate::virtio::{Header, Kind, Partial};

/// The longest packet that comes out of joining.
pub const MAX_BYTES: usize = 65_535;
/// The most packets in one: each is a piece of a `writev`, which takes 1,024 at most.
pub const MAX_PACKETS: usize = 128;
/// The longest headers: IPv4 with options and TCP with options have 60 bytes each.
const MAX_HEADERS: usize = 120;
/// Flows that may be open at a time. A batch rarely holds more; those that began earliest are closed first.
const MAX_OPEN: usize = 8;
/// The end of a chain.
const END: u32 = u32::MAX;

/// A plan of what belongs together in one batch. Its memory is kept from batch to batch.
#[derive(Default)]
pub struct Gather {
    groups: Vec<Group>,
    /// The next packet of the same group, for each packet of the batch.
    next: Vec<u32>,
    /// Groups that may still grow, by index, the latest last.
    open: Vec<u32>,
    kinds: Kinds,
}

/// What is joined at all: what the device was found to take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds {
    /// TCP segments.
    pub tcp: bool,
    /// UDP datagrams.
    pub udp: bool,
}

/// Packets that become one, or a single packet.
pub struct Group {
    first: u32,
    last: u32,
    count: u32,
    key: Option<FlowKey>,
    protocol: Protocol,
    ip_len: u8,
    headers_len: u8,
    /// Payload of the first packet, and of all so far.
    segment: u32,
    payload: u32,
    last_id: u16,
    push: bool,
    /// The first packet's checksums are right; asked only when there is a second.
    is_checked: bool,
    headers: [u8; MAX_HEADERS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
    Other,
}

/// A packet, looked at.
enum Seen<'a> {
    Tcp(Segment<'a>),
    Udp(Datagram<'a>),
    /// It may belong to any flow, and must not overtake it.
    Opaque,
    Foreign,
}

impl Gather {
    /// A plan that joins these kinds.
    #[must_use]
    pub fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            ..Self::default()
        }
    }

    /// What it joins.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Joins only these kinds from the next batch on: the device took less than it was found to.
    pub fn join_only(&mut self, kinds: Kinds) {
        self.kinds = kinds;
    }

    /// Plans a batch: `packet(index)` for `index` below `count` gives its packets; an empty one is left out.
    pub fn plan<'a>(&mut self, count: usize, packet: impl Fn(usize) -> &'a [u8]) {
        self.groups.clear();
        self.open.clear();
        self.next.clear();
        self.next.resize(count, END);
        for index in 0..count {
            let bytes = packet(index);
            if !bytes.is_empty() {
                self.add(index as u32, bytes, &packet);
            }
        }
        for group in &mut self.groups {
            group.seal();
        }
    }

    /// What the plan came to, in the order in which it is to be written.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The packets of a group, in order.
    pub fn packets(&self, group: &Group) -> impl Iterator<Item = usize> + '_ {
        let mut at = group.first;
        core::iter::from_fn(move || {
            let index = usize::try_from(at).ok().filter(|_| at != END)?;
            at = self.next.get(index).copied().unwrap_or(END);
            Some(index)
        })
    }

    fn add<'a>(&mut self, index: u32, bytes: &'a [u8], packet: &impl Fn(usize) -> &'a [u8]) {
        let seen = self.look(bytes);
        let key = match &seen {
            Seen::Tcp(segment) => segment.flow(),
            Seen::Udp(datagram) => datagram.flow(),
            Seen::Opaque => {
                self.open.clear();
                return self.groups.push(Group::single(index));
            }
            Seen::Foreign => return self.groups.push(Group::single(index)),
        };
        let place = self.open.iter().rposition(|&group| {
            self.groups
                .get(group as usize)
                .is_some_and(|group| group.key == Some(key))
        });
        let mut sum = None;
        if let Some(place) = place
            && let Some(group) = self
                .open
                .get(place)
                .and_then(|&at| self.groups.get_mut(at as usize))
        {
            let first = packet(group.first as usize);
            if group.takes(&seen, bytes.len(), first) && seen.is_intact(*sum.insert(seen.sum())) {
                let last = core::mem::replace(&mut group.last, index);
                if let Some(next) = self.next.get_mut(last as usize) {
                    *next = index;
                }
                if group.append(&seen) {
                    self.open.remove(place);
                }
                return;
            }
            self.open.remove(place);
        }
        let number = self.groups.len() as u32;
        let group = Group::begin(index, &seen, key, bytes);
        if group.may_grow(&seen) {
            if self.open.len() == MAX_OPEN {
                self.open.remove(0);
            }
            self.open.push(number);
        }
        self.groups.push(group);
    }

    fn look<'a>(&self, bytes: &'a [u8]) -> Seen<'a> {
        match tcp::classify(bytes) {
            Class::Tcp(segment) if self.kinds.tcp => Seen::Tcp(segment),
            Class::Tcp(_) => Seen::Foreign,
            Class::Opaque => Seen::Opaque,
            Class::Foreign if self.kinds.udp => udp::datagram(bytes).map_or(Seen::Foreign, Seen::Udp),
            Class::Foreign => Seen::Foreign,
        }
    }
}

impl Seen<'_> {
    fn sum(&self) -> Sum {
        match self {
            Self::Tcp(segment) => Sum::new().bytes(segment.payload),
            Self::Udp(datagram) => Sum::new().bytes(datagram.payload),
            _ => Sum::new(),
        }
    }

    fn is_intact(&self, payload: Sum) -> bool {
        match self {
            Self::Tcp(segment) => segment.is_intact(payload),
            Self::Udp(datagram) => datagram.is_intact(payload),
            _ => false,
        }
    }
}

impl Group {
    fn single(index: u32) -> Self {
        Self {
            first: index,
            last: index,
            count: 1,
            key: None,
            protocol: Protocol::Other,
            ip_len: 0,
            headers_len: 0,
            segment: 0,
            payload: 0,
            last_id: 0,
            push: false,
            is_checked: false,
            headers: [0; MAX_HEADERS],
        }
    }

    fn begin(index: u32, seen: &Seen<'_>, key: FlowKey, bytes: &[u8]) -> Self {
        let (protocol, ip, transport, payload) = match seen {
            Seen::Tcp(segment) => (Protocol::Tcp, segment.ip, segment.tcp, segment.payload),
            Seen::Udp(datagram) => (Protocol::Udp, datagram.ip, datagram.udp, datagram.payload),
            Seen::Opaque | Seen::Foreign => return Self::single(index),
        };
        let mut group = Self::single(index);
        group.key = Some(key);
        group.protocol = protocol;
        group.ip_len = ip.len() as u8;
        group.headers_len = (ip.len() + transport.len()) as u8;
        group.segment = payload.len() as u32;
        group.payload = payload.len() as u32;
        group.last_id = identification(ip);
        let len = usize::from(group.headers_len);
        if let (Some(to), Some(from)) = (group.headers.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        group
    }

    /// Whether another packet may follow the first one.
    fn may_grow(&self, seen: &Seen<'_>) -> bool {
        match seen {
            Seen::Tcp(segment) => is_joinable(segment) && segment.flags() & tcp::PSH == 0,
            Seen::Udp(datagram) => datagram.is_joinable(),
            _ => false,
        }
    }

    /// Whether a packet of the same flow continues this one. `first` is this group's first packet.
    fn takes(&mut self, seen: &Seen<'_>, len: usize, first: &[u8]) -> bool {
        let Some((ip, transport)) = self.parts() else {
            return false;
        };
        let (payload, joinable) = match seen {
            Seen::Tcp(segment) => {
                let begun = Segment {
                    ip,
                    tcp: transport,
                    payload: &[],
                };
                let joinable = self.protocol == Protocol::Tcp
                    && is_joinable(segment)
                    && segment.tcp.len() == transport.len()
                    && segment.ip.len() == ip.len()
                    && segment.sequence() == begun.sequence().wrapping_add(self.payload)
                    && same_ip_fields(ip, segment.ip, self.last_id)
                    && same_tcp_fields(transport, segment.tcp);
                (segment.payload.len(), joinable)
            }
            Seen::Udp(datagram) => {
                let joinable = self.protocol == Protocol::Udp
                    && datagram.is_joinable()
                    && datagram.ip.len() == ip.len()
                    && same_ip_fields(ip, datagram.ip, self.last_id);
                (datagram.payload.len(), joinable)
            }
            _ => return false,
        };
        let fits = payload > 0
            && payload <= self.segment as usize
            && self.payload as usize + len <= MAX_BYTES
            && (self.count as usize) < MAX_PACKETS;
        fits && joinable && self.check_first(first)
    }

    /// Whether the first packet is intact; asked once.
    fn check_first(&mut self, first: &[u8]) -> bool {
        if !self.is_checked {
            let intact = match self.protocol {
                Protocol::Tcp => match tcp::classify(first) {
                    Class::Tcp(segment) => segment.is_intact(Sum::new().bytes(segment.payload)),
                    _ => false,
                },
                Protocol::Udp => udp::datagram(first)
                    .is_some_and(|datagram| datagram.is_intact(Sum::new().bytes(datagram.payload))),
                Protocol::Other => false,
            };
            self.is_checked = intact;
        }
        self.is_checked
    }

    /// Adds a packet that continues this one. Returns whether nothing can follow it.
    fn append(&mut self, seen: &Seen<'_>) -> bool {
        let (ip, payload, ends) = match seen {
            Seen::Tcp(segment) => {
                let push = segment.flags() & tcp::PSH != 0;
                self.push |= push;
                (segment.ip, segment.payload.len() as u32, push)
            }
            Seen::Udp(datagram) => (datagram.ip, datagram.payload.len() as u32, false),
            _ => return true,
        };
        self.last_id = identification(ip);
        self.payload += payload;
        self.count += 1;
        ends || payload < self.segment
    }

    /// Writes the headers of the whole.
    fn seal(&mut self) {
        if self.count < 2 {
            return;
        }
        let (ip_len, headers_len) = (usize::from(self.ip_len), usize::from(self.headers_len));
        let Some(headers) = self.headers.get_mut(..headers_len) else {
            return;
        };
        let (ip, transport) = headers.split_at_mut(ip_len);
        let len = transport.len() + self.payload as usize;
        tcp::seal_ip_header(ip, len);
        match self.protocol {
            Protocol::Tcp => {
                if self.push {
                    transport[tcp::FLAGS] |= tcp::PSH;
                }
                tcp::put16(
                    transport,
                    tcp::CHECKSUM,
                    tcp::pseudo_header(ip, tcp::TCP, len).fold(),
                );
            }
            Protocol::Udp => {
                tcp::put16(transport, udp::LENGTH, len as u16);
                tcp::put16(
                    transport,
                    udp::CHECKSUM,
                    tcp::pseudo_header(ip, tcp::UDP, len).fold(),
                );
            }
            Protocol::Other => (),
        }
    }

    /// How many packets it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The headers that go before the payloads; empty for a single packet, which is written as it is.
    #[must_use]
    pub fn headers(&self) -> &[u8] {
        let len = if self.count < 2 { 0 } else { self.headers_len };
        self.headers.get(..usize::from(len)).unwrap_or(&[])
    }

    /// What the device is to be told.
    #[must_use]
    pub fn virtio(&self) -> Header {
        if self.count < 2 {
            return Header::default();
        }
        let is_v6 = self.headers.first().is_some_and(|byte| byte >> 4 == 6);
        let (kind, offset) = match self.protocol {
            Protocol::Udp => (Kind::Udp, udp::CHECKSUM),
            _ if is_v6 => (Kind::Tcp6, tcp::CHECKSUM),
            _ => (Kind::Tcp4, tcp::CHECKSUM),
        };
        Header {
            checksum: Some(Partial {
                start: self.ip_len.into(),
                offset: offset as u16,
            }),
            segments: Some((kind, self.segment as u16)),
        }
    }

    fn parts(&self) -> Option<(&[u8], &[u8])> {
        self.headers
            .get(..usize::from(self.headers_len))?
            .split_at_checked(self.ip_len.into())
    }
}

fn identification(ip: &[u8]) -> u16 {
    if tcp::is_v6(ip) {
        0
    } else {
        tcp::be16(ip, tcp::IPV4_ID)
    }
}
