//! Whatever comes from the network or is called in whatever order: no panic, and nothing left behind.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{A4, A6, B4, B6, Packets, config, ip, packet_v4};
use proptest::collection::vec;
use proptest::prelude::*;
use wirewright_netstack::{ConnectionId, Event, Instant, Netstack};

fn stack() -> Netstack {
    let mut config = config(B4, B6);
    config.limits.receive_buffer = 16 << 10;
    config.limits.transmit_buffer = 16 << 10;
    let mut stack = Netstack::new(config, [4; 32]).unwrap();
    stack.listen(None, 80, 8).unwrap();
    stack.bind(None, 53).unwrap();
    stack
}

fn poll(stack: &mut Netstack, now: Instant) -> Vec<Vec<u8>> {
    let mut sink = Packets::default();
    stack.poll(now, &mut sink);
    stack.events().for_each(drop);
    sink.packets
}

/// Bytes with an IP header that leads somewhere, followed by anything.
fn packet_like() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (
        prop_oneof![Just(1_u8), Just(6), Just(17), any::<u8>()],
        vec(any::<u8>(), 0..200),
    )
        .prop_map(|(protocol, body)| packet_v4(protocol, &body));
    let v6 = (
        prop_oneof![Just(58_u8), Just(6), Just(17), Just(0), Just(44), any::<u8>()],
        vec(any::<u8>(), 0..200),
    )
        .prop_map(|(next, body)| {
            let len = u16::try_from(body.len()).unwrap().to_be_bytes();
            let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], next, 64];
            packet.extend("fd09::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
            packet.extend("fd09::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
            packet.extend(body);
            packet
        });
    prop_oneof![vec(any::<u8>(), 0..200), v4, v6]
}

/// An ICMP error that quotes anything.
fn error_like() -> impl Strategy<Value = Vec<u8>> {
    let quoted = prop_oneof![
        vec(any::<u8>(), 0..80),
        packet_like(),
        (any::<[u8; 4]>(), vec(any::<u8>(), 0..20)).prop_map(|(remote, rest)| {
            let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 9, 0, 2];
            packet.extend(remote);
            packet.extend(rest);
            packet
        })
    ];
    (
        prop_oneof![Just(3_u8), Just(11), any::<u8>()],
        any::<u8>(),
        quoted,
    )
        .prop_map(|(kind, code, quoted)| {
            let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
            body.extend(quoted);
            packet_v4(1, &body)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_no_harm(packets in vec(prop_oneof![packet_like(), error_like()], 1..20)) {
        let mut stack = stack();
        let mut now = Instant::from_nanos(1_000_000_000);
        stack.connect(now, common::at(A4, 80), None).unwrap();
        stack.connect(now, common::at(A6, 80), None).unwrap();
        stack.ping(now, ip(A4), 20).unwrap();
        for packet in packets {
            stack.receive(now, &packet);
            poll(&mut stack, now);
            now = now + Duration::from_millis(1);
        }
    }
}

/// One thing that happens to a connection.
#[derive(Clone, Debug)]
enum Act {
    Segment {
        sequence: Near,
        ack: Near,
        flags: u8,
        window: u16,
        options: Vec<u8>,
        payload: u16,
    },
    Write(u16),
    Read(u16),
    Shutdown,
    Abort,
    Release,
    Pass(u32),
    NoRoom,
}

/// A sequence number by its distance from the expected one, or any.
#[derive(Clone, Debug)]
enum Near {
    By(i32),
    Any(u32),
}

impl Near {
    fn to(&self, expected: u32) -> u32 {
        match self {
            Self::By(distance) => expected.wrapping_add_signed(*distance),
            Self::Any(number) => *number,
        }
    }
}

fn near() -> impl Strategy<Value = Near> {
    prop_oneof![
        6 => Just(Near::By(0)),
        3 => (-3_i32..=3).prop_map(Near::By),
        3 => (-40_000_i32..=40_000).prop_map(Near::By),
        1 => any::<u32>().prop_map(Near::Any),
        1 => (i32::MAX - 5..=i32::MAX).prop_map(Near::By),
    ]
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => Just(vec![]),
        2 => (any::<[u8; 2]>(), 0_u8..=20).prop_map(|(mss, scale)| vec![2, 4, mss[0], mss[1], 3, 3, scale, 4, 2, 1, 1, 0]),
        1 => any::<[u8; 8]>().prop_map(|edges| [&[5, 10], &edges[..], &[1, 1]].concat()),
        1 => vec(any::<u8>(), 0..=10).prop_map(|words| words.iter().flat_map(|word| [*word; 4]).collect()),
        1 => vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| words.concat()),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let flags = prop_oneof![8 => Just(0x10_u8), 2 => Just(0x11), 1 => Just(0x02), 1 => Just(0x12), 1 => Just(0x04), 1 => 0_u8..64];
    let payload = prop_oneof![Just(0_u16), 1_u16..2_000, Just(20_000)];
    let window = prop_oneof![Just(0_u16), Just(1), Just(65_535), any::<u16>()];
    let segment = (near(), near(), flags, window, options(), payload).prop_map(
        |(sequence, ack, flags, window, options, payload)| Act::Segment {
            sequence,
            ack,
            flags,
            window,
            options,
            payload,
        },
    );
    prop_oneof![
        20 => segment,
        4 => (0_u16..30_000).prop_map(Act::Write),
        4 => (0_u16..30_000).prop_map(Act::Read),
        1 => Just(Act::Shutdown),
        1 => Just(Act::Abort),
        1 => Just(Act::Release),
        4 => (0_u32..5_000).prop_map(Act::Pass),
        1 => Just(Act::Pass(200_000)),
        1 => Just(Act::NoRoom),
    ]
}

/// A remote side that says anything, beside a caller that does anything.
struct Play {
    stack: Netstack,
    now: Instant,
    /// Connections whose names the caller holds; it acts on the last.
    held: Vec<ConnectionId>,
    local_port: u16,
    remote_port: u16,
    /// What the stack's last segment says it expects, and where it ended.
    expects: u32,
    sent_to: u32,
}

impl Play {
    fn note(&mut self, packets: &[Vec<u8>]) {
        for packet in packets.iter().filter(|packet| packet[9] == 6) {
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            self.local_port = u16::from_be_bytes([packet[20], packet[21]]);
            let header = 20 + usize::from(packet[32] >> 4) * 4;
            let flags = packet[33];
            let len = packet.len() - header + usize::from(flags & 1) + usize::from(flags >> 1 & 1);
            self.sent_to = word(24).wrapping_add(u32::try_from(len).unwrap());
            if flags & 0x10 != 0 {
                self.expects = word(28);
            }
        }
    }

    fn poll(&mut self) {
        let mut sink = Packets::default();
        self.stack.poll(self.now, &mut sink);
        self.note(&sink.packets);
        let events: Vec<_> = self.stack.events().collect();
        for event in events {
            if let Event::Accepted(listener) = event {
                self.held.extend(self.stack.accept(listener).map(|(id, ..)| id));
            }
        }
    }

    fn segment(
        &self,
        sequence: u32,
        ack: u32,
        flags: u8,
        window: u16,
        options: &[u8],
        payload: u16,
    ) -> Vec<u8> {
        let mut body = vec![];
        body.extend(self.remote_port.to_be_bytes());
        body.extend(self.local_port.to_be_bytes());
        body.extend(sequence.to_be_bytes());
        body.extend(ack.to_be_bytes());
        body.extend([u8::try_from(5 + options.len() / 4).unwrap() << 4, flags]);
        body.extend(window.to_be_bytes());
        body.extend([0; 4]);
        body.extend(&options[..options.len() / 4 * 4]);
        body.extend(std::iter::repeat_n(7, payload.into()));
        packet_v4(6, &body)
    }

    fn act(&mut self, act: &Act) {
        let id = self.held.last().copied();
        match act {
            Act::Segment {
                sequence,
                ack,
                flags,
                window,
                options,
                payload,
            } => {
                let (sequence, ack) = (sequence.to(self.expects), ack.to(self.sent_to));
                let packet = self.segment(sequence, ack, *flags, *window, options, *payload);
                self.stack.receive(self.now, &packet);
            }
            Act::Write(len) => {
                id.map(|id| self.stack.write(id, &vec![1; usize::from(*len)]));
            }
            Act::Read(len) => {
                id.map(|id| self.stack.read(id, &mut vec![0; usize::from(*len)]));
            }
            Act::Shutdown => drop(id.map(|id| self.stack.shutdown(id))),
            Act::Abort => drop(id.map(|id| self.stack.abort(id))),
            Act::Release => drop(id.map(|id| self.stack.release(id))),
            Act::Pass(millis) => {
                let end = self.now + Duration::from_millis((*millis).into());
                while let Some(deadline) = self.stack.deadline().filter(|deadline| *deadline <= end) {
                    self.now = self.now.max(deadline);
                    self.poll();
                }
                self.now = end;
            }
            Act::NoRoom => {
                let mut sink = Packets {
                    packets: vec![],
                    room: Some(1),
                };
                self.stack.poll(self.now, &mut sink);
                self.note(&sink.packets);
                return;
            }
        }
        self.poll();
    }

    /// Whatever was done: with the name released and nobody answering, everything ends and is freed.
    fn ends(mut self) {
        for passes in [2_000_000, 1_000] {
            for id in &self.held {
                self.stack.release(*id);
            }
            self.act(&Act::Pass(passes));
        }
        assert_eq!(self.stack.connection_count(), 0);
        assert_eq!(self.stack.deadline(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_segments_and_calls_harms_an_accepted_connection(acts in vec(act(), 1..60)) {
        let mut play = Play {
            stack: stack(), now: Instant::from_nanos(1_000_000_000), held: vec![],
            local_port: 80, remote_port: 5_000, expects: 1_000, sent_to: 0,
        };
        let syn = play.segment(999, 0, 2, 65_535, &[2, 4, 5, 0x78, 3, 3, 7, 4, 2, 1, 1, 1], 0);
        play.stack.receive(play.now, &syn);
        play.poll();
        for act in &acts {
            play.act(act);
        }
        play.ends();
    }

    #[test]
    fn no_sequence_of_segments_and_calls_harms_a_connection_of_ours(acts in vec(act(), 1..60)) {
        let mut play = Play {
            stack: stack(), now: Instant::from_nanos(1_000_000_000), held: vec![],
            local_port: 0, remote_port: 5_000, expects: 1_000, sent_to: 0,
        };
        play.held.extend(play.stack.connect(play.now, common::at(A4, 5_000), None));
        play.poll();
        for act in &acts {
            play.act(act);
        }
        play.ends();
    }
}
