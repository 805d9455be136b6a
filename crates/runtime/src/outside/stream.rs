//! One TCP connection of the host.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, Protocol, Socket, Type};

use super::orders::{Report, Reports};
use super::turn::{Turn, failure};

/// Bytes read in one turn, so that others get theirs.
const TURN: usize = 128 << 10;

pub(super) struct Stream {
    socket: Socket,
    connecting: bool,
    readable: bool,
    writable: bool,
    /// The system has an error to tell.
    broken: bool,
    /// Bytes that may be read.
    credit: usize,
    /// The remote side has sent everything.
    ended: bool,
    /// What the system did not take yet.
    waiting: VecDeque<u8>,
    /// The sending side ends behind what waits, or has ended.
    finishing: bool,
}

impl Stream {
    /// Begins a connection.
    pub(super) fn open(remote: SocketAddr) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(remote), kind, Some(Protocol::TCP))?;
        // What comes in pieces shall leave in pieces: who sent it has waited for company already, if he wanted to.
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&remote.into()) {
            Ok(()) => (),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => (),
            Err(error) => return Err(error),
        }
        Ok(Self {
            socket,
            connecting: true,
            readable: false,
            writable: false,
            broken: false,
            credit: 0,
            ended: false,
            waiting: VecDeque::new(),
            finishing: false,
        })
    }

    /// Takes note of what epoll says.
    pub(super) fn became(&mut self, flags: EventFlags) {
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        self.broken |= flags.contains(EventFlags::ERR);
        self.readable |= broken || flags.contains(EventFlags::IN);
        self.writable |= broken || flags.contains(EventFlags::OUT);
    }

    /// Lets so many bytes more be read.
    pub(super) fn allow(&mut self, more: usize) {
        self.credit = self.credit.saturating_add(more);
    }

    /// Sends `bytes` behind what waits.
    pub(super) fn send(&mut self, bytes: &[u8], name: u64, reports: &mut Reports) -> Turn {
        let mut rest = bytes;
        if self.waiting.is_empty() && self.writable && !self.connecting {
            match self.push(rest) {
                Ok(sent) => {
                    rest = rest.get(sent..).unwrap_or_default();
                    told(sent, name, reports);
                }
                Err(turn) => return turn,
            }
        }
        self.waiting.extend(rest);
        Turn::Done
    }

    /// Ends the sending side once nothing waits.
    pub(super) fn finish(&mut self) -> Turn {
        self.finishing = true;
        self.end_if_done();
        Turn::Done
    }

    /// Makes the close that follows a reset.
    pub(super) fn abort(&self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// Does what can be done.
    pub(super) fn turn(&mut self, name: u64, reports: &mut Reports) -> Turn {
        if self.connecting || self.broken {
            match self.settle(name, reports) {
                Turn::Done => (),
                turn => return turn,
            }
        }
        if self.connecting {
            return Turn::Done;
        }
        if let Err(turn) = self.flush(name, reports) {
            return turn;
        }
        self.pull(name, reports)
    }

    /// Learns whether the connection is there, or broken.
    fn settle(&mut self, name: u64, reports: &mut Reports) -> Turn {
        self.broken = false;
        match self.socket.take_error() {
            Ok(None) if self.connecting && self.writable => self.arrive(name, reports),
            Ok(None) => Turn::Done,
            Ok(Some(error)) | Err(error) => Turn::Over(failure(&error)),
        }
    }

    /// Learns whether a socket that can do something, and has no error to tell, is connected.
    ///
    /// It need not be: when an ICMP error meets its SYN, Linux wakes who waits a moment before the error can be read,
    /// and once more when it can.
    fn arrive(&mut self, name: u64, reports: &mut Reports) -> Turn {
        match self.socket.peer_addr() {
            Ok(_) => {
                self.connecting = false;
                reports.push(name, Report::Opened);
            }
            Err(_) => self.writable = false,
        }
        Turn::Done
    }

    fn flush(&mut self, name: u64, reports: &mut Reports) -> Result<(), Turn> {
        while self.writable && !self.waiting.is_empty() {
            let mut waiting = std::mem::take(&mut self.waiting);
            let sent = self.push(waiting.as_slices().0)?;
            // Room in front is used again: a slow reader may never let it run empty.
            waiting.drain(..sent);
            self.waiting = waiting;
            told(sent, name, reports);
        }
        if self.waiting.is_empty() {
            // What a slow reader held up is not held for the connection's life.
            self.waiting = VecDeque::new();
            self.end_if_done();
        }
        Ok(())
    }

    /// How much the system took; less than all means that it takes no more for now.
    fn push(&mut self, bytes: &[u8]) -> Result<usize, Turn> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match send(&self.socket, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(len) => sent += len,
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN | Errno::NOBUFS) => {
                    self.writable = false;
                    break;
                }
                Err(error) => return Err(Turn::Over(failure(&error.into()))),
            }
        }
        Ok(sent)
    }

    fn pull(&mut self, name: u64, reports: &mut Reports) -> Turn {
        let mut left = TURN;
        while self.readable && !self.ended && self.credit > 0 {
            let room = reports.room();
            let len = room.len().min(self.credit).min(left);
            if len == 0 {
                return Turn::More;
            }
            let Some(room) = room.get_mut(..len) else {
                return Turn::Done;
            };
            match recv(&self.socket, room, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    self.ended = true;
                    reports.push(name, Report::Ended);
                }
                Ok((_, len)) => {
                    self.credit -= len;
                    left -= len;
                    reports.received(name, len);
                }
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => self.readable = false,
                Err(error) => return Turn::Over(failure(&error.into())),
            }
        }
        Turn::Done
    }

    fn end_if_done(&mut self) {
        if self.finishing && !self.connecting && self.waiting.is_empty() {
            let _ = self.socket.shutdown(std::net::Shutdown::Write);
        }
    }
}

fn told(sent: usize, name: u64, reports: &mut Reports) {
    if sent > 0 {
        reports.push(name, Report::Sent(sent));
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_stream_that_was_woken_without_an_error_is_open_only_when_it_is_connected() {
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        full.listen(0).unwrap();
        let remote = full.local_addr().unwrap().as_socket().unwrap();
        let mut reports = Reports::new(1 << 10);
        // The first fill its queue; whose SYN is not answered is still connecting.
        let mut streams: Vec<Stream> = (0..4).map(|_| Stream::open(remote).unwrap()).collect();
        for (name, stream) in (0..).zip(&mut streams) {
            stream.became(EventFlags::ERR);
            assert_eq!(stream.turn(name, &mut reports), Turn::Done);
            let is_connected = stream.socket.peer_addr().is_ok();
            assert_eq!(reports.of(name) == [Report::Opened], is_connected);
        }
        assert_eq!(reports.of(0), [Report::Opened]);
        assert_eq!(reports.of(3), []);
    }

    #[test]
    fn a_slow_reader_makes_no_more_wait_than_what_is_unsent() {
        const UNSENT: usize = 128 << 10;
        const ALL: usize = 4 << 20;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stream = Stream::open(listener.local_addr().unwrap()).unwrap();
        // The system takes little at once, so that what waits never runs out.
        stream.socket.set_send_buffer_size(4 << 10).unwrap();
        let mut remote = listener.accept().unwrap().0;
        remote.set_nonblocking(true).unwrap();
        let mut reports = Reports::new(1 << 10);
        let (mut ordered, mut sent, mut arrived) = (0, 0, Vec::new());
        let pattern = |at: usize| (at % 251) as u8;
        while arrived.len() < ALL {
            let more = (UNSENT - (ordered - sent)).min(ALL - ordered);
            let bytes: Vec<u8> = (ordered..ordered + more).map(pattern).collect();
            assert_eq!(stream.send(&bytes, 1, &mut reports), Turn::Done);
            ordered += more;
            stream.became(EventFlags::OUT);
            assert_eq!(stream.turn(1, &mut reports), Turn::Done);
            for (_, report, _) in reports.iter() {
                if let Report::Sent(len) = report {
                    sent += len;
                }
            }
            reports.clear();
            let (waits, held) = (stream.waiting.len(), stream.waiting.capacity());
            assert!(waits == ordered - sent && held <= 2 * UNSENT, "{waits} {held}");
            let mut piece = [0; 4 << 10];
            if let Ok(len) = remote.read(&mut piece) {
                arrived.extend_from_slice(&piece[..len]);
            }
        }
        assert!(arrived.iter().copied().eq((0..ALL).map(pattern)), "in order");
        assert_eq!(stream.waiting.capacity(), 0, "nothing is held for later");
    }
}
