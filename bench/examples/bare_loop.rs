//! The ceiling of a userspace tunnel on this machine: a loop that does what any must, and nothing else.
//!
//! A super-packet is read from the TUN, cut into slices of an MTU, sealed (or not), and handed to the kernel as one train;
//! a train is received, opened (or not), and written to the TUN as it was. No handshake, no tables, no checks, one thread
//! an end. What an engine loses against it is what the engine costs; what the loop loses against the bare wire is what
//! the kernel's two stacks and the cipher cost.
//!
//! It needs two ends in two network namespaces, so that it is no benchmark that runs by itself:
//!
//!     cargo run --release -p wirewright-bench --example bare_loop -- TUN LOCAL:PORT REMOTE:PORT [--aead]

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use wirewright_aead::{Key, Packet, Slab, Verdict};
use wirewright_linux::tun::{Queue, Tun, TunOffloads};

/// Bytes of a super-packet in one datagram, what WireGuard adds to them, and the two together.
const SLICE: usize = 1420;
const HEADER: usize = 16;
const DATAGRAM: usize = SLICE + 32;
/// With this many slices a train fits one UDP datagram.
const SLICES: usize = 65_507 / DATAGRAM;

/// Trains that are taken from the socket, and super-packets from the TUN, before the other side is looked at.
const RECEIVED: usize = 16;
const SENT: usize = 64;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, local, remote, rest @ ..] = &arguments[..] else {
        return Err(io::Error::other("bare_loop TUN LOCAL:PORT REMOTE:PORT [--aead]"));
    };
    let parse = |text: &String| text.parse::<SocketAddr>().map_err(io::Error::other);
    let socket = UdpSocket::bind(parse(local)?)?;
    socket.connect(parse(remote)?)?;
    socket.set_nonblocking(true)?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, DATAGRAM as i32)?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 7 << 20)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 7 << 20)?;
    let tun = Tun::create(name, 1, TunOffloads::ALL)?;
    let queue = tun.into_queues().remove(0);
    let key = rest
        .iter()
        .any(|word| word == "--aead")
        .then(|| Key::new(&[7; 32]));
    Loop {
        socket,
        queue,
        key,
        counter: 0,
    }
    .run()
}

fn set_option(socket: &UdpSocket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives through the call and is only read.
    let result = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, size_of::<i32>() as u32)
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

struct Loop {
    socket: UdpSocket,
    queue: Queue,
    key: Option<Key>,
    counter: u64,
}

impl Loop {
    fn run(mut self) -> io::Result<()> {
        let mut outgoing = vec![0; SLICES * DATAGRAM];
        let mut incoming = vec![0; 65_536];
        loop {
            let mut fds = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::from_borrowed_fd(self.queue.as_fd(), PollFlags::IN),
            ];
            poll(&mut fds, None)?;
            let [inwards, outwards] = fds.map(|fd| !fd.revents().is_empty());
            let mut left = RECEIVED;
            while inwards && left > 0 && self.receive(&mut incoming)? {
                left -= 1;
            }
            let mut left = SENT;
            while outwards && left > 0 && self.send(&mut outgoing)? {
                left -= 1;
            }
        }
    }

    /// One super-packet from the TUN to the socket; false if there was none.
    fn send(&mut self, train: &mut [u8]) -> io::Result<bool> {
        // The kernel puts each slice where its datagram is to be: nothing is copied here.
        let mut slices = train.chunks_exact_mut(DATAGRAM);
        let mut pieces: [IoSliceMut<'_>; SLICES] = std::array::from_fn(|_| {
            IoSliceMut::new(
                slices
                    .next()
                    .map_or(&mut [], |datagram| &mut datagram[HEADER..][..SLICE]),
            )
        });
        let len = match rustix::io::readv(&self.queue, &mut pieces) {
            Err(Errno::AGAIN) => return Ok(false),
            outcome => outcome?,
        };
        let count = len.div_ceil(SLICE);
        let mut packets = [NO_PACKET; SLICES];
        for (index, described) in packets[..count].iter_mut().enumerate() {
            let at = index * DATAGRAM;
            train[at + 8..at + HEADER].copy_from_slice(&self.counter.to_le_bytes());
            (described.slot, described.counter) = (index as u32, self.counter);
            described.len = SLICE.min(len - index * SLICE) as u32;
            self.counter += 1;
        }
        if let Some(key) = &self.key {
            let slab = Slab {
                bytes: train,
                stride: DATAGRAM,
            };
            wirewright_aead::seal(std::slice::from_ref(key), &packets[..count], slab)
                .map_err(io::Error::other)?;
        }
        match self.socket.send(&train[..len + count * 32]) {
            Err(error) if is_passing(&error) => (),
            outcome => drop(outcome?),
        }
        Ok(true)
    }

    /// One train from the socket to the TUN; false if there was none.
    fn receive(&mut self, train: &mut [u8]) -> io::Result<bool> {
        let len = match self.socket.recv(train) {
            Err(error) if is_passing(&error) => return Ok(false),
            outcome => outcome?,
        };
        let count = len.div_ceil(DATAGRAM);
        let slice_len = |index: usize| (len - index * DATAGRAM).min(DATAGRAM) - 32;
        if let Some(key) = &self.key {
            let packets: [Packet; SLICES] = std::array::from_fn(|index| {
                let at = index.min(count - 1) * DATAGRAM;
                let mut counter = [0; 8];
                counter.copy_from_slice(&train[at + 8..at + HEADER]);
                Packet {
                    key: 0,
                    slot: index as u32,
                    start: HEADER as u32,
                    len: slice_len(index.min(count - 1)) as u32,
                    counter: u64::from_le_bytes(counter),
                }
            });
            let mut verdicts = [Verdict::Forged; SLICES];
            let slab = Slab {
                bytes: train,
                stride: DATAGRAM,
            };
            wirewright_aead::open(
                std::slice::from_ref(key),
                &packets[..count],
                slab,
                &mut verdicts[..count],
            )
            .map_err(io::Error::other)?;
            if verdicts[..count].contains(&Verdict::Forged) {
                return Ok(true);
            }
        }
        let mut pieces = [IoSlice::new(&[]); SLICES];
        for (index, piece) in pieces.iter_mut().take(count).enumerate() {
            let at = index * DATAGRAM + HEADER;
            *piece = IoSlice::new(&train[at..at + slice_len(index)]);
        }
        // An interface that is still down refuses.
        let _ = self.queue.write(&pieces[..count]);
        Ok(true)
    }
}

const NO_PACKET: Packet = Packet {
    key: 0,
    slot: 0,
    start: HEADER as u32,
    len: 0,
    counter: 0,
};

/// Nothing waits, nothing more is taken, or the other end is not there yet.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused)
}
