//! Our sender beside smoltcp's own, in virtual time: how much one stream carries in ten seconds over a bottleneck of
//! 100 Mbit/s, by round trip and loss. The link is a queue that drops what does not fit (FIFO), then a delay; it loses
//! packets and acknowledgements alike. The figures are exact: the same build prints the same ones on any machine.
//!
//! One JSON object a line. `upload`: the sender named by `stack` sends to our stack. `download`: ours sends, to the
//! receiver named by `stack`. `packets` left the sender; `goodput` is what the receiver's program read.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use smoltcp::iface::{Config as InterfaceConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Instant as Micros;
use smoltcp::wire::{HardwareAddress, IpCidr};
use wirewright_netstack::{Config, ConnectionId, Control, Instant, ListenerId, Netstack, PacketSink, Read};

const MTU: usize = 1420;
/// smoltcp's buffers. Ours begin with a quarter of that and grow.
const BUFFER: usize = 4 << 20;
const PORT: u16 = 80;
const ADDRESSES: [&str; 2] = ["10.9.0.1", "10.9.0.2"];
const RATE: u64 = 100_000_000;
/// 20 ms at the rate of the bottleneck.
const QUEUE: u64 = 250_000;
const LASTS: Duration = Duration::from_secs(10);
const SEEDS: u64 = 5;

fn main() {
    for (direction, stack) in [
        ("upload", Stack::Ours(Control::Queue)),
        ("upload", Stack::Ours(Control::Cubic)),
        ("upload", Stack::Smoltcp("cubic", CongestionControl::Cubic)),
        ("upload", Stack::Smoltcp("reno", CongestionControl::Reno)),
        ("upload", Stack::Smoltcp("none", CongestionControl::None)),
        ("download", Stack::Ours(Control::Queue)),
        ("download", Stack::Smoltcp("none", CongestionControl::None)),
    ] {
        for round_trip in [1, 50, 200] {
            for loss in [0, 10, 50] {
                let seeds = if loss == 0 { 1 } else { SEEDS };
                let runs: Vec<(u64, u64)> = (0..seeds)
                    .map(|seed| {
                        let link = Link::new(Duration::from_millis(round_trip) / 2, loss, seed);
                        if direction == "upload" {
                            run(link, stack, Stack::Ours(Control::Queue))
                        } else {
                            run(link, Stack::Ours(Control::Queue), stack)
                        }
                    })
                    .collect();
                report(direction, stack, round_trip, loss, &runs);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn report(direction: &str, stack: Stack, round_trip: u64, loss: u32, runs: &[(u64, u64)]) {
    let goodputs: Vec<f64> = runs
        .iter()
        .map(|(bytes, _)| *bytes as f64 * 8e-6 / LASTS.as_secs_f64())
        .collect();
    let mean = goodputs.iter().sum::<f64>() / goodputs.len() as f64;
    let least = goodputs.iter().copied().fold(f64::INFINITY, f64::min);
    let packets = runs.iter().map(|(_, packets)| packets).sum::<u64>() / runs.len() as u64;
    let name = match stack {
        Stack::Ours(Control::Queue) => "ours",
        Stack::Ours(Control::Cubic) => "ours, CUBIC alone",
        Stack::Smoltcp(name, _) => name,
    };
    println!(
        "{{\"bench\":\"tcp_sender\",\"direction\":\"{direction}\",\"stack\":\"{name}\",\"round_trip_ms\":{round_trip},\
         \"loss_percent\":{},\"goodput_mbit_s\":{mean:.2},\"least_mbit_s\":{least:.2},\"packets\":{packets}}}",
        f64::from(loss) / 10.0
    );
}

#[derive(Clone, Copy)]
enum Stack {
    Ours(Control),
    /// smoltcp alone.
    Smoltcp(&'static str, CongestionControl),
}

/// Bytes that the second host read from the first, and packets that the first sent.
fn run(mut link: Link, from: Stack, to: Stack) -> (u64, u64) {
    let mut now = Instant::from_nanos(1_000_000_000);
    let end = now + LASTS;
    let mut hosts: [Box<dyn Host>; 2] = [host(from, 0, now), host(to, 1, now)];
    let (mut read, mut sent) = (0, 0);
    let mut packets = vec![];
    while now < end {
        for side in [0, 1] {
            read += hosts[side].work(now, side == 0);
            hosts[side].poll(now, &mut packets);
            sent += if side == 0 { packets.len() as u64 } else { 0 };
            packets.drain(..).for_each(|packet| link.carry(now, side, packet));
        }
        let next = [link.arrival(), hosts[0].deadline(now), hosts[1].deadline(now)];
        let next = next.into_iter().flatten().min().unwrap_or(end);
        // smoltcp counts microseconds.
        now = next.max(now + Duration::from_micros(1));
        while let Some((to, packet)) = link.deliver(now) {
            hosts[to].receive(now, &packet);
        }
    }
    (read, sent)
}

/// One of the two ends.
trait Host {
    fn receive(&mut self, now: Instant, packet: &[u8]);
    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>);
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
    /// Writes as much as fits, or reads all that came and returns how much.
    fn work(&mut self, now: Instant, writes: bool) -> u64;
}

fn host(stack: Stack, side: usize, now: Instant) -> Box<dyn Host> {
    match stack {
        Stack::Ours(control) => Box::new(Ours::new(side, control, now)),
        Stack::Smoltcp(_, control) => Box::new(Plain::new(side, control, now)),
    }
}

struct Ours {
    stack: Netstack,
    listener: Option<ListenerId>,
    connection: Option<ConnectionId>,
    buffer: Vec<u8>,
}

impl Ours {
    fn new(side: usize, control: Control, now: Instant) -> Self {
        let address = |side: usize| -> IpAddr { ADDRESSES[side].parse().unwrap() };
        let mut config = Config::new(vec![(address(side), 24)], MTU);
        config.control = control;
        let mut stack = Netstack::new(config, [u8::try_from(side).unwrap(); 32]).unwrap();
        let remote = SocketAddr::new(address(1), PORT);
        let connection = (side == 0).then(|| stack.connect(now, remote, None).unwrap());
        let listener = (side == 1).then(|| stack.listen(None, PORT, 1).unwrap());
        Self {
            stack,
            listener,
            connection,
            buffer: vec![0; 1 << 16],
        }
    }
}

impl Host for Ours {
    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.stack.receive(now, packet);
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        self.stack.poll(now, &mut Taken(out));
        while self.stack.next_event().is_some() {}
    }

    fn deadline(&mut self, _: Instant) -> Option<Instant> {
        self.stack.deadline()
    }

    fn work(&mut self, _: Instant, writes: bool) -> u64 {
        if let Some(listener) = self.listener.filter(|_| self.connection.is_none()) {
            self.connection = self.stack.accept(listener).map(|(connection, ..)| connection);
        }
        let Some(connection) = self.connection else {
            return 0;
        };
        let mut read = 0;
        if writes {
            while self
                .stack
                .write(connection, &self.buffer)
                .is_ok_and(|len| len > 0)
            {}
        } else {
            while let Read::Data(len) = self.stack.read(connection, &mut self.buffer) {
                read += len as u64;
            }
        }
        read
    }
}

struct Taken<'a>(&'a mut Vec<Vec<u8>>);

impl PacketSink for Taken<'_> {
    fn has_room(&self) -> bool {
        true
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.push(packet);
        result
    }
}

/// smoltcp with nothing around it.
struct Plain {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    port: Port,
    buffer: Vec<u8>,
}

impl Plain {
    fn new(side: usize, control: CongestionControl, now: Instant) -> Self {
        let mut port = Port::default();
        let mut config = InterfaceConfig::new(HardwareAddress::Ip);
        config.random_seed = 1 + side as u64;
        let mut interface = Interface::new(config, &mut port, micros(now));
        let address: IpAddr = ADDRESSES[side].parse().unwrap();
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address.into(), 24)).unwrap());
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_congestion_control(control);
        socket.set_nagle_enabled(false);
        if side == 0 {
            let remote: IpAddr = ADDRESSES[1].parse().unwrap();
            socket
                .connect(interface.context(), (remote, PORT), 40_000)
                .unwrap();
        } else {
            socket.listen(PORT).unwrap();
        }
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        Self {
            interface,
            sockets,
            handle,
            port,
            buffer: vec![0; 1 << 16],
        }
    }
}

impl Host for Plain {
    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.port.incoming.push_back(packet.to_vec());
        self.interface
            .poll_ingress_single(micros(now), &mut self.port, &mut self.sockets);
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        self.interface
            .poll(micros(now), &mut self.port, &mut self.sockets);
        out.append(&mut self.port.outgoing);
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let delay = self.interface.poll_delay(micros(now), &self.sockets)?;
        Some(now + delay.into())
    }

    fn work(&mut self, _: Instant, writes: bool) -> u64 {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let mut read = 0;
        if writes {
            while socket.send_slice(&self.buffer).is_ok_and(|len| len > 0) {}
        } else {
            while let Some(len) = socket.recv_slice(&mut self.buffer).ok().filter(|len| *len > 0) {
                read += len as u64;
            }
        }
        read
    }
}

fn micros(now: Instant) -> Micros {
    let since = now.saturating_since(Instant::from_nanos(0));
    Micros::from_micros(i64::try_from(since.as_micros()).unwrap())
}

#[derive(Default)]
struct Port {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Incoming(Vec<u8>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        Taken(self.0).packet(len, f)
    }
}

impl smoltcp::phy::Device for Port {
    type RxToken<'t> = Incoming;
    type TxToken<'t> = Outgoing<'t>;

    fn receive(&mut self, _: Micros) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Micros) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// A queue for each direction, a delay, and chance.
struct Link {
    delay: Duration,
    /// Of a thousand packets.
    loss: u32,
    rng: ChaCha8Rng,
    busy_until: [Instant; 2],
    /// By arrival and order: to which side.
    flight: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    serial: u64,
}

impl Link {
    fn new(delay: Duration, loss: u32, seed: u64) -> Self {
        Self {
            delay,
            loss,
            rng: ChaCha8Rng::seed_from_u64(seed),
            busy_until: [Instant::default(); 2],
            flight: BTreeMap::new(),
            serial: 0,
        }
    }

    fn carry(&mut self, now: Instant, from: usize, packet: Vec<u8>) {
        let time_for = |bytes: u64| Duration::from_nanos(bytes * 8_000_000_000 / RATE);
        let busy_until = &mut self.busy_until[from];
        let fits = busy_until.saturating_since(now) + time_for(packet.len() as u64) <= time_for(QUEUE);
        if self.rng.next_u32() % 1000 < self.loss || !fits {
            return;
        }
        *busy_until = now.max(*busy_until) + time_for(packet.len() as u64);
        self.serial += 1;
        self.flight
            .insert((*busy_until + self.delay, self.serial), (1 - from, packet));
    }

    fn arrival(&self) -> Option<Instant> {
        self.flight.first_key_value().map(|((arrival, _), _)| *arrival)
    }

    fn deliver(&mut self, now: Instant) -> Option<(usize, Vec<u8>)> {
        let entry = self.flight.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
