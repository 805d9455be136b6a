//! Packets of all kinds, without checksums.

use std::net::IpAddr;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An IP packet of either family.
pub fn packet(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0; 20];
            (packet[0], packet[8], packet[9]) = (0x45, 64, protocol);
            packet[2..4].copy_from_slice(&((20 + body.len()) as u16).to_be_bytes());
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            packet.extend_from_slice(body);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0; 40];
            (packet[0], packet[6], packet[7]) = (0x60, protocol, 64);
            packet[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
            packet.extend_from_slice(body);
            packet
        }
        _ => panic!("two families"),
    }
}

pub fn udp_body(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    [
        &from.to_be_bytes()[..],
        &to.to_be_bytes(),
        &len.to_be_bytes(),
        &[0, 0],
        payload,
    ]
    .concat()
}

pub fn udp(source: &str, from: u16, destination: &str, to: u16) -> Vec<u8> {
    packet(ip(source), ip(destination), UDP, &udp_body(from, to, b"hello"))
}

pub fn tcp_body(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut body = vec![0; 20];
    body[..2].copy_from_slice(&from.to_be_bytes());
    body[2..4].copy_from_slice(&to.to_be_bytes());
    (body[12], body[13]) = (0x50, flags);
    body
}

pub fn tcp(source: &str, from: u16, destination: &str, to: u16, flags: u8) -> Vec<u8> {
    packet(ip(source), ip(destination), TCP, &tcp_body(from, to, flags))
}

pub fn echo(source: &str, destination: &str, request: bool, id: u16) -> Vec<u8> {
    let (source, destination) = (ip(source), ip(destination));
    let (protocol, kind) = match (source.is_ipv4(), request) {
        (true, true) => (ICMP, 8),
        (true, false) => (ICMP, 0),
        (false, true) => (ICMPV6, 128),
        (false, false) => (ICMPV6, 129),
    };
    let [high, low] = id.to_be_bytes();
    packet(
        source,
        destination,
        protocol,
        &[kind, 0, 0, 0, high, low, 0, 1, 7, 7],
    )
}

/// An error of a kind (destination unreachable) from `source` to the sender of `about`.
pub fn unreachable(source: &str, about: &[u8]) -> Vec<u8> {
    let source = ip(source);
    let (protocol, kind, destination, len) = if source.is_ipv4() {
        let address: [u8; 4] = about[12..16].try_into().unwrap();
        (ICMP, 3, IpAddr::from(address), 28)
    } else {
        let address: [u8; 16] = about[8..24].try_into().unwrap();
        (ICMPV6, 1, IpAddr::from(address), 48)
    };
    let quote = &about[..about.len().min(len)];
    packet(
        source,
        destination,
        protocol,
        &[&[kind, 3, 0, 0, 0, 0, 0, 0], quote].concat(),
    )
}

/// Cuts an IPv4 packet into fragments at multiples of eight bytes of its body.
pub fn cut_v4(packet: &[u8], id: u16, at: &[usize]) -> Vec<Vec<u8>> {
    let body = &packet[20..];
    let starts = [&[0], at].concat();
    let ends = [at, &[body.len()]].concat();
    starts
        .iter()
        .zip(&ends)
        .map(|(start, end)| {
            let mut fragment = [&packet[..20], &body[*start..*end]].concat();
            let len = fragment.len() as u16;
            fragment[2..4].copy_from_slice(&len.to_be_bytes());
            fragment[4..6].copy_from_slice(&id.to_be_bytes());
            let more = if *end < body.len() { 0x2000 } else { 0 };
            fragment[6..8].copy_from_slice(&((*start / 8) as u16 | more).to_be_bytes());
            fragment
        })
        .collect()
}

/// The same for IPv6.
pub fn cut_v6(packet: &[u8], id: u32, at: &[usize]) -> Vec<Vec<u8>> {
    let (next, body) = (packet[6], &packet[40..]);
    let starts = [&[0], at].concat();
    let ends = [at, &[body.len()]].concat();
    starts
        .iter()
        .zip(&ends)
        .map(|(start, end)| {
            let more = u16::from(*end < body.len());
            let mut header = vec![next, 0];
            header.extend_from_slice(&(*start as u16 | more).to_be_bytes());
            header.extend_from_slice(&id.to_be_bytes());
            let mut fragment = [&packet[..40], &header, &body[*start..*end]].concat();
            fragment[6] = 44;
            let len = (fragment.len() - 40) as u16;
            fragment[4..6].copy_from_slice(&len.to_be_bytes());
            fragment
        })
        .collect()
}
