//! Two interfaces in networks of their own, joined by a cable, with a stream each way and datagrams beside it.

use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use wirewright_linux::tun::{Tun, TunOffloads};
use wirewright_linux::udp::UdpOffloads;
use wirewright_linux::{Config, Device, LogLevel, MTU};
use wirewright_protocol::SecretKey;

use crate::{allocations, leave_out};

/// Bytes that go each way in a phase.
const BYTES: usize = 16 << 20;
/// Phases until one must have gone by without an allocation: batches are made while a burst is larger than any before.
const PHASES: usize = 30;

/// A network with an interface. What is made while a thread is in it stays there.
struct Place {
    number: u8,
    network: File,
    interface: String,
    stop: PipeWriter,
    thread: Option<JoinHandle<()>>,
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32])
}

fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Place {
    fn new(number: u8, shards: usize) -> Self {
        // SAFETY: only the network of this thread changes; it shares no memory, files or signal handlers less than before.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        let network = File::open("/proc/thread-self/ns/net").unwrap();
        let interface = format!("wa{}-{shards}-{number}", std::process::id());
        let tun = Tun::create(&interface, shards, TunOffloads::ALL).unwrap();
        let (stop, stopping) = std::io::pipe().unwrap();
        let udp_offloads = UdpOffloads {
            send: true,
            receive: true,
        };
        let config = Config {
            udp_offloads,
            log: LogLevel::Silent,
            uapi: None,
            mtu: MTU,
        };
        let device = Device::start(config, tun, stop.into()).unwrap();
        let thread = std::thread::spawn(move || device.run().unwrap());
        Self {
            number,
            network,
            interface,
            stop: stopping,
            thread: Some(thread),
        }
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd())
    }

    fn ip(&self, words: &str) {
        let network = format!("--net={}", self.path());
        let words: Vec<&str> = ["nsenter", &network, "ip"]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        run(&words);
    }

    fn enter(&self) {
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    fn configure(&self, peer: u8) {
        let (number, interface) = (self.number, &self.interface);
        let request = format!(
            "set=1\nprivate_key={}\nlisten_port=51820\npublic_key={}\nendpoint=192.0.2.{peer}:51820\n\
             allowed_ip=10.9.0.{peer}/32\n\n",
            hex(&[number; 32]),
            hex(secret(peer).public().as_bytes()),
        );
        let mut socket = UnixStream::connect(format!("/var/run/wireguard/{interface}.sock")).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 64];
        let len = socket.read(&mut answer).unwrap();
        assert_eq!(&answer[..len], b"errno=0\n\n");
        self.ip(&format!("address add 10.9.0.{number}/24 dev {interface}"));
        self.ip(&format!("link set {interface} up"));
        self.ip(&format!("address add 192.0.2.{number}/24 dev cable{number}"));
        self.ip(&format!("link set cable{number} up"));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.stop.write(b".");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends on the stream and on the socket, while a thread of its own takes what comes.
fn exchange(stream: &TcpStream, datagrams: &UdpSocket) {
    let piece = vec![7; 1 << 17];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            leave_out();
            let mut buffer = vec![0; 1 << 17];
            let mut left = BYTES;
            let mut stream = stream;
            while left > 0 {
                let len = stream.read(&mut buffer).unwrap();
                assert!(len > 0, "the stream ended");
                left -= len;
            }
            while datagrams.recv(&mut buffer).is_ok() {}
        });
        let mut stream = stream;
        for _ in 0..BYTES / piece.len() {
            stream.write_all(&piece).unwrap();
            for size in [1, 100, 1000, 1392] {
                let _ = datagrams.send(&piece[..size]);
            }
        }
    });
}

fn permitted() -> bool {
    let permitted = rustix::process::geteuid().is_root() && File::open("/dev/net/tun").is_ok();
    assert!(
        permitted || std::env::var_os("CI").is_none(),
        "this test takes root and /dev/net/tun"
    );
    permitted
}

/// One test: two at once would count each other's allocations.
#[test]
fn interfaces_under_steady_traffic_allocate_nothing() {
    leave_out();
    for shards in [1, 2] {
        with_shards(shards);
    }
}

fn with_shards(shards: usize) {
    if !permitted() {
        return;
    }
    let (a, b) = (Place::new(1, shards), Place::new(2, shards));
    a.ip(&format!(
        "link add cable1 type veth peer name cable2 netns {}",
        b.path()
    ));
    a.configure(2);
    b.configure(1);

    let listener = TcpListener::bind("10.9.0.2:7000").unwrap();
    let theirs = UdpSocket::bind("10.9.0.2:7000").unwrap();
    theirs.connect("10.9.0.1:7000").unwrap();
    a.enter();
    let ours = UdpSocket::bind("10.9.0.1:7000").unwrap();
    ours.connect("10.9.0.2:7000").unwrap();
    let near = TcpStream::connect("10.9.0.2:7000").unwrap();
    let (far, _) = listener.accept().unwrap();
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).unwrap();
    }

    let phases = (0..PHASES).map(|_| {
        let before = allocations();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                leave_out();
                exchange(&far, &theirs);
            });
            exchange(&near, &ours);
        });
        allocations() - before
    });
    let counts: Vec<u64> = phases
        .scan(false, |done, count| {
            (!std::mem::replace(done, count == 0)).then_some(count)
        })
        .collect();
    assert_eq!(
        counts.last(),
        Some(&0),
        "allocations of each phase with {shards} shards: {counts:?}"
    );
}
