//! Two shells that speak over loopback sockets.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirewright_engine::{Batch, Engine, Event, Limits, Moment, Notice, PeerConfig};
use wirewright_protocol::{Instant, SecretKey};
use wirewright_runtime::{Interface, OsRandom, Owner, Shell, State, UdpSockets};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An interface that sends what is put into it, and keeps what comes.
#[derive(Default)]
struct Mailbox {
    to_send: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
    notices: Vec<Notice>,
}

impl Interface for Mailbox {
    fn deliver(&mut self, _: Moment, packets: &Batch, _: Owner<'_>) {
        self.received
            .extend(packets.packets().map(|(_, packet)| packet.to_vec()));
    }

    fn collect(&mut self, _: Moment, batch: &mut Batch) -> bool {
        while !batch.is_full() {
            let Some(packet) = self.to_send.pop() else {
                return false;
            };
            assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet)));
        }
        !self.to_send.is_empty()
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn stopped(&mut self, reason: &str) {
        panic!("{reason}");
    }

    fn has_events(&self) -> bool {
        !self.received.is_empty()
    }
}

fn start(secret: u8, shards: usize) -> Shell<Mailbox> {
    let engine = Engine::new((0..shards).map(|_| OsRandom::new()), &Limits::default(), 1420);
    let shell = Shell::start(
        engine,
        Mailbox::default(),
        UdpSockets::bind(Some(LOOPBACK), 0).unwrap(),
        None,
    )
    .unwrap();
    shell
        .with(|at, state| {
            state
                .engine
                .set_private_key(at, Some(key(secret)), &mut state.output)
        })
        .unwrap();
    shell
}

fn key(secret: u8) -> SecretKey {
    SecretKey::from_bytes([secret; 32])
}

fn introduce(shell: &Shell<Mailbox>, peer: u8, port: u16) {
    let config = PeerConfig {
        endpoint: Some((LOOPBACK, port).into()),
        allowed_ips: vec!["0.0.0.0/0".parse().unwrap()],
        ..PeerConfig::default()
    };
    shell
        .with(|at, state| {
            state
                .engine
                .set_peer(at, key(peer).public(), config, &mut state.output)
        })
        .unwrap()
        .unwrap();
}

/// Waits until the user of `shell` is woken, ten seconds at most.
fn wait(shell: &Shell<Mailbox>) {
    let mut fds = [PollFd::from_borrowed_fd(shell.user().as_fd(), PollFlags::IN)];
    assert_eq!(
        poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 10,
                tv_nsec: 0
            })
        )
        .unwrap(),
        1,
        "nothing came"
    );
    shell.user().rest();
}

/// Waits until so many of `event` were counted, ten seconds at most.
fn wait_for_count(shell: &Shell<Mailbox>, event: Event, count: u64) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while shell.look(|_, state| state.engine.counters().get(event)).unwrap() < count {
        assert!(std::time::Instant::now() < deadline, "not counted: {event:?}");
        std::thread::yield_now();
    }
}

fn packet(payload: u8) -> Vec<u8> {
    let mut packet = vec![0; 60];
    packet[0] = 0x45;
    packet[3] = 60;
    packet[20..].fill(payload);
    packet
}

#[test]
fn packets_cross_from_shell_to_shell() {
    for shards in [1, 4] {
        let (left, right) = (start(1, shards), start(2, shards));
        introduce(&left, 2, right.port());
        introduce(&right, 1, left.port());
        left.with(|_, state| state.interface.to_send.push(packet(7)))
            .unwrap();
        wait(&right);
        right
            .look(|_, state| assert_eq!(state.interface.received, [packet(7)]))
            .unwrap();
        left.look(|_, state| assert_eq!(state.interface.notices.len(), 1))
            .unwrap();
    }
}

#[test]
fn a_thousand_packets_arrive_in_trains() {
    let (left, right) = (start(3, 1), start(4, 1));
    introduce(&left, 4, right.port());
    introduce(&right, 3, left.port());
    left.with(|_, state| state.interface.to_send.push(packet(0)))
        .unwrap();
    wait(&right);
    left.with(|_, state| state.interface.to_send.extend((0..1000).map(|_| packet(9))))
        .unwrap();
    let mut count = 0;
    while count < 1001 {
        count = right.look(|_, state| state.interface.received.len()).unwrap();
        if count < 1001 {
            wait(&right);
        }
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let first = UdpSockets::bind(None, 0).unwrap();
    let error = UdpSockets::bind(None, first.port()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_closed_shell_answers_nothing_and_wakes_its_user() {
    let shell = start(5, 1);
    shell.close();
    wait(&shell);
    assert!(shell.is_closed());
    assert!(shell.look(|_, _| ()).is_none());
    shell.close();
}

#[test]
fn a_datagram_that_cannot_be_sent_is_counted_for_its_peer_by_cause() {
    let shell = start(6, 1);
    let config = PeerConfig {
        // Nothing is bound for IPv6 here.
        endpoint: Some("[2001:db8::1]:9".parse().unwrap()),
        allowed_ips: vec!["0.0.0.0/0".parse().unwrap()],
        ..PeerConfig::default()
    };
    shell
        .with(|at, state| {
            state
                .engine
                .set_peer(at, key(7).public(), config, &mut state.output)
        })
        .unwrap()
        .unwrap();
    shell
        .with(|_, state| state.interface.to_send.push(packet(1)))
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let counted = |at: Moment, state: &mut State<Mailbox>| {
        let status = state.engine.status(&key(7).public(), at.now);
        status.unwrap().counters.get(Event::SendUnreachable)
    };
    while shell.look(counted).unwrap() == 0 {
        assert!(std::time::Instant::now() < deadline, "the error was not counted");
        std::thread::yield_now();
    }
}

#[test]
fn a_datagram_without_a_byte_is_counted() {
    let (shell, sender) = (start(8, 1), UdpSocket::bind((LOOPBACK, 0)).unwrap());
    for _ in 0..3 {
        sender.send_to(&[], (LOOPBACK, shell.port())).unwrap();
    }
    wait_for_count(&shell, Event::BadLength, 3);
}
