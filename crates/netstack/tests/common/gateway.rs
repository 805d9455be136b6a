//! A peer and a gateway in virtual time, and a host whose sockets the test plays.

use std::time::Duration;

use wirewright_netstack::{ConnectionId, Event, Forwarding, Read};
use wirewright_protocol::PublicKey;
use wirewright_runtime::outside::{Kind, Order, Report, Reports};

use super::{A4, A6, Pair, at, ip};

pub const OUTSIDE: &str = "198.51.100.7";
pub const OUTSIDE6: &str = "2001:db8::7";
pub const SOON: Duration = Duration::from_millis(20);

/// A peer (a), a gateway (b), and what the gateway ordered.
pub struct Gateway {
    pub pair: Pair,
    pub done: Vec<(Order, Vec<u8>)>,
}

impl Gateway {
    pub fn new(settings: Forwarding) -> Self {
        let mut pair = Pair::new();
        pair.b.stack.forward(settings);
        let peer = PublicKey::from_bytes([1; 32]);
        pair.owners = vec![(ip(A4), peer), (ip(A6), peer)];
        Self { pair, done: vec![] }
    }

    /// Lets time pass, and keeps what was ordered meanwhile.
    pub fn pass(&mut self, time: Duration) {
        self.pair.pass(time);
        self.done.append(&mut self.pair.ordered);
    }

    pub fn orders(&mut self) -> Vec<(Order, Vec<u8>)> {
        std::mem::take(&mut self.done)
    }

    pub fn tell(&mut self, name: u64, report: Report) {
        let mut reports = Reports::new(0);
        reports.push(name, report);
        self.pair.b.stack.reported(self.pair.now, &reports);
        self.pass(SOON);
    }

    pub fn tell_bytes(&mut self, name: u64, bytes: &[u8]) {
        let mut reports = Reports::new(bytes.len());
        reports.push_bytes(name, bytes);
        self.pair.b.stack.reported(self.pair.now, &reports);
        self.pass(SOON);
    }

    pub fn count(&self, name: &str) -> u64 {
        let forwarded = self.pair.b.stack.forwarded().unwrap();
        let mut counters = forwarded.counters.iter();
        counters.find(|(known, _)| *known == name).unwrap().1
    }

    pub fn carried(&self) -> (usize, usize) {
        let forwarded = self.pair.b.stack.forwarded().unwrap();
        (forwarded.connections, forwarded.flows)
    }

    /// A peer's attempt to connect, and the name of the socket that was ordered for it.
    pub fn dial(&mut self, to: &str) -> (ConnectionId, u64) {
        let now = self.pair.now;
        let client = self.pair.a.stack.connect(now, at(to, 80), None).unwrap();
        self.pass(SOON);
        let (name, kind, remote, _) = opened(&self.orders()).unwrap();
        assert_eq!((kind, remote), (Kind::Stream, at(to, 80)));
        (client, name)
    }

    /// A connection that the host has established.
    pub fn joined(&mut self, to: &str) -> (ConnectionId, u64, usize) {
        let (client, name) = self.dial(to);
        self.tell(name, Report::Opened);
        assert!(self.pair.a.events.contains(&Event::Connected(client)));
        let granted = self.granted(name);
        (client, name, granted)
    }

    /// What the host's socket may read, since it was asked last.
    pub fn granted(&mut self, name: u64) -> usize {
        let orders = self.orders();
        let granted = orders.iter().filter_map(|(order, _)| match order {
            Order::Read { name: whose, more } if *whose == name => Some(*more),
            _ => None,
        });
        granted.sum()
    }

    /// What was ordered to be sent.
    pub fn sent(&mut self, name: u64) -> Vec<u8> {
        let orders = self.orders();
        let sent = orders
            .iter()
            .filter(|(order, _)| matches!(order, Order::Send { name: whose, .. } if *whose == name));
        sent.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

pub fn opened(orders: &[(Order, Vec<u8>)]) -> Option<(u64, Kind, std::net::SocketAddr, bool)> {
    orders.iter().find_map(|(order, _)| match *order {
        Order::Open {
            name,
            kind,
            remote,
            own,
        } => Some((name, kind, remote, own)),
        _ => None,
    })
}

pub fn closed(orders: &[(Order, Vec<u8>)]) -> Option<bool> {
    orders.iter().find_map(|(order, _)| match *order {
        Order::Close { abort, .. } => Some(abort),
        _ => None,
    })
}

pub fn read(gateway: &mut Gateway, client: ConnectionId) -> (Vec<u8>, Read) {
    let (mut bytes, mut buffer) = (vec![], vec![0; 65_536]);
    loop {
        match gateway.pair.a.stack.read(client, &mut buffer) {
            Read::Data(len) => bytes.extend(&buffer[..len]),
            end => return (bytes, end),
        }
    }
}

/// A TCP header without options.
pub fn segment(from: u16, to: u16, sequence: u32, flags: u8) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}
