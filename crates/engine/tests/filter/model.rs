//! A naive filter, written from the rules of `docs/tun.md` alone, and traffic at random through both.
//!
//! The model keeps all it knows in lists, and looks through them.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use wirewright_engine::filter::{Guard, Protocol, Rule};

use crate::packets::{
    ACK, FIN, RST, SYN, TCP, UDP, cut_v4, cut_v6, echo, ip, packet, tcp, tcp_body, udp, udp_body, unreachable,
};
use crate::world::{World, guard, rule, to_ports};

/// What passes for each packet. No timeout is a multiple of it, not even nearly.
const TURN: Duration = Duration::from_millis(1700);
const DEVICES: [[&str; 2]; 2] = [["10.0.0.2", "fd00::2"], ["10.0.0.3", "fd00::3"]];
const OTHERS: [[&str; 2]; 4] = [
    ["198.51.100.7", "2001:db8::7"],
    ["203.0.113.1", "2001:db8:1::1"],
    ["10.0.0.1", "fd00::1"],
    ["10.0.0.9", "fd00::9"],
];
const PORTS: [u16; 3] = [53, 80, 1000];
const FLAGS: [u8; 6] = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK];

/// What a packet is about, and between which ports if there are any.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Talk {
    Udp(u16, u16),
    Tcp(u16, u16, u8),
    Ask(u16),
    Reply(u16),
    Other,
}

#[derive(Clone, Debug)]
enum Step {
    /// A packet between a device and another address, 0 to 3 of the others, 4 for the other device.
    Packet {
        device: usize,
        v6: bool,
        other: usize,
        from_device: bool,
        talk: Talk,
    },
    /// A part, 0 or 1, of a packet in two fragments.
    Part {
        device: usize,
        v6: bool,
        other: usize,
        from_device: bool,
        talk: Talk,
        id: u16,
        part: usize,
    },
    /// An error about a packet that went, or did not go, the other way; from the other address or from a router.
    Error {
        device: usize,
        v6: bool,
        other: usize,
        from_device: bool,
        talk: Talk,
        router: bool,
    },
    Rules {
        device: usize,
        rules: usize,
    },
    Guard(bool),
    Wait(u32),
}

fn talk() -> impl Strategy<Value = Talk> {
    let port = || proptest::sample::select(&PORTS[..]);
    prop_oneof![
        3 => (port(), port()).prop_map(|(from, to)| Talk::Udp(from, to)),
        5 => (port(), port(), proptest::sample::select(&FLAGS[..])).prop_map(|(from, to, flags)| Talk::Tcp(from, to, flags)),
        1 => (1u16..3).prop_map(Talk::Ask),
        1 => (1u16..3).prop_map(Talk::Reply),
        1 => Just(Talk::Other),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0usize..2, any::<bool>(), 0usize..5, any::<bool>());
    let whole = prop_oneof![
        (0usize..3, 0usize..3).prop_map(|(from, to)| Talk::Udp(PORTS[from], PORTS[to])),
        (0usize..3, 0usize..3).prop_map(|(from, to)| Talk::Tcp(PORTS[from], PORTS[to], ACK)),
    ];
    prop_oneof![
        12 => (place(), talk()).prop_map(|((device, v6, other, from_device), talk)| {
            Step::Packet { device, v6, other, from_device, talk }
        }),
        3 => (place(), whole, 1u16..3, 0usize..2).prop_map(|((device, v6, other, from_device), talk, id, part)| {
            Step::Part { device, v6, other, from_device, talk, id, part }
        }),
        2 => (place(), talk(), any::<bool>()).prop_map(|((device, v6, other, from_device), talk, router)| {
            Step::Error { device, v6, other, from_device, talk, router }
        }),
        1 => (0usize..2, 0usize..6).prop_map(|(device, rules)| Step::Rules { device, rules }),
        1 => any::<bool>().prop_map(Step::Guard),
        1 => proptest::sample::select(&[1u32, 16, 18, 60, 105, 107, 140, 143, 4375, 4378][..]).prop_map(Step::Wait),
    ]
}

fn rules(number: usize) -> Vec<Rule> {
    match number {
        0 => vec![],
        1 => vec![rule(Protocol::Any, "0.0.0.0/0"), rule(Protocol::Any, "::/0")],
        2 => vec![
            rule(Protocol::Any, "10.0.0.0/24"),
            rule(Protocol::Any, "fd00::/64"),
        ],
        3 => vec![
            to_ports(Protocol::Udp, "0.0.0.0/0", 53, 60),
            to_ports(Protocol::Tcp, "2001:db8::/32", 80, 80),
        ],
        4 => vec![
            rule(Protocol::Icmp, "0.0.0.0/0"),
            rule(Protocol::Icmp, "10.0.0.3/32"),
            rule(Protocol::Tcp, "::/0"),
        ],
        _ => vec![
            to_ports(Protocol::Tcp, "10.0.0.2/32", 53, 80),
            rule(Protocol::Udp, "198.51.100.0/24"),
        ],
    }
}

struct Flow {
    device: usize,
    /// The device's address, the other one, the protocol, the device's port, the other's.
    name: (IpAddr, IpAddr, u8, u16, u16),
    began_by_device: bool,
    answered: bool,
    closing: bool,
    last: Duration,
}

impl Flow {
    fn is_alive(&self, now: Duration) -> bool {
        let lasts = match (self.name.2, self.answered, self.closing) {
            (TCP, true, false) => 2 * 3600 + 4 * 60,
            (TCP, ..) => 4 * 60,
            (1 | 58, ..) => 30,
            (_, true, _) => 3 * 60,
            (_, false, _) => 30,
        };
        now < self.last + Duration::from_secs(lasts)
    }
}

struct Model {
    guard: Option<Guard>,
    rules: [Vec<Rule>; 2],
    flows: Vec<Flow>,
    /// Devices, addresses and identifications of first fragments that passed, the bytes judged, and when.
    firsts: Vec<(usize, IpAddr, IpAddr, u8, u16, Duration)>,
}

/// A packet, as the model sees it.
#[derive(Clone, Copy)]
struct Seen {
    device: usize,
    from_device: bool,
    source: IpAddr,
    destination: IpAddr,
    talk: Talk,
}

impl Model {
    fn inside(&self, address: IpAddr) -> bool {
        self.guard
            .as_ref()
            .is_some_and(|guard| guard.protected().iter().any(|prefix| prefix.contains(address)))
    }

    fn own(&self, address: IpAddr) -> bool {
        self.guard
            .as_ref()
            .is_some_and(|guard| guard.own().contains(&address))
    }

    fn may(&self, device: usize, destination: IpAddr, protocol: u8, port: u16) -> bool {
        self.rules[device].iter().any(|rule| {
            let right = match rule.protocol() {
                Protocol::Any => true,
                Protocol::Tcp => protocol == 6,
                Protocol::Udp => protocol == 17,
                Protocol::Icmp => protocol == if destination.is_ipv4() { 1 } else { 58 },
            };
            let ports = rule
                .ports()
                .is_none_or(|(first, last)| (first..=last).contains(&port));
            let names_neighbours = self.inside(rule.network().address())
                && rule.network().len() >= if destination.is_ipv4() { 24 } else { 64 };
            let opens = self.own(destination) || !self.inside(destination) || names_neighbours;
            right && ports && rule.network().contains(destination) && opens
        })
    }

    /// Whether somebody may start towards somebody: a device, the host, or nobody.
    fn may_start(&self, source: IpAddr, destination: IpAddr, protocol: u8, port: u16) -> bool {
        let device = (0..2).find(|device| DEVICES[*device].iter().any(|address| ip(address) == source));
        self.own(source) || device.is_some_and(|device| self.may(device, destination, protocol, port))
    }

    fn name(seen: Seen) -> ((IpAddr, IpAddr, u8, u16, u16), u16) {
        let icmp = if seen.source.is_ipv4() { 1 } else { 58 };
        let (protocol, from, to) = match seen.talk {
            Talk::Udp(from, to) => (UDP, from, to),
            Talk::Tcp(from, to, _) => (TCP, from, to),
            Talk::Ask(id) | Talk::Reply(id) => (icmp, id, id),
            Talk::Other => (47, 0, 0),
        };
        let port = if matches!(seen.talk, Talk::Ask(_) | Talk::Reply(_)) {
            0
        } else {
            to
        };
        if seen.from_device {
            ((seen.source, seen.destination, protocol, from, to), port)
        } else {
            ((seen.destination, seen.source, protocol, to, from), port)
        }
    }

    /// Who asks in an exchange of echoes is part of what it is.
    fn find(&mut self, now: Duration, seen: Seen) -> Option<&mut Flow> {
        let (name, _) = Self::name(seen);
        let asks = match seen.talk {
            Talk::Ask(_) => Some(seen.from_device),
            Talk::Reply(_) => Some(!seen.from_device),
            _ => None,
        };
        self.flows.iter_mut().find(|flow| {
            flow.device == seen.device
                && flow.name == name
                && flow.is_alive(now)
                && asks.is_none_or(|device| device == flow.began_by_device)
        })
    }

    fn packet(&mut self, now: Duration, seen: Seen) -> bool {
        if self.guard.is_none() {
            return true;
        }
        let flags = if let Talk::Tcp(_, _, flags) = seen.talk {
            flags
        } else {
            0
        };
        let host = !seen.from_device && self.own(seen.source);
        let mut backwards = false;
        if let Some(flow) = self.find(now, seen) {
            let from_beginner = flow.began_by_device == seen.from_device;
            backwards = !from_beginner && flow.answered && flags == SYN;
            if !backwards {
                if from_beginner && flow.closing && flags == SYN {
                    (flow.closing, flow.answered) = (false, false);
                }
                flow.answered |= !from_beginner;
                flow.closing |= flags & (FIN | RST) != 0;
                flow.last = now;
                return true;
            }
        }
        let (name, port) = Self::name(seen);
        let starts = !matches!(seen.talk, Talk::Reply(_));
        let may = if seen.from_device {
            self.may(seen.device, seen.destination, name.2, port)
        } else {
            self.may_start(seen.source, seen.destination, name.2, port)
        };
        if !host && (backwards || !starts || !may) {
            return false;
        }
        if starts && flags & RST == 0 {
            let asks = matches!(seen.talk, Talk::Ask(_));
            self.flows.retain(|flow| {
                flow.device != seen.device
                    || flow.name != name
                    || asks && flow.began_by_device != seen.from_device
            });
            self.flows.push(Flow {
                device: seen.device,
                name,
                began_by_device: seen.from_device,
                answered: false,
                closing: flags & FIN != 0,
                last: now,
            });
        }
        true
    }

    fn part(&mut self, now: Duration, seen: Seen, id: u16, part: usize) -> bool {
        if self.guard.is_none() {
            return true;
        }
        // Later fragments of IPv6 do not tell their protocol.
        let protocol = if seen.source.is_ipv4() {
            Self::name(seen).0.2
        } else {
            0
        };
        let is_it = |known: &(usize, IpAddr, IpAddr, u8, u16, Duration)| {
            (known.0, known.1, known.2, known.3, known.4)
                == (seen.device, seen.source, seen.destination, protocol, id)
        };
        if part == 1 {
            let fits = |known: &_| is_it(known) && now < known.5 + Duration::from_secs(30);
            return self.firsts.iter().any(fits);
        }
        self.firsts.retain(|known| !is_it(known));
        let passes = self.packet(now, seen);
        if passes {
            self.firsts
                .push((seen.device, seen.source, seen.destination, protocol, id, now));
        }
        passes
    }

    fn error(&mut self, now: Duration, about: Seen, source: IpAddr) -> bool {
        let host = about.from_device && self.own(source);
        self.guard.is_none() || host || self.find(now, about).is_some()
    }

    fn reconsider(&mut self, now: Duration, changed: &[usize]) {
        let flows = std::mem::take(&mut self.flows);
        let stays = |flow: &Flow| {
            let (device, other, protocol, device_port, other_port) = flow.name;
            let port = |port| if matches!(protocol, 1 | 58) { 0 } else { port };
            let may = if flow.began_by_device {
                self.may(flow.device, other, protocol, port(other_port))
            } else {
                self.may_start(other, device, protocol, port(device_port))
            };
            self.guard.is_some() && (may || !changed.contains(&flow.device))
        };
        let (stay, end): (Vec<Flow>, Vec<Flow>) = flows
            .into_iter()
            .filter(|flow| flow.is_alive(now))
            .partition(stays);
        self.flows = stay;
        let ended: Vec<usize> = end.iter().map(|flow| flow.device).collect();
        let off = self.guard.is_none();
        self.firsts.retain(|first| !off && !ended.contains(&first.0));
    }
}

fn bytes(seen: Seen) -> Vec<u8> {
    let (source, destination) = (seen.source.to_string(), seen.destination.to_string());
    match seen.talk {
        Talk::Udp(from, to) => udp(&source, from, &destination, to),
        Talk::Tcp(from, to, flags) => tcp(&source, from, &destination, to, flags),
        Talk::Ask(id) => echo(&source, &destination, true, id),
        Talk::Reply(id) => echo(&source, &destination, false, id),
        Talk::Other => packet(seen.source, seen.destination, 47, b"generic routing"),
    }
}

/// A packet in two parts, the first of which has the whole header.
fn parts(seen: Seen, id: u16) -> Vec<Vec<u8>> {
    let (protocol, mut body) = match seen.talk {
        Talk::Udp(from, to) => (UDP, udp_body(from, to, &[])),
        Talk::Tcp(from, to, flags) => (TCP, tcp_body(from, to, flags)),
        _ => panic!("only those with ports"),
    };
    body.resize(64, 7);
    let whole = packet(seen.source, seen.destination, protocol, &body);
    if seen.source.is_ipv4() {
        cut_v4(&whole, id, &[32])
    } else {
        cut_v6(&whole, id.into(), &[32])
    }
}

fn seen(device: usize, v6: bool, other: usize, from_device: bool, talk: Talk) -> Seen {
    let here = DEVICES[device][usize::from(v6)];
    let there = OTHERS
        .get(other)
        .map_or(DEVICES[1 - device][usize::from(v6)], |it| it[usize::from(v6)]);
    let (source, destination) = if from_device { (here, there) } else { (there, here) };
    Seen {
        device,
        from_device,
        source: ip(source),
        destination: ip(destination),
        talk,
    }
}

fn play(shards: u8, steps: &[Step]) {
    let mut world = World::new(shards);
    world.turn = TURN;
    let mut model = Model {
        guard: Some(guard()),
        rules: [vec![], vec![]],
        flows: vec![],
        firsts: vec![],
    };
    for (number, step) in steps.iter().enumerate() {
        let now = world.network.now;
        let pass = |world: &mut World, it: Seen, packet: &[u8]| match it.from_device {
            true => world.leaves(it.device + 1, packet),
            false => world.reaches(it.device + 1, packet),
        };
        match step.clone() {
            Step::Packet {
                device,
                v6,
                other,
                from_device,
                talk,
            } => {
                let it = seen(device, v6, other, from_device, talk);
                assert_eq!(
                    pass(&mut world, it, &bytes(it)),
                    model.packet(now, it),
                    "step {number}: {step:?}"
                );
            }
            Step::Part {
                device,
                v6,
                other,
                from_device,
                talk,
                id,
                part,
            } => {
                let it = seen(device, v6, other, from_device, talk);
                let passed = pass(&mut world, it, &parts(it, id)[part]);
                assert_eq!(passed, model.part(now, it, id, part), "step {number}: {step:?}");
            }
            Step::Error {
                device,
                v6,
                other,
                from_device,
                talk,
                router,
            } => {
                let about = seen(device, v6, other, !from_device, talk);
                let source = match (from_device, router) {
                    (false, true) => ip(OTHERS[1][usize::from(v6)]),
                    _ => about.destination,
                };
                let error = unreachable(&source.to_string(), &bytes(about));
                let it = Seen { from_device, ..about };
                assert_eq!(
                    pass(&mut world, it, &error),
                    model.error(now, about, source),
                    "step {number}: {step:?}"
                );
            }
            Step::Rules { device, rules: which } => {
                world.allow(device + 1, &rules(which));
                model.rules[device] = rules(which);
                model.reconsider(now, &[device]);
            }
            Step::Guard(on) => {
                model.guard = on.then(guard);
                world.guard(model.guard.clone());
                model.reconsider(now, &[0, 1]);
            }
            Step::Wait(turns) => world.wait(TURN * turns),
        }
    }
}

/// As many as take a second or two; the environment may ask for more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 5000, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_in_one_shard_says_what_the_model_says(steps in proptest::collection::vec(step(), 1..200)) {
        play(1, &steps);
    }

    #[test]
    fn a_filter_in_four_shards_says_what_the_model_says(steps in proptest::collection::vec(step(), 1..200)) {
        play(4, &steps);
    }
}
