//! What is left of an established session's goodput while handshake messages with a valid mac1 pour in.
//!
//! It is counted in the engine's processor time: packets opened a second of it. In front of the engine stands the
//! socket as the rootless shell reads it: rounds of up to eight batches, the data in trains as receive offload makes
//! them, forged datagrams one by one since each has another sender. Then come the handshakes that the engine may work
//! on while more datagrams wait, the timers, and what is to be sent. Bytes are copied in outside the measured time:
//! what it costs to read a datagram that is dropped is the kernel's, and no WireGuard can give it back.
//!
//! Each flood runs beside the same session without one, and beside as many datagrams of equal size that are no
//! messages at all. `share_of_alone` is the goodput by the first, `share_of_garbage` by the second, which leaves out
//! what merely counting a datagram costs. Both are medians over alternating rounds; so are the nanoseconds.
//!
//! One JSON object a line on standard output.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_bench::{Side, median, moment, processor_ns, secret};
use wirewright_engine::{Batch, Endpoint, Event, Moment};
use wirewright_protocol::wire::DATA_OVERHEAD;
use wirewright_protocol::{Cause, Conversation, HandshakeError, Identity, SecretKey};

const ROUNDS: usize = 15;
/// Datagrams of data that are opened in one measured round.
const DATA: usize = 4096;
/// What receive offload brings at once.
const TRAIN: usize = 32;
const PACKET: usize = 1420;
/// As it comes: padded to 16 bytes at most, but not beyond the MTU.
const DATAGRAM: usize = PACKET + DATA_OVERHEAD;
const RECEIVE_BATCHES: usize = 8;
const RECEIVE_BYTES: usize = 1 << 16;
/// Different messages of a flood. An engine that is under load has no memory of those it refused.
const MESSAGES: usize = 2048;
const STRANGER: [u8; 4] = [198, 51, 100, 1];
/// The first [`Side`]'s address.
const PEER: [u8; 4] = [192, 0, 2, 1];
const PORT: u16 = 51820;

fn main() {
    let overhead = clock_overhead();
    let target = Target::new();
    let initiations = target.initiations();
    let responses = target.responses();
    let with_mac2: Vec<Vec<u8>> = initiations
        .iter()
        .map(|message| with_false_mac2(message))
        .collect();
    let mixed: Vec<Vec<u8>> = initiations
        .iter()
        .zip(&responses)
        .flat_map(|(initiation, response)| [initiation.clone(), response.clone()])
        .collect();
    let floods = [
        ("initiations, forged addresses", &initiations, Senders::Forged),
        ("initiations, one address", &initiations, Senders::One(STRANGER)),
        (
            "initiations, the peer's address",
            &initiations,
            Senders::One(PEER),
        ),
        (
            "initiations with a false mac2, forged",
            &with_mac2,
            Senders::Forged,
        ),
        ("initiations and responses, forged", &mixed, Senders::Forged),
    ];
    for (name, messages, senders) in floods {
        for times in [1, 4, 16] {
            let garbage: Vec<Vec<u8>> = messages.iter().map(|message| vec![0xff; message.len()]).collect();
            let mut alone = Session::new(&target, Flood::none());
            let mut beside_garbage = Session::new(&target, Flood::new(&garbage, senders, times));
            let mut flooded = Session::new(&target, Flood::new(messages, senders, times));
            let mut costs: [Vec<f64>; 3] = Default::default();
            // The first round fills the queue, so that the flood is noticed.
            for round in 0..=ROUNDS {
                for (costs, session) in costs
                    .iter_mut()
                    .zip([&mut alone, &mut beside_garbage, &mut flooded])
                {
                    let cost = session.cost_of_a_packet(overhead);
                    if round > 0 {
                        costs.push(cost);
                    }
                }
            }
            let [alone, garbage, flooded_ns] = costs;
            let share = |of: &[f64]| {
                let shares = of.iter().zip(&flooded_ns).map(|(of, flooded)| of / flooded);
                median(shares.collect())
            };
            println!(
                "{{\"bench\":\"flood\",\"flood\":\"{name}\",\"per_data_datagram\":{times},\"alone_ns\":{:.0},\
                 \"garbage_ns\":{:.0},\"flood_ns\":{:.0},\"share_of_alone\":{:.3},\"share_of_garbage\":{:.3},\
                 \"handshakes_worked_on\":{}}}",
                median(alone.clone()),
                median(garbage.clone()),
                median(flooded_ns.clone()),
                share(&alone),
                share(&garbage),
                flooded.sides[1].engine.counters().get(Event::UnknownPeer),
            );
        }
    }
}

/// Whose session it is, and who makes the messages of a flood.
struct Target {
    secret: SecretKey,
    stranger: SecretKey,
}

impl Target {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        Self {
            secret: secret(&mut rng),
            stranger: secret(&mut rng),
        }
    }

    /// Whole and genuine, but from somebody who is no peer.
    fn initiations(&self) -> Vec<Vec<u8>> {
        let identity = Identity::new(self.stranger.clone());
        let mut conversation = Conversation::new(self.secret.public());
        made(|at, rng, retired| {
            let initiation = conversation.initiate(at.now, at.wall, rng, &identity, 1, Cause::Fresh, retired);
            initiation.map(|message| message.as_bytes().to_vec())
        })
    }

    /// Answers of a stranger to initiations that were never sent, with receiver indices at random.
    fn responses(&self) -> Vec<Vec<u8>> {
        let [target, stranger] = [&self.secret, &self.stranger].map(|key| Identity::new(key.clone()));
        let mut asking = Conversation::new(*stranger.public());
        let mut answering = Conversation::new(*target.public());
        made(|at, rng, retired| {
            let index = rng.next_u32();
            let initiation = asking.initiate(at.now, at.wall, rng, &target, index, Cause::Fresh, retired)?;
            let opened = stranger.open_initiation(&initiation)?;
            let response = answering.accept_initiation(at.now, rng, &stranger, opened, 1, retired)?;
            Ok(response.as_bytes().to_vec())
        })
    }
}

/// As many messages as a flood repeats, each made six seconds after the last one.
fn made(
    mut make: impl FnMut(Moment, &mut ChaCha20Rng, &mut Vec<u32>) -> Result<Vec<u8>, HandshakeError>,
) -> Vec<Vec<u8>> {
    let mut rng = ChaCha20Rng::from_seed([8; 32]);
    let messages = (1..=MESSAGES as u64).map(|number| {
        let message = make(moment(Duration::from_secs(6 * number)), &mut rng, &mut Vec::new());
        match message {
            Ok(message) => message,
            Err(error) => panic!("a message of the flood cannot be made: {error}"),
        }
    });
    messages.collect()
}

fn with_false_mac2(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let mac2 = message.len() - 16;
    message[mac2..].fill(0x5a);
    message
}

/// Where the datagrams of a flood seem to come from.
#[derive(Clone, Copy)]
enum Senders {
    /// Each from another address and port, so that receive offload does not join them.
    Forged,
    /// All from one address, so that they come in trains.
    One([u8; 4]),
}

/// An endless flood.
struct Flood<'a> {
    messages: &'a [Vec<u8>],
    senders: Senders,
    times: usize,
    rng: ChaCha20Rng,
    next: usize,
}

impl<'a> Flood<'a> {
    fn none() -> Self {
        Self::new(&[], Senders::Forged, 0)
    }

    /// `times` messages for each datagram of data.
    fn new(messages: &'a [Vec<u8>], senders: Senders, times: usize) -> Self {
        Self {
            messages,
            senders,
            times,
            rng: ChaCha20Rng::from_seed([7; 32]),
            next: 0,
        }
    }

    /// Writes what the socket reads next of it to `batch`; returns how many messages that are.
    fn receive(&mut self, batch: &mut Batch) -> usize {
        let (address, count) = match self.senders {
            Senders::Forged => {
                let bits = self.rng.next_u64();
                (
                    SocketAddr::from(((bits as u32).to_be_bytes(), (bits >> 32) as u16 | 1)),
                    1,
                )
            }
            Senders::One(address) => (SocketAddr::from((address, PORT)), TRAIN),
        };
        let messages = (0..count).map(|_| {
            self.next = (self.next + 1) % self.messages.len();
            self.messages[self.next].as_slice()
        });
        write(batch, messages, address);
        count
    }
}

/// A session, the second side of which is flooded.
struct Session<'a> {
    sides: [Side; 2],
    flood: Flood<'a>,
    /// The socket's buffers.
    batches: Vec<Batch>,
    /// How many of them are filled.
    received: usize,
    /// Processor time of the flooded side since the session began.
    spent: u64,
    /// How many packets it has opened.
    opened: u64,
}

const BEGIN: Duration = Duration::from_secs(1000);

impl<'a> Session<'a> {
    fn new(target: &Target, flood: Flood<'a>) -> Self {
        let at = moment(BEGIN);
        let mut rng = ChaCha20Rng::from_seed([6; 32]);
        let mut sides = [
            Side::new(at, 1, secret(&mut rng)),
            Side::new(at, 2, target.secret.clone()),
        ];
        Side::introduce(at, &mut sides);
        Side::shake_hands(at, &mut sides);
        let batches = (0..RECEIVE_BATCHES)
            .map(|_| Batch::new(1, RECEIVE_BYTES))
            .collect();
        Self {
            sides,
            flood,
            batches,
            received: 0,
            spent: 0,
            opened: 0,
        }
    }

    /// Nanoseconds of the flooded side's time for each packet that it opens.
    fn cost_of_a_packet(&mut self, overhead: u64) -> f64 {
        let (spent, opened) = (self.spent, self.opened);
        for _ in 0..DATA / TRAIN {
            self.send_train();
            self.read(overhead);
            let mut left = TRAIN * self.flood.times;
            while left > 0 {
                left = left.saturating_sub(self.flood.receive(&mut self.batches[self.received]));
                self.read(overhead);
            }
        }
        (self.spent - spent) as f64 / (self.opened - opened) as f64
    }

    /// The other side sends a train, which lies in the socket's next buffer then.
    fn send_train(&mut self) {
        let at = self.now();
        let [sender, flooded] = &mut self.sides;
        let Some(mut batch) = sender.engine.batch() else {
            return;
        };
        let mut packet = [0; PACKET];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(PACKET as u16).to_be_bytes());
        for (at, inner) in [(12, sender.inner), (16, flooded.inner)] {
            if let IpAddr::V4(inner) = inner {
                packet[at..at + 4].copy_from_slice(&inner.octets());
            }
        }
        for _ in 0..TRAIN {
            assert!(batch.push_plaintext(PACKET, |bytes| bytes.copy_from_slice(&packet)));
        }
        sender.engine.send(at, batch, &mut sender.output);
        for sent in sender.output.datagrams.drain(..) {
            write(
                &mut self.batches[self.received],
                sent.packets().map(|(_, datagram)| datagram),
                sender.address,
            );
            sender.engine.recycle(sent);
        }
    }

    /// A buffer was filled; when all are, the flooded side works on them.
    fn read(&mut self, overhead: u64) {
        self.received += 1;
        if self.received < RECEIVE_BATCHES {
            return;
        }
        self.received = 0;
        let at = self.now();
        let Side { engine, output, .. } = &mut self.sides[1];
        let start = processor_ns();
        for place in &mut self.batches {
            let fresh = engine.receive_batch(RECEIVE_BYTES);
            engine.receive(at, std::mem::replace(place, fresh), output);
            for packets in output.packets.drain(..) {
                engine.recycle(packets);
            }
        }
        engine.handshakes(at, true, output);
        engine.tick(at, output);
        for datagrams in output.datagrams.drain(..) {
            engine.recycle(datagrams);
        }
        self.spent += (processor_ns() - start).saturating_sub(overhead);
        let status = self.sides[1].engine.statuses(at.now).next();
        self.opened = status.map_or(0, |status| status.received_bytes) / DATAGRAM as u64;
    }

    fn now(&self) -> Moment {
        moment(BEGIN + Duration::from_nanos(self.spent))
    }
}

/// Puts datagrams of equal length into a socket's buffer, as receive offload does.
fn write<'a>(batch: &mut Batch, datagrams: impl Iterator<Item = &'a [u8]>, from: SocketAddr) {
    let (mut len, mut segment) = (0, 0);
    for datagram in datagrams {
        segment = datagram.len();
        batch.buffer_mut()[len..len + segment].copy_from_slice(datagram);
        len += segment;
    }
    batch.set_received(len, segment, Endpoint::new(from));
}

/// What reading the clock twice costs by itself.
fn clock_overhead() -> u64 {
    let differences = (0..10_000).map(|_| {
        let start = processor_ns();
        (processor_ns() - start) as f64
    });
    median(differences.collect()) as u64
}
