//! What comes from the network or from the interface in any shape: taken whole, or dropped and counted.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use support::author::Author;
use support::{MTU, Network, ipv4};
use wirewright_engine::{Batch, Endpoint, Event, Limits, PeerConfig};

const SECOND: Duration = Duration::from_secs(1);
/// The longest UDP datagram, but for the headers that a real one would lose to IP and UDP.
const LONGEST: usize = 65535;
/// Lengths that no UDP datagram has over IP, but a jumbogram or another outer transport may.
const LONGER: [usize; 4] = [65_536, 65_537, 70_000, 300_000];
/// What remains of the longest UDP payload over IPv4 without header and tag.
const JUMBO: usize = 65507 - 32;

fn elsewhere() -> SocketAddr {
    "203.0.113.66:6666".parse().unwrap()
}

fn counted(network: &Network, node: usize) -> u64 {
    network.nodes[node]
        .engine
        .counters()
        .iter()
        .map(|(_, count)| count)
        .sum()
}

fn ipv6(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut packet = vec![0; 8];
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&octets(source));
    packet.extend_from_slice(&octets(destination));
    packet.extend_from_slice(payload);
    packet
}

/// Gives node 0 and node 1 IPv6 addresses fd00::1 and fd00::2.
fn with_ipv6(network: &mut Network) {
    for (node, other, prefix) in [(0, 1, "fd00::2/128"), (1, 0, "fd00::1/128")] {
        let config = PeerConfig {
            allowed_ips: vec![prefix.parse().unwrap()],
            ..PeerConfig::default()
        };
        network.configure(node, network.nodes[other].key, config);
    }
}

with_one_and_four_shards! {
    fn every_malformed_datagram_is_counted_once_and_changes_nothing(shards) {
        let mut network = Network::connected(shards);
        let status = network.status(0, &network.nodes[1].key);
        let mut expected = 0;
        for kind in 0..6_u8 {
            for len in (0..200).chain([1420, 1500, 4096, 9000, LONGEST]) {
                for fill in [0, 0x55, 0xff] {
                    let mut bytes = vec![fill; len];
                    for (byte, value) in bytes.iter_mut().zip([kind, 0, 0, 0]) {
                        *byte = value;
                    }
                    network.inject(0, elsewhere(), &bytes);
                    // An empty datagram is indistinguishable from no datagram.
                    expected += u64::from(len > 0);
                    assert_eq!(counted(&network, 0), expected, "type {kind}, {len} bytes of {fill:#x}");
                }
            }
        }
        let now = network.status(0, &network.nodes[1].key);
        assert_eq!((now.endpoint, now.received_bytes), (status.endpoint, status.received_bytes));
        assert!(network.nodes[0].inbox.is_empty());
        network.send(1, 0, b"alive");
        network.run(SECOND);
        assert_eq!(network.payloads(0), [b"alive".to_vec()]);
    }

    fn no_tampered_datagram_is_taken(shards) {
        let mut network = Network::connected(shards);
        network.send(1, 0, b"genuine");
        let genuine = network.intercept().pop().unwrap();
        let mut tampered: Vec<Vec<u8>> = (0..genuine.bytes.len() * 8)
            .map(|bit| {
                let mut bytes = genuine.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            })
            .collect();
        tampered.extend((1..genuine.bytes.len()).map(|len| genuine.bytes[..len].to_vec()));
        tampered.extend([1, 16, 1000, LONGEST - genuine.bytes.len()].map(|more| [&genuine.bytes[..], &vec![0; more]].concat()));
        for bytes in &tampered {
            network.inject(0, elsewhere(), bytes);
        }
        assert!(network.nodes[0].inbox.is_empty());
        assert_eq!(counted(&network, 0), tampered.len() as u64);
        assert_eq!(network.status(0, &network.nodes[1].key).endpoint, Some(network.nodes[1].address));
        network.inject(0, genuine.from, &genuine.bytes);
        assert_eq!(network.payloads(0), [b"genuine".to_vec()]);
    }

    fn a_datagram_over_64_kib_is_refused_like_any_other(shards) {
        let mut network = Network::connected(shards);
        network.send(1, 0, b"genuine");
        let genuine = network.intercept().pop().unwrap();
        let mut datagrams = Vec::new();
        for len in LONGER {
            for kind in 0..6_u8 {
                let mut bytes = vec![0xaa; len];
                bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
                datagrams.push(bytes);
            }
            // What a session would take, and more behind it.
            let mut bytes = genuine.bytes.clone();
            bytes.resize(len, 0);
            datagrams.push(bytes);
        }
        for (before, bytes) in datagrams.iter().enumerate() {
            network.inject(0, elsewhere(), bytes);
            assert_eq!(counted(&network, 0), before as u64 + 1, "type {}, {} bytes", bytes[0], bytes.len());
        }
        network.deliver(0, elsewhere(), &datagrams);
        assert_eq!(counted(&network, 0), 2 * datagrams.len() as u64);
        assert!(network.nodes[0].inbox.is_empty());
        assert_eq!(network.status(0, &network.nodes[1].key).endpoint, Some(network.nodes[1].address));
        network.inject(0, genuine.from, &genuine.bytes);
        assert_eq!(network.payloads(0), [b"genuine".to_vec()]);
    }

    fn what_a_peer_seals_over_64_kib_is_cut_to_the_length_that_it_says(shards) {
        let mut network = Network::new(1, shards);
        let mut authors: Vec<Author> = (0..4).map(|number| Author::connected(&mut network, 0, 90 + number)).collect();
        for len in LONGER {
            let mut datagrams = Vec::new();
            let mut expected = Vec::new();
            for author in &mut authors {
                let packet = ipv4(author.inner, [10, 0, 0, 1].into(), &vec![len as u8; LONGEST - 20]);
                let mut text = packet.clone();
                text.resize(len, 0);
                datagrams.push(author.seal(&text));
                expected.push(packet);
            }
            // One by one, then in a batch that has to be taken apart.
            network.inject(0, authors[0].address, &datagrams[0]);
            network.deliver(0, authors[1].address, &datagrams[1..]);
            let mut inbox = std::mem::take(&mut network.nodes[0].inbox);
            inbox.sort();
            expected.sort();
            assert!(inbox == expected, "{len} bytes");
        }
        assert_eq!(counted(&network, 0), 0);
    }

    fn a_bad_datagram_does_not_harm_its_batch(shards) {
        let mut network = Network::connected(shards);
        let packets: Vec<Vec<u8>> = (0..9_u8).map(|number| ipv4([10, 0, 0, 2].into(), [10, 0, 0, 1].into(), &[number])).collect();
        network.send_packets(1, &packets);
        let mut datagrams: Vec<Vec<u8>> = network.intercept().into_iter().map(|datagram| datagram.bytes).collect();
        datagrams[1][30] ^= 1; // forged
        datagrams[3].truncate(31); // short
        datagrams[5][4] ^= 0xc0; // another receiver index
        datagrams[7] = datagrams[0].clone(); // again
        network.deliver(0, network.nodes[1].address, &datagrams);
        assert_eq!(network.payloads(0), [[0], [2], [4], [6], [8]]);
        assert_eq!(counted(&network, 0), 4);
    }

    fn keepalives_are_heard_but_not_delivered(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::connected(&mut network, 0, 99);
        let before = network.status(0, &author.key).received_bytes;
        let keepalive = author.seal(&[]);
        assert_eq!(keepalive.len(), 32);
        network.inject(0, "192.0.2.77:7".parse().unwrap(), &keepalive);
        let status = network.status(0, &author.key);
        assert!(network.nodes[0].inbox.is_empty());
        assert_eq!(status.received_bytes, before + 32);
        assert_eq!(status.endpoint, Some("192.0.2.77:7".parse().unwrap()));
        assert!(status.last_handshake.is_some(), "the session is confirmed");
        assert_eq!(counted(&network, 0), 0);
    }

    fn an_inner_packet_is_cut_to_the_length_that_it_says(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::connected(&mut network, 0, 99);
        let inner = author.inner;
        let packet = |payload: &[u8]| ipv4(inner, [10, 0, 0, 1].into(), payload);
        for padding in 0..40 {
            let mut text = packet(b"exact");
            text.resize(25 + padding, 0xee);
            let sealed = author.seal(&text);
            network.inject(0, author.address, &sealed);
        }
        assert_eq!(network.nodes[0].inbox, vec![packet(b"exact"); 40]);
    }

    fn an_inner_packet_that_lies_about_itself_is_dropped(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::connected(&mut network, 0, 99);
        let good = ipv4(author.inner, [10, 0, 0, 1].into(), b"payload");
        let mut longer = good.clone();
        longer[3] += 1;
        let mut shorter_than_its_header = good.clone();
        shorter_than_its_header[3] = 19;
        let mut version = good.clone();
        version[0] = 0x55;
        let mut sixth = good.clone();
        sixth[0] = 0x65;
        let ipv6_without_payload = ipv6("fd00::9", "fd00::1", &[])[..39].to_vec();
        let cases = [
            (longer, Event::InnerLength),
            (shorter_than_its_header, Event::InnerLength),
            (version, Event::InnerVersion),
            (sixth, Event::InnerLength),
            (ipv6_without_payload, Event::InnerLength),
            (good[..19].to_vec(), Event::InnerLength),
            (vec![0x45], Event::InnerLength),
            (vec![0], Event::InnerVersion),
            (vec![0; 1500], Event::InnerVersion),
            (ipv6("fd00::9", "fd00::1", b"not its address"), Event::SourceNotAllowed),
            (ipv4([10, 0, 0, 1].into(), [10, 0, 0, 1].into(), b"our own"), Event::SourceNotAllowed),
        ];
        for (text, event) in &cases {
            let before = network.status(0, &author.key).counters.get(*event);
            let sealed = author.seal(text);
            network.inject(0, author.address, &sealed);
            assert_eq!(network.status(0, &author.key).counters.get(*event), before + 1, "{text:?}");
        }
        assert!(network.nodes[0].inbox.is_empty());
        assert_eq!(counted(&network, 0), cases.len() as u64);
    }

    fn packets_are_padded_to_sixteen_bytes_but_never_beyond_the_mtu(shards) {
        let mut network = Network::connected(shards);
        for len in (20..100).chain([1400, 1407, 1408, 1409, 1419, 1420]) {
            let packet = ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), &vec![7; len - 20]);
            network.send_packets(0, std::slice::from_ref(&packet));
            let sent = network.intercept().pop().unwrap();
            assert_eq!(sent.bytes.len(), len.next_multiple_of(16).min(MTU) + 32);
            network.inject(1, sent.from, &sent.bytes);
            assert_eq!(network.nodes[1].inbox.pop().unwrap(), packet);
        }
    }

    fn ipv6_packets_cross_the_tunnel(shards) {
        let mut network = Network::connected(shards);
        with_ipv6(&mut network);
        for len in [0, 1, 15, 16, 17, 1380] {
            let there = ipv6("fd00::1", "fd00::2", &vec![6; len]);
            let back = ipv6("fd00::2", "fd00::1", &vec![9; len]);
            network.send_packets(0, std::slice::from_ref(&there));
            network.send_packets(1, std::slice::from_ref(&back));
            network.run(SECOND);
            assert_eq!((network.nodes[1].inbox.pop().unwrap(), network.nodes[0].inbox.pop().unwrap()), (there, back));
        }
        // The addresses of one family say nothing about the other.
        let spoofed = ipv6("::ffff:10.0.0.1", "fd00::2", b"mapped");
        network.send_packets(0, &[spoofed]);
        network.run(SECOND);
        assert!(network.nodes[1].inbox.is_empty());
        assert_eq!(network.peer_counter(1, 0, Event::SourceNotAllowed), 1);
    }

    fn the_largest_inner_packet_crosses_the_tunnel(shards) {
        let mut network = Network::of(shards, &[Limits::default(), Limits::default()], JUMBO);
        network.introduce(0, 1, true);
        network.introduce(1, 0, false);
        let packet = ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), &vec![0xab; JUMBO - 20]);
        // The first waits for the handshake, the others do not.
        for _ in 0..3 {
            network.send_packets(0, std::slice::from_ref(&packet));
            network.run(SECOND);
        }
        assert_eq!(network.nodes[1].inbox, vec![packet; 3]);
        let longest = network.tap.iter().map(|datagram| datagram.bytes.len()).max();
        assert_eq!(longest, Some(65507));
    }

    fn a_peer_with_a_larger_mtu_is_understood_in_any_mixture(shards) {
        let mut network = Network::new(1, shards);
        let mut authors: Vec<Author> = (0..4).map(|number| Author::connected(&mut network, 0, 90 + number)).collect();
        let mut datagrams = Vec::new();
        let mut expected = Vec::new();
        for len in [40, 9000, 1420, 65000, 100, 5000, 60] {
            for author in &mut authors {
                let packet = ipv4(author.inner, [10, 0, 0, 1].into(), &vec![len as u8; len - 20]);
                datagrams.push(author.seal(&packet));
                expected.push(packet);
            }
        }
        // Their peers are at home in different shards, so the batch must be taken apart.
        network.deliver(0, authors[0].address, &datagrams);
        let of = |packets: &[Vec<u8>], source: IpAddr| -> Vec<Vec<u8>> {
            packets.iter().filter(|packet| IpAddr::from([packet[12], packet[13], packet[14], packet[15]]) == source).cloned().collect()
        };
        for author in &authors {
            assert_eq!(of(&network.nodes[0].inbox, author.inner), of(&expected, author.inner), "in order");
        }
        assert_eq!(counted(&network, 0), 0);
    }

    fn a_coalesced_buffer_is_taken_apart(shards) {
        let mut network = Network::connected(shards);
        let packets: Vec<Vec<u8>> = (0..20_u8).map(|number| ipv4([10, 0, 0, 2].into(), [10, 0, 0, 1].into(), &[number; 1000])).collect();
        network.send_packets(1, &packets);
        let train: Vec<u8> = network.intercept().into_iter().flat_map(|datagram| datagram.bytes).collect();
        let mut batch = network.nodes[0].engine.receive_batch(65535);
        batch.buffer_mut()[..train.len()].copy_from_slice(&train);
        batch.set_received(train.len(), train.len() / 20, Endpoint::new(network.nodes[1].address));
        let (at, node) = (network.moment(), &mut network.nodes[0]);
        node.engine.receive(at, batch, &mut node.output);
        network.carry();
        assert_eq!(network.nodes[0].inbox, packets);
    }

    fn a_malformed_packet_of_the_interface_is_dropped_and_counted(shards) {
        let mut network = Network::connected(shards);
        let good = ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), b"good");
        let mut longer = good.clone();
        longer[3] += 1;
        let packets = [good.clone(), longer, good[..19].to_vec(), vec![0; 60], vec![0x60; 39], vec![0xff], good.clone()];
        network.send_packets(0, &packets);
        network.run(SECOND);
        assert_eq!(network.nodes[1].inbox, [good.clone(), good]);
        assert_eq!(network.counter(0, Event::MalformedPacket), 5);
        assert_eq!(counted(&network, 0), 5);
    }

    fn an_empty_batch_is_nothing(shards) {
        let mut network = Network::connected(shards);
        let before = network.tap.len();
        let at = network.moment();
        let node = &mut network.nodes[0];
        node.engine.send(at, Batch::new(0, 0), &mut node.output);
        node.engine.receive(at, Batch::new(4, 64), &mut node.output);
        network.carry();
        assert_eq!((network.tap.len(), counted(&network, 0)), (before, 0));
    }
}
