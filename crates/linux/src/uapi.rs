//! The socket that `wg(8)` speaks with: who may connect, how many, and how long they may take.
//!
//! One thread serves all clients, and never waits for one: a client that stalls keeps its own place only, and loses it when
//! others need it. What the text means is the engine's ([`wirewright_engine::uapi`]).

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify;
use wirewright_engine::Limits;
use wirewright_engine::uapi::{Errno, Mistake, Parser, Reply, Request};
use wirewright_protocol::Instant;
use zeroize::Zeroizing;

/// Where `wg` looks for it.
const DIRECTORY: &str = "/var/run/wireguard";
/// Clients at a time.
const MOST_CLIENTS: usize = 16;
/// How long a client may leave a request, or an answer, half done.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read from a client in one turn, so that one that sends without end leaves time to others.
const TURN: usize = 64 << 10;

/// The socket file of an interface, which goes when this does.
pub(crate) struct SocketFile {
    path: PathBuf,
    watch: OwnedFd,
}

/// A listening socket and its file.
pub(crate) fn listen(interface: &str) -> io::Result<(UnixListener, SocketFile)> {
    let directory = Path::new(DIRECTORY);
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    let path = directory.join(format!("{interface}.sock"));
    if UnixStream::connect(&path).is_ok() {
        let message = format!("another process serves {}", path.display());
        return Err(io::Error::new(ErrorKind::AddrInUse, message));
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    // Whoever can connect can read the keys: the file is made for its owner alone, with no moment before.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&path);
    rustix::process::umask(before);
    let listener = listener?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let gone = inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::ATTRIB | inotify::WatchFlags::MOVE_SELF;
    inotify::add_watch(&watch, &path, gone)?;
    Ok((listener, SocketFile { path, watch }))
}

impl SocketFile {
    /// Whether somebody removed the file, which asks the interface to end.
    pub(crate) fn is_gone(&self) -> bool {
        let mut events = [0; 512];
        while rustix::io::read(&self.watch, &mut events).is_ok_and(|len| len > 0) {}
        !self.path.exists()
    }
}

impl AsFd for SocketFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Who carries out what clients ask for.
pub(crate) trait Serve {
    /// Carries out a request and writes the answer, its end excepted.
    fn serve(&mut self, request: Request, reply: &mut Reply) -> Errno;
    /// Learns that a request was refused.
    fn refused(&mut self, mistake: &Mistake);
}

/// The clients of an interface.
pub(crate) struct Clients {
    limits: Limits,
    clients: Vec<Client>,
    buffer: Zeroizing<Vec<u8>>,
}

struct Client {
    stream: UnixStream,
    parser: Parser,
    reply: Reply,
    written: usize,
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
        }
    }

    /// Takes new clients. If there is no place, the one that was silent longest loses its own.
    pub(crate) fn accept(&mut self, listener: &UnixListener, now: Instant) {
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= MOST_CLIENTS {
                let oldest = self.clients.iter().enumerate().min_by_key(|(_, client)| client.moved);
                if let Some(oldest) = oldest.map(|(index, _)| index) {
                    self.clients.swap_remove(oldest);
                }
            }
            self.clients.push(Client {
                stream,
                parser: Parser::new(&self.limits),
                reply: Reply::new(),
                written: 0,
                moved: now,
                ending: false,
            });
        }
    }

    /// The descriptors to wait for, and whether to wait for room to write.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.clients
            .iter()
            .map(|client| (client.stream.as_fd(), client.has_answer()))
    }

    /// When [`Clients::serve`] wants to be called at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.clients.iter().filter(|client| !client.is_idle());
        waiting.map(|client| client.moved + PATIENCE).min()
    }

    /// Goes on with every client that can go on, and drops those that are done or took too long.
    pub(crate) fn serve(&mut self, now: Instant, server: &mut impl Serve) {
        let buffer = &mut self.buffer;
        self.clients.retain_mut(|client| {
            let goes_on = client.go_on(now, buffer, server);
            goes_on && (client.is_idle() || client.moved + PATIENCE > now)
        });
    }
}

impl Client {
    fn has_answer(&self) -> bool {
        self.written < self.reply.bytes().len()
    }

    fn is_idle(&self) -> bool {
        self.parser.is_idle() && !self.has_answer()
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
        match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(len) => {
                self.moved = now;
                self.take(buffer.get(..len).unwrap_or(&[]), server);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return true,
            Err(_) => return false,
        }
        self.write(now)
    }

    fn take(&mut self, mut bytes: &[u8], server: &mut impl Serve) {
        while !bytes.is_empty() {
            match self.parser.read(&mut bytes) {
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
            match self.stream.write(self.reply.bytes().get(self.written..).unwrap_or(&[])) {
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
