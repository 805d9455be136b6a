//! What TCP in user space costs: throughput of one stream, the cost of a packet beside idle connections, and the
//! memory of idle connections. Two stacks in one thread hand packets to each other in batches, as an engine would.
//!
//! One JSON object a line on standard output. Times are of the thread's processor, so that a busy machine tells
//! little worse than an idle one, and medians over rounds; the rounds with few and with many
//! idle connections alternate. `receiver_ns` is what `receive`, `poll` and `read` took at the receiving stack, a
//! packet of data; `sender_ns` what `write`, `receive` (of acknowledgements) and `poll` took at the sending one.
//! `gbit_s` counts both stacks in one thread; `receiver_gbit_s` only the receiving one, which is what a download
//! pays. An argument sets the number of idle connections: `netstack 10000`.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use wirewright_netstack::{Config, ConnectionId, Instant, Netstack, PacketSink, Read};

const MTU: usize = 1420;
const BATCH: usize = 64;
const ROUNDS: usize = 9;
const BYTES: usize = 64 << 20;

fn main() {
    let idle = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    for (family, a, b) in [("ipv4", "10.9.0.1", "10.9.0.2"), ("ipv6", "fd09::1", "fd09::2")] {
        let mut pair = Pair::new(a.parse().unwrap(), b.parse().unwrap());
        let stream = pair.connect();
        let rounds: Vec<Cost> = (0..ROUNDS)
            .map(|_| pair.transfer(stream, BYTES, 1 << 16))
            .collect();
        report("stream", family, 0, &rounds);
    }

    let mut few = Pair::new("10.9.0.1".parse().unwrap(), "10.9.0.2".parse().unwrap());
    let mut many = Pair::new("10.9.0.1".parse().unwrap(), "10.9.0.2".parse().unwrap());
    let before = resident_bytes();
    for _ in 0..idle {
        many.connect();
    }
    let after = resident_bytes();
    if let Some((before, after)) = before.zip(after) {
        let each = (after - before) as f64 / idle as f64 / 2.0;
        println!(
            "{{\"bench\":\"netstack_idle_memory\",\"connections\":{idle},\"bytes_each_end\":{each:.0}}}"
        );
    }
    let (one, other) = (few.connect(), many.connect());
    for (kind, chunk) in [("bulk", 1 << 16), ("small", 100)] {
        let (mut without, mut with) = (vec![], vec![]);
        let bytes = if chunk == 100 { 2 << 20 } else { BYTES / 4 };
        for _ in 0..ROUNDS {
            without.push(few.transfer(one, bytes, chunk));
            with.push(many.transfer(other, bytes, chunk));
        }
        let (a, b) = (
            report(kind, "ipv4", 0, &without),
            report(kind, "ipv4", idle, &with),
        );
        println!(
            "{{\"bench\":\"netstack_idle_ratio\",\"kind\":\"{kind}\",\"idle\":{idle},\"ratio\":{:.3}}}",
            b / a
        );
    }
}

/// Seconds at either end, and packets of data.
struct Cost {
    sender: f64,
    receiver: f64,
    packets: f64,
    bytes: f64,
}

/// Prints medians and returns the nanoseconds a packet cost at the receiver.
fn report(kind: &str, family: &str, idle: usize, rounds: &[Cost]) -> f64 {
    let median = |of: &dyn Fn(&Cost) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let receiver = median(&|cost| cost.receiver * 1e9 / cost.packets);
    let sender = median(&|cost| cost.sender * 1e9 / cost.packets);
    let both = median(&|cost| cost.bytes * 8e-9 / (cost.sender + cost.receiver));
    let alone = median(&|cost| cost.bytes * 8e-9 / cost.receiver);
    println!(
        "{{\"bench\":\"netstack_packet\",\"kind\":\"{kind}\",\"family\":\"{family}\",\"idle\":{idle},\
         \"receiver_ns\":{receiver:.0},\"sender_ns\":{sender:.0},\"gbit_s\":{both:.2},\"receiver_gbit_s\":{alone:.2}}}"
    );
    receiver
}

struct Pair {
    sender: Netstack,
    receiver: Netstack,
    remote: IpAddr,
    begun: Clock,
    slab: Slab,
    buffer: Vec<u8>,
}

impl Pair {
    fn new(a: IpAddr, b: IpAddr) -> Self {
        let prefix = if a.is_ipv4() { 24 } else { 64 };
        let stack = |address, seed| {
            let mut config = Config::new(vec![(address, prefix)], MTU);
            config.limits.connections = 1 << 17;
            Netstack::new(config, [seed; 32]).unwrap()
        };
        Self {
            sender: stack(a, 1),
            receiver: stack(b, 2),
            remote: b,
            begun: Clock::now(),
            slab: Slab::new(),
            buffer: vec![0; 1 << 16],
        }
    }

    fn connect(&mut self) -> (ConnectionId, ConnectionId) {
        // A listener for each thousand connections keeps ports from running out.
        let port = u16::try_from(1 + self.sender.connection_count() / 1000).unwrap();
        let now = self.now();
        let listener = self
            .receiver
            .listen(None, port, 16)
            .or_else(|_| self.receiver.listen(None, 0, 16))
            .unwrap();
        let port = self.receiver.listener_port(listener).unwrap();
        let client = self
            .sender
            .connect(now, SocketAddr::new(self.remote, port), None)
            .unwrap();
        for _ in 0..4 {
            self.exchange();
        }
        let (server, ..) = self.receiver.accept(listener).unwrap();
        self.receiver.close_listener(listener);
        self.drain_events();
        (client, server)
    }

    fn transfer(
        &mut self,
        (client, server): (ConnectionId, ConnectionId),
        bytes: usize,
        chunk: usize,
    ) -> Cost {
        let mut cost = Cost {
            sender: 0.0,
            receiver: 0.0,
            packets: 0.0,
            bytes: bytes as f64,
        };
        let text = vec![0x5a; chunk];
        let (mut written, mut read) = (0, 0);
        let packets = self.sender.counters().packets_sent;
        while read < bytes {
            let start = processor_seconds();
            // Small writes become small packets, as there is a poll behind each.
            let writes = if chunk < MTU { BATCH } else { 1 };
            let now = self.now();
            self.slab.clear();
            for _ in 0..writes {
                if written < bytes {
                    let len = chunk.min(bytes - written);
                    written += self.sender.write(client, &text[..len]).unwrap();
                }
                self.sender.poll(now, &mut self.slab);
            }
            let middle = processor_seconds();
            for packet in self.slab.packets() {
                self.receiver.receive(now, packet);
            }
            self.slab.clear();
            self.receiver.poll(now, &mut self.slab);
            while let Read::Data(len) = self.receiver.read(server, &mut self.buffer) {
                read += len;
            }
            self.receiver.poll(now, &mut self.slab);
            while self.receiver.next_event().is_some() {}
            let end = processor_seconds();
            for packet in self.slab.packets() {
                self.sender.receive(now, packet);
            }
            while self.sender.next_event().is_some() {}
            cost.receiver += end - middle;
            cost.sender += middle - start + (processor_seconds() - end);
        }
        cost.packets = (self.sender.counters().packets_sent - packets) as f64;
        cost
    }

    fn exchange(&mut self) {
        let now = self.now();
        for forward in [true, false] {
            let (from, to) = if forward {
                (&mut self.sender, &mut self.receiver)
            } else {
                (&mut self.receiver, &mut self.sender)
            };
            self.slab.clear();
            from.poll(now, &mut self.slab);
            for packet in self.slab.packets() {
                to.receive(now, packet);
            }
        }
    }

    fn drain_events(&mut self) {
        while self.sender.next_event().is_some() {}
        while self.receiver.next_event().is_some() {}
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(0) + (self.begun.elapsed() + Duration::from_secs(1))
    }
}

/// A batch of packets at a fixed stride.
struct Slab {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Slab {
    fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * MTU],
            lengths: Vec::with_capacity(BATCH),
        }
    }

    fn clear(&mut self) {
        self.lengths.clear();
    }

    fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes
            .chunks_exact(MTU)
            .zip(&self.lengths)
            .map(|(slot, len)| &slot[..*len])
    }
}

impl PacketSink for Slab {
    fn has_room(&self) -> bool {
        self.lengths.len() < BATCH
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let start = self.lengths.len() * MTU;
        self.lengths.push(len);
        fill(&mut self.bytes[start..start + len])
    }
}

/// What this thread has used of a processor.
#[allow(clippy::cast_precision_loss)]
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Memory of this process that is really there.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
