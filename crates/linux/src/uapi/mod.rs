//! The socket that `wg(8)` speaks with: who may connect, how many, and how long they may take.
//!
//! One thread serves all clients, and never waits for one: a client that stalls keeps its own place only, and loses it when
//! others need it. What the text means is the engine's ([`wirewright_engine::uapi`]).

mod socket;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use wirewright_engine::Limits;
use wirewright_engine::uapi::{Errno, Mistake, Parser, Reply, Request};
use wirewright_protocol::Instant;
use wirewright_runtime::Rest;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use socket::{SocketFile, listen, listen_at};

/// Clients at a time.
const MOST_CLIENTS: usize = 16;
/// How long a client may leave a request, or an answer, half done.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read from a client in one turn, so that one that sends without end leaves time to others.
const TURN: usize = 64 << 10;

/// Bytes of requests and answers that may be half done, but for those of the client that has most: one may read or write all that
/// an interface can have. Beyond, whoever has more than an equal share of them and was silent longest makes way.
const TOGETHER: usize = 64 << 20;

/// Who carries out what clients ask for.
pub(crate) trait Serve {
    /// Carries out a request and writes the answer, its end excepted.
    fn serve(&mut self, request: Request, reply: &mut Reply) -> Errno;
    /// Learns that a request was refused.
    fn refused(&mut self, mistake: &Mistake);
    /// Learns that a client had to go since all together had too much half done.
    fn crowded(&mut self);
}

/// The clients of an interface.
pub(crate) struct Clients {
    limits: Limits,
    clients: Vec<Client>,
    buffer: Zeroizing<Vec<u8>>,
    /// Of the listener: where no descriptor is free, who waits to be taken would wake us without end.
    rest: Rest,
}

struct Client {
    stream: UnixStream,
    parser: Parser,
    reply: Reply,
    written: usize,
    /// What was read behind the request that is being answered.
    left: Zeroizing<Vec<u8>>,
    /// When something last went to or fro.
    moved: Instant,
    /// It is to be closed once its answer is written.
    ending: bool,
}

impl Clients {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clients: Vec::new(),
            buffer: Zeroizing::new(vec![0; TURN]),
            rest: Rest::default(),
        }
    }

    /// Takes new clients. If there is no place, the one that was silent longest loses its own.
    pub(crate) fn accept(&mut self, listener: &UnixListener, now: Instant) {
        while self.rest.is_over(|| now) {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.rest.succeeded(),
                Err(_) => return self.rest.failed(now),
            };
            self.rest.succeeded();
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= MOST_CLIENTS {
                let oldest = self
                    .clients
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, client)| client.moved);
                if let Some(oldest) = oldest.map(|(index, _)| index) {
                    self.clients.swap_remove(oldest);
                }
            }
            self.clients.push(Client {
                stream,
                parser: Parser::new(&self.limits),
                reply: Reply::new(),
                written: 0,
                left: Zeroizing::default(),
                moved: now,
                ending: false,
            });
        }
    }

    /// Whether the listener is to be waited for.
    pub(crate) fn listens(&self) -> bool {
        self.rest.is_awake()
    }

    /// The descriptors to wait for, and whether to wait for room to write.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.clients
            .iter()
            .map(|client| (client.stream.as_fd(), client.has_answer()))
    }

    /// When [`Clients::accept`] and [`Clients::serve`] want to be called at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.clients.iter().filter(|client| !client.is_idle());
        let patience = waiting.map(|client| {
            if client.can_go_on() {
                client.moved
            } else {
                client.moved + PATIENCE
            }
        });
        patience.chain(self.rest.deadline()).min()
    }

    /// Goes on with every client that can go on, and drops those that are done or took too long.
    pub(crate) fn serve(&mut self, now: Instant, server: &mut impl Serve) {
        let mut next = 0;
        while let Some(client) = self.clients.get_mut(next) {
            let goes_on = client.go_on(now, &mut self.buffer, server);
            if goes_on && (client.is_idle() || client.moved + PATIENCE > now) {
                next += 1;
            } else {
                self.clients.swap_remove(next);
            }
            // After each, since all may have asked for much.
            self.make_room(server);
        }
    }

    fn make_room(&mut self, server: &mut impl Serve) {
        loop {
            let held = self.clients.iter().map(Client::held);
            let (sum, most) = held.fold((0, 0), |(sum, most), held| (sum + held, held.max(most)));
            if sum - most <= TOGETHER {
                return;
            }
            let large = self.clients.iter().enumerate();
            let large = large.filter(|(_, client)| client.held() > TOGETHER / MOST_CLIENTS);
            let Some((oldest, _)) = large.min_by_key(|(_, client)| client.moved) else {
                return;
            };
            self.clients.swap_remove(oldest);
            server.crowded();
        }
    }
}

impl Client {
    fn has_answer(&self) -> bool {
        self.written < self.reply.bytes().len()
    }

    /// Bytes of what is half done.
    fn held(&self) -> usize {
        self.parser.held() + self.reply.bytes().len() + self.left.len()
    }

    fn is_idle(&self) -> bool {
        self.parser.is_idle() && self.left.is_empty() && !self.has_answer()
    }

    /// Whether there is something to do without anything being read or written.
    fn can_go_on(&self) -> bool {
        !self.left.is_empty() && !self.has_answer() && !self.ending
    }

    /// False: the connection ended.
    fn go_on(&mut self, now: Instant, buffer: &mut [u8], server: &mut impl Serve) -> bool {
        if !self.write(now) {
            return false;
        }
        // The next request waits until the answer to the last one was taken, so that answers do not pile up.
        if self.has_answer() {
            return true;
        }
        if self.ending {
            return false;
        }
        if self.can_go_on() {
            let left = std::mem::take(&mut self.left);
            return self.answer(now, &left, server);
        }
        match self.stream.read(buffer) {
            Ok(0) => false,
            Ok(len) => {
                self.moved = now;
                let bytes = buffer.get_mut(..len).unwrap_or(&mut []);
                let goes_on = self.answer(now, bytes, server);
                // It may have been keys, and the next request may be long in coming, or short.
                bytes.zeroize();
                goes_on
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Carries out the requests in what was read, as long as answers are taken and are not many: each is written before the
    /// next begins.
    fn answer(&mut self, now: Instant, mut bytes: &[u8], server: &mut impl Serve) -> bool {
        let mut answered = 0;
        while !bytes.is_empty() && !self.has_answer() && !self.ending && answered < TURN {
            self.take(&mut bytes, server);
            answered += self.reply.bytes().len();
            if !self.write(now) {
                return false;
            }
        }
        self.left = Zeroizing::new(bytes.to_vec());
        // After a mistake nothing is read any more, so that nothing would wake us to close it later.
        !self.ending || self.has_answer()
    }

    /// Takes bytes up to the end of a request, and carries it out.
    fn take(&mut self, bytes: &mut &[u8], server: &mut impl Serve) {
        while !bytes.is_empty() && !self.has_answer() {
            match self.parser.read(bytes, &crate::ifreq::index_of) {
                Ok(None) => (),
                Ok(Some(request)) => {
                    let is_set = matches!(request, Request::Set(_));
                    let errno = server.serve(request, &mut self.reply);
                    self.reply.end(errno, is_set);
                }
                Err(mistake) => {
                    // What follows has no meaning any more.
                    server.refused(&mistake);
                    self.reply.end(mistake.errno(), self.parser.is_set());
                    self.ending = true;
                    return;
                }
            }
        }
    }

    fn write(&mut self, now: Instant) -> bool {
        while self.has_answer() {
            match self
                .stream
                .write(self.reply.bytes().get(self.written..).unwrap_or(&[]))
            {
                Ok(0) => return false,
                Ok(len) => {
                    self.written += len;
                    self.moved = now;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(_) => return false,
            }
        }
        if self.written > 0 {
            // What was answered is wiped at once.
            self.reply = Reply::new();
            self.written = 0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    use super::*;

    /// Answers a get with so many bytes of text.
    struct Talker {
        len: usize,
        requests: usize,
        mistakes: usize,
        crowded: usize,
    }

    impl Serve for Talker {
        fn serve(&mut self, _: Request, reply: &mut Reply) -> Errno {
            self.requests += 1;
            for _ in 0..self.len / 14 {
                reply.device(&wirewright_engine::uapi::DeviceReport {
                    private_key: None,
                    listen_port: 1,
                    fwmark: 0,
                });
            }
            Errno::NONE
        }

        fn refused(&mut self, _: &Mistake) {
            self.mistakes += 1;
        }

        fn crowded(&mut self) {
            self.crowded += 1;
        }
    }

    struct Meeting {
        listener: UnixListener,
        path: PathBuf,
        clients: Clients,
        server: Talker,
    }

    impl Meeting {
        fn new(name: &str, len: usize) -> Self {
            let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).unwrap();
            listener.set_nonblocking(true).unwrap();
            let server = Talker {
                len,
                requests: 0,
                mistakes: 0,
                crowded: 0,
            };
            Self {
                listener,
                path,
                clients: Clients::new(Limits::default()),
                server,
            }
        }

        fn client(&mut self, second: u64) -> UnixStream {
            let client = UnixStream::connect(&self.path).unwrap();
            client.set_nonblocking(true).unwrap();
            self.clients.accept(&self.listener, at(second));
            client
        }

        fn serve(&mut self, second: u64) {
            self.clients.serve(at(second), &mut self.server);
        }
    }

    impl Drop for Meeting {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    /// What has come; `None` at the end of the stream.
    fn answer(client: &mut UnixStream) -> Option<String> {
        let mut bytes = vec![0; 1 << 20];
        match client.read(&mut bytes) {
            Ok(0) => None,
            Ok(len) => Some(String::from_utf8(bytes[..len].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Some(String::new()),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn several_requests_come_over_one_connection() {
        let mut meeting = Meeting::new("several", 0);
        let mut client = meeting.client(0);
        client.write_all(b"get=1\n\nset=1\n\nget=1\n").unwrap();
        meeting.serve(0);
        assert_eq!(answer(&mut client).unwrap(), "errno=0\n\nerrno=0\n\n");
        client.write_all(b"\n").unwrap();
        meeting.serve(0);
        assert_eq!(answer(&mut client).unwrap(), "errno=0\n\n");
        assert_eq!(meeting.server.requests, 3);
    }

    #[test]
    fn a_mistake_is_answered_and_ends_the_connection() {
        let mut meeting = Meeting::new("mistake", 0);
        for (text, expected) in [
            (&b"set=1\nlisten_port=x\n\n"[..], "errno=-22\n\n"),
            (b"get=1\nlisten_port=1\n\n", "errno=71\n\n"),
            (b"GET / HTTP/1.1\r\n\r\n", "errno=71\n\n"),
        ] {
            let mut client = meeting.client(0);
            client.write_all(text).unwrap();
            meeting.serve(0);
            assert_eq!(answer(&mut client).unwrap(), expected);
            assert_eq!(answer(&mut client), None);
        }
        assert_eq!((meeting.server.requests, meeting.server.mistakes), (0, 3));
    }

    #[test]
    fn the_numbers_of_errors_are_the_system_s() {
        for (errno, number) in [
            (Errno::NONE, 0),
            (Errno::EIO, libc::EIO),
            (Errno::ENODEV, libc::ENODEV),
            (Errno::ENOMEM, libc::ENOMEM),
            (Errno::EINVAL, libc::EINVAL),
            (Errno::EPROTO, libc::EPROTO),
        ] {
            assert_eq!(errno, Errno(number));
        }
    }

    #[test]
    fn a_client_that_stalls_keeps_nobody_waiting_and_loses_its_place_in_the_end() {
        let mut meeting = Meeting::new("stalls", 0);
        let mut stalled = meeting.client(0);
        stalled.write_all(b"set=1\nlisten_port=").unwrap();
        meeting.serve(0);
        let mut other = meeting.client(1);
        other.write_all(b"get=1\n\n").unwrap();
        meeting.serve(1);
        assert_eq!(answer(&mut other).unwrap(), "errno=0\n\n");
        assert_eq!(meeting.clients.deadline(), Some(at(30)));
        meeting.serve(29);
        assert_eq!(answer(&mut stalled).unwrap(), "");
        meeting.serve(30);
        assert_eq!(answer(&mut stalled), None);
        // Who has nothing half done may stay.
        assert_eq!(meeting.clients.deadline(), None);
        meeting.serve(1000);
        assert_eq!(answer(&mut other).unwrap(), "");
    }

    #[test]
    fn an_answer_that_nobody_reads_is_kept_for_a_while_and_no_further_request_is_read() {
        let mut meeting = Meeting::new("unread", 4 << 20);
        let mut client = meeting.client(0);
        client.write_all(b"get=1\n\n").unwrap();
        meeting.serve(0);
        client.write_all(b"get=1\n\n").unwrap();
        meeting.serve(1);
        assert_eq!(meeting.server.requests, 1);
        meeting.serve(40);
        assert!(meeting.clients.clients.is_empty());
    }

    #[test]
    fn requests_in_a_row_are_carried_out_as_their_answers_are_taken() {
        let mut meeting = Meeting::new("row", 1 << 20);
        let mut client = meeting.client(0);
        client.write_all(&b"get=1\n\n".repeat(20)).unwrap();
        meeting.serve(0);
        assert_eq!(meeting.server.requests, 1);
        let mut ends = 0;
        let mut text = String::new();
        for _ in 0..10_000 {
            text += &answer(&mut client).unwrap();
            ends += text.matches("errno=0\n\n").count();
            text = text
                .split_off(text.len().saturating_sub(8))
                .replace("errno=0\n\n", "");
            if ends == 20 {
                break;
            }
            meeting.serve(0);
        }
        assert_eq!((ends, meeting.server.requests), (20, 20));
        assert_eq!(meeting.clients.deadline(), None);
    }

    #[test]
    fn short_answers_in_a_row_are_given_in_turns() {
        let mut meeting = Meeting::new("turns", 20_000);
        let mut client = meeting.client(0);
        client.write_all(&b"get=1\n\n".repeat(9)).unwrap();
        meeting.serve(0);
        assert!(meeting.server.requests < 9);
        assert_eq!(meeting.clients.deadline(), Some(at(0)));
        (0..3).for_each(|_| meeting.serve(0));
        assert_eq!(meeting.server.requests, 9);
    }

    #[test]
    fn the_one_that_was_silent_longest_makes_way() {
        let mut meeting = Meeting::new("crowd", 0);
        let mut clients: Vec<UnixStream> = (0..MOST_CLIENTS as u64)
            .map(|second| meeting.client(second))
            .collect();
        let mut newest = meeting.client(100);
        assert_eq!(answer(&mut clients[0]), None);
        assert_eq!(answer(&mut clients[1]).unwrap(), "");
        newest.write_all(b"get=1\n\n").unwrap();
        meeting.serve(100);
        assert_eq!(answer(&mut newest).unwrap(), "errno=0\n\n");
    }

    #[test]
    fn of_those_who_have_much_half_done_together_the_one_silent_longest_makes_way() {
        let mut meeting = Meeting::new("together", 24 << 20);
        let mut small = meeting.client(0);
        small.write_all(b"set=1\nlisten_port=").unwrap();
        meeting.serve(0);
        let mut clients = Vec::new();
        for second in 1..=5 {
            let mut client = meeting.client(second);
            client.write_all(b"get=1\n\n").unwrap();
            meeting.serve(second);
            clients.push(client);
        }
        // The one with most, and two more.
        assert_eq!((meeting.clients.clients.len(), meeting.server.crowded), (4, 2));
        let is_cut = |client: &mut UnixStream| {
            let mut bytes = vec![0; 1 << 20];
            loop {
                match client.read(&mut bytes) {
                    Ok(0) => return true,
                    Ok(_) => (),
                    Err(_) => return false,
                }
            }
        };
        let cut: Vec<bool> = clients.iter_mut().map(is_cut).collect();
        assert_eq!(cut, [true, true, false, false, false]);
        assert!(!is_cut(&mut small));
    }

    #[test]
    fn who_is_alone_may_ask_for_more_than_all_together() {
        let mut meeting = Meeting::new("alone", TOGETHER + (1 << 20));
        let mut client = meeting.client(0);
        client.write_all(b"get=1\n\n").unwrap();
        meeting.serve(0);
        assert_eq!((meeting.clients.clients.len(), meeting.server.crowded), (1, 0));
    }

    #[test]
    fn a_listener_that_fails_rests_and_is_tried_again() {
        let mut meeting = Meeting::new("rests", 0);
        // It does not listen, so that every accept fails.
        let failing: UnixListener = OwnedFd::from(UnixStream::pair().unwrap().0).into();
        for _ in 0..=Rest::TRIES {
            assert!(meeting.clients.listens());
            meeting.clients.accept(&failing, at(1));
        }
        assert!(!meeting.clients.listens());
        let deadline = meeting.clients.deadline().unwrap();
        assert!(deadline > at(1) && deadline <= at(1) + Rest::LONGEST);
        let client = UnixStream::connect(&meeting.path).unwrap();
        meeting.clients.accept(&meeting.listener, at(1));
        assert!(meeting.clients.clients.is_empty());
        meeting.clients.accept(&meeting.listener, deadline);
        assert!(meeting.clients.listens());
        assert_eq!(meeting.clients.clients.len(), 1);
        drop(client);
    }

    #[test]
    fn a_listener_to_which_nobody_comes_after_its_rest_is_waited_for_again() {
        let mut meeting = Meeting::new("nobody", 0);
        let failing: UnixListener = OwnedFd::from(UnixStream::pair().unwrap().0).into();
        for _ in 0..=Rest::TRIES {
            meeting.clients.accept(&failing, at(1));
        }
        let deadline = meeting.clients.deadline().unwrap();
        meeting.clients.accept(&meeting.listener, deadline);
        assert!(meeting.clients.listens());
        assert_eq!(meeting.clients.deadline(), None);
    }

    #[test]
    fn a_gigabyte_of_garbage_is_not_read_to_its_end() {
        let mut meeting = Meeting::new("gigabyte", 0);
        let mut client = meeting.client(0);
        let written = client.write(&vec![b'a'; 1 << 20]).unwrap();
        assert!(written > MOST_CLIENTS);
        meeting.serve(0);
        assert_eq!(answer(&mut client).unwrap(), "errno=71\n\n");
        assert!(meeting.clients.clients.is_empty());
    }
}
