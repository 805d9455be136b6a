//! What the packet filter costs a packet on its way out of a tunnel: opened, checked and judged, by an interface without a
//! filter, and by ones with few and with many rules and flows.
//!
//! One JSON object a line on standard output:
//! `{"bench":"filter","kind":"32 rules, 1000 flows","size":64,"none_ns":…,"filter_ns":…,"ratio":…}`; times are nanoseconds of
//! processor time a packet, medians over alternating rounds of one run; `ratio` is the median of the filter's time by that
//! without. Clocks drift from run to run: quote ratios.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_bench::{median, processor_ns};
use wirewright_engine::filter::{Guard, Policy, Rule};
use wirewright_engine::{Endpoint, Engine, Event, Limits, Moment, Output, PeerConfig};
use wirewright_protocol::{Instant, SecretKey, WallTime};

const MTU: usize = 1420;
const SIZES: [usize; 2] = [64, 1400];
const ROUNDS: usize = 31;
/// Batches a round.
const BATCHES: usize = 200;
/// Packets a batch.
const PACKETS: usize = 45;
/// Rules, and flows among which the packets are spread.
const KINDS: [(usize, usize); 3] = [(1, 1), (32, 45), (32, 1000)];

fn main() {
    for size in SIZES {
        for (rules, flows) in KINDS {
            let mut without = Pair::new(None, size, flows);
            let mut with = Pair::new(Some(rules), size, flows);
            let (mut none, mut filter) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                none.push(without.round());
                filter.push(with.round());
            }
            let ratio = median(
                filter
                    .iter()
                    .zip(&none)
                    .map(|(with, without)| with / without)
                    .collect(),
            );
            let (none, filter) = (median(none), median(filter));
            println!(
                "{{\"bench\":\"filter\",\"kind\":\"{rules} rules, {flows} flows\",\"size\":{size},\
                 \"none_ns\":{none:.1},\"filter_ns\":{filter:.1},\"ratio\":{ratio:.3}}}"
            );
        }
    }
}

struct End {
    engine: Engine<ChaCha20Rng>,
    output: Output,
}

/// A device that sends, and a gateway that receives.
struct Pair {
    device: End,
    gateway: End,
    size: usize,
    flows: usize,
    sent: usize,
}

fn at() -> Moment {
    Moment {
        now: Instant::from_nanos(1_000_000_000) + Duration::from_millis(1),
        wall: WallTime {
            seconds: 1_800_000_000,
            nanos: 0,
        },
    }
}

impl End {
    fn new(number: u8, peer: u8, policy: Option<Policy>) -> Self {
        let limits = Limits::default();
        let mut engine = Engine::new([ChaCha20Rng::from_seed([number; 32])], &limits, MTU);
        let mut output = Output::default();
        let secret = |number| SecretKey::from_bytes([number; 32]);
        engine.set_private_key(at(), Some(secret(number)), &mut output);
        let config = PeerConfig {
            endpoint: Some(([192, 0, 2, peer], 51820).into()),
            allowed_ips: ["0.0.0.0/0".parse()].into_iter().flatten().collect(),
            policy,
            ..PeerConfig::default()
        };
        assert!(
            engine
                .set_peer(at(), secret(peer).public(), config, &mut output)
                .is_ok()
        );
        Self { engine, output }
    }

    fn take(&mut self, from: &mut Self) {
        let path = Endpoint::new(([192, 0, 2, 1], 51820).into());
        for sent in from.output.datagrams.drain(..) {
            let mut batch = self.engine.receive_batch(1 << 17);
            let (mut len, mut segment) = (0, 0);
            for (_, datagram) in sent.packets() {
                segment = segment.max(datagram.len());
                if let Some(place) = batch.buffer_mut().get_mut(len..len + datagram.len()) {
                    place.copy_from_slice(datagram);
                }
                len += datagram.len();
            }
            batch.set_received(len, segment, path);
            from.engine.recycle(sent);
            self.engine.receive(at(), batch, &mut self.output);
        }
        self.engine.handshakes(at(), false, &mut self.output);
        self.output.notices.clear();
    }

    fn packets(&mut self) -> usize {
        let mut packets = 0;
        for batch in self.output.packets.drain(..) {
            packets += batch.packets().count();
            self.engine.recycle(batch);
        }
        packets
    }
}

impl Pair {
    fn new(rules: Option<usize>, size: usize, flows: usize) -> Self {
        let policy = rules.map(|count| {
            let rule = |number: usize| -> Option<Rule> {
                let last = number + 1 == count;
                let text = if last {
                    "udp 0.0.0.0/0".into()
                } else {
                    format!("tcp 10.{number}.0.0/16 80-90")
                };
                text.parse().ok()
            };
            Policy::new((0..count).filter_map(rule).collect())
        });
        let mut gateway = End::new(2, 1, policy);
        if rules.is_some() {
            let guard = Guard::new(
                vec![[10, 0, 0, 1].into()],
                "10.0.0.0/24".parse().into_iter().collect(),
            );
            let End { engine, output } = &mut gateway;
            engine.configure(at(), |control| control.set_guard(guard), output);
        }
        let mut pair = Self {
            device: End::new(1, 2, None),
            gateway,
            size,
            flows,
            sent: 0,
        };
        for _ in 0..4 {
            pair.send();
            pair.gateway.take(&mut pair.device);
            pair.device.take(&mut pair.gateway);
            pair.gateway.packets();
        }
        pair.round();
        pair
    }

    /// Seals a batch of datagrams.
    fn send(&mut self) {
        let Some(mut batch) = self.device.engine.batch() else {
            return;
        };
        for _ in 0..PACKETS {
            let port = (self.sent % self.flows) as u16 + 1000;
            self.sent += 1;
            let size = self.size;
            batch.push_plaintext(size, |packet| {
                packet.fill(0);
                let mut header = [0; 24];
                (header[0], header[8], header[9]) = (0x45, 64, 17);
                header[2..4].copy_from_slice(&(size as u16).to_be_bytes());
                header[12..16].copy_from_slice(&[10, 0, 0, 2]);
                header[16..20].copy_from_slice(&[198, 51, 100, 7]);
                header[20..22].copy_from_slice(&port.to_be_bytes());
                if let Some(place) = packet.first_chunk_mut::<24>() {
                    *place = header;
                }
            });
        }
        self.device.engine.send(at(), batch, &mut self.device.output);
    }

    /// Nanoseconds that a packet takes at the gateway.
    fn round(&mut self) -> f64 {
        let (mut spent, mut came) = (0, 0);
        for _ in 0..BATCHES {
            self.send();
            let before = processor_ns();
            self.gateway.take(&mut self.device);
            spent += processor_ns() - before;
            came += self.gateway.packets();
        }
        let denied = self.gateway.engine.counters().get(Event::FilterDenied);
        assert_eq!((came, denied), (BATCHES * PACKETS, 0), "all packets came");
        spent as f64 / came as f64
    }
}
