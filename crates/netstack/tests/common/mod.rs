//! Two stacks in virtual time, joined by a link that delays, loses and reorders as its seed tells it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod gateway;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_netstack::{
    Config, ConnectionId, Counters, Event, Instant, ListenerId, Netstack, PacketSink, Read,
};
use wirewright_protocol::PublicKey;
use wirewright_runtime::outside::{Order, Orders};

pub const A4: &str = "10.9.0.1";
pub const B4: &str = "10.9.0.2";
pub const A6: &str = "fd09::1";
pub const B6: &str = "fd09::2";
pub const MTU: usize = 1420;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

pub fn config(v4: &str, v6: &str) -> Config {
    Config::new(vec![(ip(v4), 24), (ip(v6), 64)], MTU)
}

/// What a link does to packets, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay: Duration,
    /// Each packet is delayed by up to this much more, so that they overtake each other.
    pub jitter: Duration,
    /// Packets lost of a thousand, and how many more behind each: packets travel in trains.
    pub loss: u32,
    pub run: u32,
    /// Packets of a thousand that arrive twice.
    pub twice: u32,
    /// Nothing arrives at all.
    pub cut: bool,
    /// Bits a second, and how many bytes may wait for their turn; without limit if zero.
    pub rate: u64,
    pub queue: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(500),
            jitter: Duration::ZERO,
            loss: 0,
            run: 0,
            twice: 0,
            cut: false,
            rate: 0,
            queue: 0,
        }
    }
}

/// A sink that keeps packets, with or without room.
#[derive(Default)]
pub struct Packets {
    pub packets: Vec<Vec<u8>>,
    pub room: Option<usize>,
}

impl PacketSink for Packets {
    fn has_room(&self) -> bool {
        assert!(self.packets.len() < 100_000, "a poll does not end");
        self.room.is_none_or(|room| self.packets.len() < room)
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        // Not zeroed, as a real slab would not be.
        let mut packet = vec![0xa5; len];
        let result = fill(&mut packet);
        self.packets.push(packet);
        result
    }
}

pub struct Side {
    pub stack: Netstack,
    pub events: Vec<Event>,
}

pub struct Pair {
    pub now: Instant,
    pub a: Side,
    pub b: Side,
    pub weather: Weather,
    rng: ChaCha8Rng,
    /// Packets on their way: arrival, a serial number for order, whether for b.
    flight: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    serial: u64,
    /// Packets of each direction that are lost with the one before them.
    doomed: [u32; 2],
    /// When the link has sent what waits for it, from a and from b.
    busy_until: [Instant; 2],
    /// Every packet that left, for tests that look at the wire: whether from a, and its bytes.
    pub wire: Option<Vec<(bool, Vec<u8>)>>,
    /// Whose addresses are, as b knows it.
    pub owners: Vec<(IpAddr, PublicKey)>,
    /// What b ordered of its host, and the most bytes that it ordered in one round.
    pub ordered: Vec<(Order, Vec<u8>)>,
    pub most_ordered: usize,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(config(A4, A6), config(B4, B6))
    }

    pub fn with(a: Config, b: Config) -> Self {
        let side = |config, seed| Side {
            stack: Netstack::new(config, [seed; 32]).unwrap(),
            events: vec![],
        };
        Self {
            now: Instant::from_nanos(1_000_000_000),
            a: side(a, 1),
            b: side(b, 2),
            weather: Weather::default(),
            rng: ChaCha8Rng::from_seed([3; 32]),
            flight: BTreeMap::new(),
            serial: 0,
            doomed: [0; 2],
            busy_until: [Instant::default(); 2],
            wire: None,
            owners: vec![],
            ordered: vec![],
            most_ordered: 0,
        }
    }

    pub fn with_weather(weather: Weather) -> Self {
        Self {
            weather,
            ..Self::new()
        }
    }

    /// Other weather of the same kind.
    pub fn reseed(&mut self, seed: u64) {
        self.rng = ChaCha8Rng::seed_from_u64(seed);
    }

    /// Lets both sides send what they have, without moving time.
    pub fn poll(&mut self) {
        for from_a in [true, false] {
            let mut sink = Packets::default();
            let side = if from_a { &mut self.a } else { &mut self.b };
            side.stack.poll(self.now, &mut sink);
            side.events.extend(side.stack.events());
            for packet in sink.packets {
                self.send(from_a, packet);
            }
        }
        let mut orders = Orders::default();
        self.b.stack.order(&mut orders);
        self.most_ordered = self.most_ordered.max(orders.len());
        self.ordered
            .extend(orders.iter().map(|(order, bytes)| (order, bytes.to_vec())));
    }

    pub fn send(&mut self, from_a: bool, packet: Vec<u8>) {
        if let Some(wire) = &mut self.wire {
            wire.push((from_a, packet.clone()));
        }
        if self.rng.next_u32() % 1000 < self.weather.loss {
            self.doomed[usize::from(from_a)] = self.weather.run + 1;
        }
        let doomed = &mut self.doomed[usize::from(from_a)];
        if self.weather.loss == 0 {
            *doomed = 0;
        }
        if self.weather.cut || *doomed > 0 {
            *doomed = doomed.saturating_sub(1);
            return;
        }
        if self.weather.twice > 0 && self.rng.next_u32() % 1000 < self.weather.twice {
            self.carry(from_a, packet.clone());
        }
        self.carry(from_a, packet);
    }

    fn carry(&mut self, from_a: bool, packet: Vec<u8>) {
        let jitter = u64::try_from(self.weather.jitter.as_nanos()).unwrap();
        let extra = if jitter == 0 {
            0
        } else {
            self.rng.next_u64() % jitter
        };
        let mut leaves = self.now;
        if self.weather.rate > 0 {
            let time_for = |bytes: u64| Duration::from_nanos(bytes * 8_000_000_000 / self.weather.rate);
            let busy_until = &mut self.busy_until[usize::from(from_a)];
            if busy_until.saturating_since(self.now) > time_for(self.weather.queue) {
                return;
            }
            leaves = leaves.max(*busy_until) + time_for(packet.len() as u64);
            *busy_until = leaves;
        }
        let arrival = leaves + self.weather.delay + Duration::from_nanos(extra);
        self.serial += 1;
        self.flight.insert((arrival, self.serial), (from_a, packet));
    }

    /// Moves to the next moment at which something happens. `false` if nothing ever will.
    pub fn step(&mut self) -> bool {
        self.poll();
        let arrival = self.flight.first_key_value().map(|((arrival, _), _)| *arrival);
        let next = [arrival, self.a.stack.deadline(), self.b.stack.deadline()];
        let Some(next) = next.into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.flight.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (from_a, packet) = entry.remove();
            let side = if from_a { &mut self.b } else { &mut self.a };
            let owners = &self.owners;
            let owner = |address| {
                owners
                    .iter()
                    .find(|(own, _)| *own == address)
                    .map(|(_, peer)| *peer)
            };
            side.stack.receive_for(self.now, &packet, &owner);
        }
        self.poll();
        true
    }

    /// Steps until `done`, at most for `time`. Panics if that does not come true.
    pub fn until(&mut self, time: Duration, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + time;
        while !done(self) {
            assert!(self.now <= end, "{what}: not within {time:?}");
            assert!(self.step(), "{what}: nothing happens any more");
        }
    }

    /// Lets `time` pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.poll();
            let arrival = self.flight.first_key_value().map(|((arrival, _), _)| *arrival);
            let next = [arrival, self.a.stack.deadline(), self.b.stack.deadline()];
            match next.into_iter().flatten().min() {
                Some(next) if next <= end => {
                    self.step();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// A connection from a to a listener of b.
    pub fn connected(&mut self, from: &str, to: &str) -> (ConnectionId, ConnectionId, ListenerId) {
        let listener = self.b.stack.listen(Some(ip(to)), 80, 16).unwrap();
        let (client, server) = self.connect_to(listener, from, to);
        (client, server, listener)
    }

    pub fn connect_to(&mut self, listener: ListenerId, from: &str, to: &str) -> (ConnectionId, ConnectionId) {
        let port = self.b.stack.listener_port(listener).unwrap();
        let local = Some(SocketAddr::new(ip(from), 0));
        let client = self.a.stack.connect(self.now, at(to, port), local).unwrap();
        let mut server = None;
        self.until(Duration::from_secs(20), "handshake", |pair| {
            server = server.or_else(|| pair.b.stack.accept(listener));
            server.is_some() && pair.a.events.contains(&Event::Connected(client))
        });
        (client, server.unwrap().0)
    }

    pub fn counters(&self) -> (Counters, Counters) {
        (self.a.stack.counters(), self.b.stack.counters())
    }
}

/// Bytes that differ at every offset a bug could shift them by.
pub fn pattern(len: usize, salt: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(salt);
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// One end of a stream that is written and read as far as it goes each time.
pub struct Stream {
    pub id: ConnectionId,
    pub to_write: Vec<u8>,
    pub written: usize,
    pub shuts_down: bool,
    pub read: Vec<u8>,
    pub end: Option<Read>,
}

impl Stream {
    pub fn new(id: ConnectionId, to_write: Vec<u8>) -> Self {
        Self {
            id,
            to_write,
            written: 0,
            shuts_down: true,
            read: vec![],
            end: None,
        }
    }

    pub fn go(&mut self, stack: &mut Netstack) {
        self.give(stack, usize::MAX);
        self.take(stack);
    }

    /// Writes at most so much, and shuts down behind the last byte.
    pub fn give(&mut self, stack: &mut Netstack, most: usize) {
        let until = self.to_write.len().min(self.written.saturating_add(most));
        while self.written < until {
            match stack.write(self.id, &self.to_write[self.written..until]) {
                Ok(0) | Err(_) => break,
                Ok(len) => self.written += len,
            }
        }
        if self.written == self.to_write.len() && self.shuts_down {
            stack.shutdown(self.id);
            self.shuts_down = false;
        }
    }

    /// Reads what is there.
    pub fn take(&mut self, stack: &mut Netstack) {
        let mut buffer = vec![0; 65_536];
        while self.end.is_none() {
            match stack.read(self.id, &mut buffer) {
                Read::Data(len) => self.read.extend(&buffer[..len]),
                Read::Nothing => break,
                end => self.end = Some(end),
            }
        }
    }
}

/// Moves `up` from client to server and `down` back, and checks that both arrive whole. Returns the time it took.
pub fn transfer(
    pair: &mut Pair,
    (client, server): (ConnectionId, ConnectionId),
    up: usize,
    down: usize,
    time: Duration,
) -> Duration {
    let start = pair.now;
    let mut one = Stream::new(client, pattern(up, 1));
    let mut other = Stream::new(server, pattern(down, 2));
    pair.until(time, "transfer", |pair| {
        one.go(&mut pair.a.stack);
        other.go(&mut pair.b.stack);
        one.end.is_some() && other.end.is_some()
    });
    assert_eq!((one.end, other.end), (Some(Read::End), Some(Read::End)));
    assert!(
        other.read == one.to_write,
        "what the client sent did not arrive as it was"
    );
    assert!(
        one.read == other.to_write,
        "what the server sent did not arrive as it was"
    );
    pair.now.saturating_since(start)
}

/// Makes lengths and checksums of an IPv4 packet without options right again, and those of what it carries.
pub fn fix_v4(packet: &mut [u8]) {
    let len = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let header = checksum(0, &packet[..20]);
    packet[10..12].copy_from_slice(&header);
    let (field, has_pseudo_header) = match packet[9] {
        1 => (22, false),
        6 => (36, true),
        17 => (26, true),
        _ => return,
    };
    if packet.len() < field + 2 {
        return;
    }
    packet[field..field + 2].fill(0);
    let addresses: u32 = packet[12..20]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let pseudo = addresses + u32::from(packet[9]) + u32::from(len) - 20;
    let sum = checksum(if has_pseudo_header { pseudo } else { 0 }, &packet[20..]);
    packet[field..field + 2].copy_from_slice(&sum);
}

/// The internet checksum of some bytes, and of a sum to start with.
pub fn checksum(start: u32, bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = start + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = u16::try_from(sum).unwrap();
    (!sum).to_be_bytes()
}

/// An IPv4 packet from a to b with right checksums.
pub fn packet_v4(protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2,
    ];
    packet.extend(body);
    fix_v4(&mut packet);
    packet
}
