//! What the kernel takes for a datagram over the loopback: alone and in trains, sent and received by the engine's own buffers.
//! From these unit costs one can predict what an offload gives before it is measured (docs/performance.md does).
//!
//! One JSON object a line on standard output:
//! `{"bench":"datagrams","trains":true,"bytes":1452,"send_ns":…,"receive_ns":…}` with nanoseconds of processor time a datagram,
//! medians of alternating rounds; what the receiving half of the kernel does when a datagram is sent is on the sender's
//! account. And `{"bench":"unit costs","call_ns":…,"copy_ns_a_kilobyte":…,"sum_ns_a_kilobyte":…}`: the cheapest system call, and
//! what a copy and a checksum of 64 KiB take of the second-level cache.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::io;
use std::net::SocketAddr;

use wirewright_bench::{median, processor_ns};
use wirewright_engine::{Batch, Endpoint};
use wirewright_linux::udp::{Batches, Receiver, Sender, Sockets, UdpConfig, UdpOffloads, bind};
use wirewright_offload::checksum::Sum;
use wirewright_protocol::Instant;

/// A packet of 1420 bytes, sealed.
const BYTES: usize = 1452;
/// As many as fit one train.
const TRAIN: usize = 45;
const ROUNDS: usize = 21;
const TURNS: usize = 100;

fn main() -> io::Result<()> {
    let mut ends = [End::new(false)?, End::new(true)?];
    let mut times = [[vec![], vec![]], [vec![], vec![]]];
    for _ in 0..ROUNDS {
        for (end, [send, receive]) in ends.iter_mut().zip(&mut times) {
            let (sent, received) = end.turn()?;
            send.push(sent);
            receive.push(received);
        }
    }
    for (trains, [send, receive]) in [false, true].into_iter().zip(times) {
        println!(
            "{{\"bench\":\"datagrams\",\"trains\":{trains},\"bytes\":{BYTES},\"send_ns\":{:.1},\"receive_ns\":{:.1}}}",
            median(send),
            median(receive),
        );
    }
    let [call, copy, sum] = [call, copy, sum].map(|unit| median((0..ROUNDS).map(|_| unit()).collect()));
    println!(
        "{{\"bench\":\"unit costs\",\"call_ns\":{call:.1},\"copy_ns_a_kilobyte\":{copy:.2},\"sum_ns_a_kilobyte\":{sum:.2}}}"
    );
    Ok(())
}

/// A socket that sends to itself.
struct End {
    sockets: Vec<Sockets>,
    sender: Sender,
    receiver: Receiver,
    outgoing: Vec<Batch>,
    received: Vec<Batch>,
    pool: Pool,
}

/// Batches that came back, so that none is made while time is taken.
#[derive(Default)]
struct Pool {
    slots: Vec<Batch>,
    whole: Vec<Batch>,
}

const SLOTS: usize = 64;

impl Batches for Pool {
    fn slots(&mut self) -> Batch {
        self.slots.pop().unwrap_or_else(|| Batch::new(SLOTS, BYTES))
    }

    fn whole(&mut self, bytes: usize) -> Batch {
        self.whole.pop().unwrap_or_else(|| Batch::new(1, bytes))
    }
}

impl Pool {
    fn put(&mut self, mut batch: Batch) {
        batch.clear();
        if batch.capacity() == SLOTS {
            self.slots.push(batch);
        } else {
            self.whole.push(batch);
        }
    }
}

impl End {
    fn new(trains: bool) -> io::Result<Self> {
        let offloads = UdpOffloads {
            send: trains,
            receive: trains,
        };
        let config = UdpConfig {
            port: 0,
            mark: 0,
            offloads,
        };
        let (sockets, port, _) = bind(config, 1)?;
        let mut batch = Batch::new(TRAIN, BYTES);
        for _ in 0..TRAIN {
            let to = Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)));
            assert!(batch.push_datagram(to, BYTES, |bytes| bytes.fill(7)));
        }
        Ok(Self {
            sockets,
            sender: Sender::new(),
            receiver: Receiver::new(),
            outgoing: vec![batch],
            received: vec![],
            pool: Pool::default(),
        })
    }

    /// Nanoseconds a datagram, for sending and for receiving. Each train is received before the next is sent.
    fn turn(&mut self) -> io::Result<(f64, f64)> {
        let Some(sockets) = self.sockets.first() else {
            return Err(io::Error::other("no socket"));
        };
        let now = Instant::from_nanos(1);
        let (mut send, mut receive, mut arrived) = (0, 0, 0);
        for _ in 0..TURNS {
            let began = processor_ns();
            let refused = self.sender.send(now, sockets, &self.outgoing).count();
            let sent = processor_ns();
            assert_eq!(refused, 0);
            for _ in 0..TRAIN {
                self.receiver
                    .receive(now, [true, false], sockets, &mut self.pool, &mut self.received)?;
                for batch in self.received.drain(..) {
                    arrived += batch.packets().count();
                    self.pool.put(batch);
                }
                if arrived.is_multiple_of(TRAIN) {
                    break;
                }
            }
            receive += processor_ns() - sent;
            send += sent - began;
        }
        assert_eq!(arrived, TURNS * TRAIN);
        let each = |spent: u64| spent as f64 / arrived as f64;
        Ok((each(send), each(receive)))
    }
}

/// Nanoseconds of a system call that does nothing.
fn call() -> f64 {
    const CALLS: u32 = 20_000;
    let began = processor_ns();
    for _ in 0..CALLS {
        black_box(rustix::process::getppid());
    }
    (processor_ns() - began) as f64 / f64::from(CALLS)
}

const KILOBYTES: usize = 64;
const PASSES: usize = 500;

fn copy() -> f64 {
    let (from, mut to) = (vec![1_u8; KILOBYTES * 1000], vec![2_u8; KILOBYTES * 1000]);
    pass(|| black_box(&mut to).copy_from_slice(black_box(&from)))
}

fn sum() -> f64 {
    let from = vec![1_u8; KILOBYTES * 1000];
    pass(|| {
        black_box(Sum::new().bytes(black_box(&from)));
    })
}

/// Nanoseconds a kilobyte.
fn pass(mut work: impl FnMut()) -> f64 {
    work();
    let began = processor_ns();
    for _ in 0..PASSES {
        work();
    }
    (processor_ns() - began) as f64 / (PASSES * KILOBYTES) as f64
}
