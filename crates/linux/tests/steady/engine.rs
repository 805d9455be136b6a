//! Two engines that pass batches to each other, without any system call.

use std::time::Duration;

use wirewright_engine::filter::{Guard, Policy};
use wirewright_engine::{Batch, Endpoint, Engine, Limits, Moment, Output, PeerConfig};
use wirewright_protocol::{Instant, PublicKey, SecretKey, WallTime};
use wirewright_runtime::OsRandom;

use crate::{leave_out, own_allocations};

const MTU: usize = 1420;
const ROUNDS: u64 = 1000;

struct End {
    engine: Engine<OsRandom>,
    output: Output,
    number: u8,
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32])
}

fn at(round: u64) -> Moment {
    Moment {
        now: Instant::from_nanos(1_000_000_000) + Duration::from_millis(5 * round),
        wall: WallTime {
            seconds: 1_800_000_000,
            nanos: 0,
        },
    }
}

impl End {
    fn new(number: u8, peer: u8, filtered: bool) -> Self {
        let mut end = Self {
            engine: Engine::new([OsRandom::new()], &Limits::default(), MTU),
            output: Output::default(),
            number,
        };
        end.engine
            .set_private_key(at(0), Some(secret(number)), &mut end.output);
        let key: PublicKey = secret(peer).public();
        let config = PeerConfig {
            endpoint: Some(([192, 0, 2, peer], 51820).into()),
            allowed_ips: vec![format!("10.0.0.{peer}/32").parse().unwrap()],
            policy: Some(Policy::new(vec!["any 0.0.0.0/0".parse().unwrap()])),
            ..PeerConfig::default()
        };
        end.engine.set_peer(at(0), key, config, &mut end.output).unwrap();
        let own = vec![[10, 0, 0, number].into()];
        let guard = Guard::new(own, Vec::new()).filter(|_| filtered);
        end.engine
            .configure(at(0), |control| control.set_guard(guard), &mut end.output);
        end
    }

    /// Sends a batch of full packets to the other end.
    fn send(&mut self, at: Moment, peer: u8) {
        let mut batch = self.engine.batch().unwrap();
        while batch.push_plaintext(MTU, |packet| {
            packet.fill(0);
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&(MTU as u16).to_be_bytes());
            packet[12..16].copy_from_slice(&[10, 0, 0, self.number]);
            packet[16..20].copy_from_slice(&[10, 0, 0, peer]);
        }) {}
        self.engine.send(at, batch, &mut self.output);
        self.engine.tick(at, &mut self.output);
    }

    /// Takes what the other end sent, as a train in a buffer of its own. Returns how many packets came out.
    fn receive(&mut self, at: Moment, from: &mut End) -> usize {
        let path = Endpoint::new(([192, 0, 2, from.number], 51820).into());
        for sent in from.output.datagrams.drain(..) {
            let mut batch = self.engine.receive_batch(1 << 17);
            let (mut len, mut segment) = (0, 0);
            for (_, datagram) in sent.packets() {
                segment = segment.max(datagram.len());
                batch.buffer_mut()[len..len + datagram.len()].copy_from_slice(datagram);
                len += datagram.len();
            }
            batch.set_received(len, segment, path);
            from.engine.recycle(sent);
            self.engine.receive(at, batch, &mut self.output);
        }
        self.engine.handshakes(at, false, &mut self.output);
        self.output.notices.clear();
        let mut packets = 0;
        for batch in self.output.packets.drain(..) {
            packets += batch.packets().count();
            self.engine.recycle(batch);
        }
        packets
    }
}

#[test]
fn sealing_and_opening_batch_after_batch_allocates_nothing() {
    allocate_nothing(false);
}

#[test]
fn a_packet_filter_allocates_nothing_for_packets_of_flows_that_it_knows() {
    allocate_nothing(true);
}

fn allocate_nothing(filtered: bool) {
    leave_out();
    let (mut a, mut b) = (End::new(1, 2, filtered), End::new(2, 1, filtered));
    let mut pass = |round: u64| -> usize {
        let at = at(round);
        a.send(at, 2);
        let came = b.receive(at, &mut a);
        b.send(at, 1);
        came + a.receive(at, &mut b)
    };
    // A handshake, and lists that grow.
    for round in 0..50 {
        pass(round);
    }
    let before = own_allocations();
    let packets: usize = (50..50 + ROUNDS).map(&mut pass).sum();
    let allocated = own_allocations() - before;
    assert_eq!(packets, 2 * 64 * ROUNDS as usize, "all packets came through");
    assert_eq!(allocated, 0);
}

#[test]
fn the_count_counts() {
    let before = own_allocations();
    drop(std::hint::black_box(Batch::new(1, 64)));
    assert_eq!(own_allocations() - before, 2, "a slab and its slots");
}
