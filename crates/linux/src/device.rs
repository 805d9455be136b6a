//! An interface: its control thread, and what it tells the shards' threads.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver as Answers};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirewright_engine::uapi::{Changes, DeviceReport, Errno, Mistake, Reply, Request};
use wirewright_engine::{ConfigureError, Control, Counters, Engine, HandedOver, Limits};
use wirewright_offload::segments::{MAX_BYTES, MAX_DATAGRAMS};
use wirewright_runtime::{OsRandom, Waker, clock};

use crate::journal::{self, Journal, LogLevel};
use crate::link::{self, LinkNews};
use crate::mailbox::{Letter, Mailbox};
use crate::sys;
use crate::tun::Tun;
use crate::uapi::{self, Clients, Serve, SocketFile};
use crate::udp::{self, Sockets, UdpConfig, UdpOffloads};
use crate::worker::{BREATH, Ended, Worker};

/// What an interface is made from.
#[derive(Debug)]
pub struct Config {
    /// Offloads of UDP that are wanted.
    pub udp_offloads: UdpOffloads,
    /// What is told on the standard error.
    pub log: LogLevel,
    /// A UAPI socket that somebody else bound and listens on, instead of one made here.
    pub uapi: Option<OwnedFd>,
}

/// Peers that a shard tells of in one letter.
const PORTION: u32 = 256;
/// How long a shard may take to answer. It answers within a round; this is for one that is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The MTU that WireGuard's interfaces begin with: it fits 1,500 bytes also over IPv6.
const MTU: usize = 1420;

/// An interface with its threads.
pub struct Device {
    name: String,
    news: LinkNews,
    mtu: usize,
    listener: UnixListener,
    file: SocketFile,
    clients: Clients,
    served: Served,
    /// Wakes when a thread has something to tell, its end among others.
    told: Arc<Waker>,
    endings: Answers<Ended>,
    threads: Vec<JoinHandle<()>>,
    stop: OwnedFd,
}

/// What clients ask about.
struct Served {
    control: Control,
    random: OsRandom,
    mailboxes: Arc<[Mailbox]>,
    up: bool,
    /// None while the interface is down.
    sockets: Vec<Arc<Sockets>>,
    /// While the interface is down: the port that it will have; 0 for any.
    port: u16,
    mark: u32,
    offloads: UdpOffloads,
    journal: Journal,
}

impl Device {
    /// Makes the interface and its UAPI socket, and starts its threads. It ends when `stop` becomes readable.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(config: Config, tun: Tun, stop: OwnedFd) -> io::Result<Self> {
        let limits = Limits::default();
        let name = tun.name().to_owned();
        let (listener, file) = match config.uapi {
            Some(socket) => uapi::listen_at(socket)?,
            None => uapi::listen(&name)?,
        };
        let news = LinkNews::new()?;
        link::set_mtu(&name, MTU)?;
        // It spares a second train for each super-packet, no more.
        let _ = link::set_most_segments(&name, most_segments(MTU));
        let count = tun.queues();
        let engine = Engine::new((0..count).map(|_| OsRandom::new()), &limits, MTU);
        let (control, shards) = engine.into_parts();
        let mailboxes: Arc<[Mailbox]> = (0..count).map(|_| Mailbox::new()).collect::<io::Result<_>>()?;
        let offloads = tun.offloads();
        let told = Arc::new(Waker::new()?);
        let (mut journal, reporter) = journal::journal(&name, config.log, told.clone());
        let (sender, endings) = mpsc::channel();
        let mut threads = Vec::new();
        for (shard, queue) in shards.into_iter().zip(tun.into_queues()) {
            let place = usize::from(shard.id());
            let worker = Worker::new(shard, queue, offloads, mailboxes.clone(), reporter.clone())?;
            let (sender, told, mailboxes) = (sender.clone(), told.clone(), mailboxes.clone());
            let body = move || {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run()));
                let failed = || Ended::Failed(io::Error::other("a thread met an internal error"));
                let _ = sender.send(outcome.unwrap_or_else(|_| failed()));
                if let Some(mailbox) = mailboxes.get(place) {
                    mailbox.close();
                }
                told.wake();
            };
            threads.push(
                std::thread::Builder::new()
                    .name("wirewright".into())
                    .spawn(body)?,
            );
        }
        let socket = file
            .path()
            .map_or_else(|| "a socket that was given".into(), Path::to_string_lossy);
        journal.verbose(format_args!("served at {socket}, threads for packets: {count}"));
        let mut device = Self {
            name,
            news,
            mtu: MTU,
            listener,
            file,
            clients: Clients::new(limits),
            served: Served {
                control,
                random: OsRandom::new(),
                mailboxes,
                up: false,
                sockets: Vec::new(),
                port: 0,
                mark: 0,
                offloads: config.udp_offloads,
                journal,
            },
            told,
            endings,
            threads,
            stop,
        };
        // A device that was taken over may be up already.
        device.follow_state();
        Ok(device)
    }

    /// Serves clients until the interface is gone, its socket file is removed, or it is told to stop.
    ///
    /// # Errors
    /// What made a thread fail.
    pub fn run(mut self) -> io::Result<()> {
        let outcome = self.serve();
        for mailbox in self.served.mailboxes.iter() {
            mailbox.post(Letter::Stop);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        outcome
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let readable = self.wait()?;
            if readable.stop {
                return self.ends("it was told to end");
            }
            if self.file.is_gone() {
                return self.ends("its socket file was removed");
            }
            if readable.told {
                self.told.rest();
                self.served.journal.collect();
                match self.endings.try_recv() {
                    Ok(Ended::Stopped) => return Ok(()),
                    Ok(Ended::InterfaceGone) => return self.ends("the interface was deleted"),
                    Ok(Ended::Failed(error)) => return Err(error),
                    Err(_) => (),
                }
            }
            let now = clock::now().now;
            self.clients.accept(&self.listener, now);
            // Whoever set the interface up and asks for something then finds it up: news come first, those that came since
            // the wait ended, too.
            if self.news.drain() {
                self.follow_state();
                self.follow_mtu();
            }
            self.clients.serve(now, &mut self.served);
        }
    }

    fn ends(&mut self, why: &str) -> io::Result<()> {
        self.served.journal.verbose(format_args!("ends: {why}"));
        Ok(())
    }

    /// An interface that is down has no sockets and is silent.
    fn follow_state(&mut self) {
        // One that is in another network namespace cannot be asked: it is taken for up.
        let up = link::is_up(&self.name).unwrap_or(true);
        if self.served.up != up {
            self.served.set_up(up);
        }
    }

    /// The user may set another MTU at any time.
    fn follow_mtu(&mut self) {
        let Ok(mtu) = link::mtu(&self.name) else { return };
        if mtu == self.mtu {
            return;
        }
        self.mtu = mtu;
        self.served.journal.verbose(format_args!("the MTU is {mtu}"));
        let _ = link::set_most_segments(&self.name, most_segments(mtu));
        for mailbox in self.served.mailboxes.iter() {
            mailbox.post(Letter::Mtu(mtu));
        }
    }

    fn wait(&self) -> io::Result<Readable> {
        let timeout = self.clients.deadline().map(|deadline| {
            let wait = deadline.saturating_since(clock::now().now);
            Timespec {
                tv_sec: wait.as_secs() as i64,
                tv_nsec: wait.subsec_nanos().into(),
            }
        });
        let watch = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![
            watch(self.stop.as_fd()),
            watch(self.told.as_fd()),
            watch(self.news.as_fd()),
            watch(self.file.as_fd()),
        ];
        if self.clients.listens() {
            fds.push(watch(self.listener.as_fd()));
        }
        fds.extend(self.clients.descriptors().map(|(fd, writes)| {
            let flags = if writes { PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(fd, flags)
        }));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            // poll(2): memory of the kernel is short, for a while.
            Err(rustix::io::Errno::NOMEM | rustix::io::Errno::AGAIN) => std::thread::sleep(BREATH),
            Err(error) => return Err(error.into()),
        }
        let mut readable = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Readable {
            stop: readable.next().unwrap_or(false),
            told: readable.next().unwrap_or(false),
        })
    }
}

struct Readable {
    stop: bool,
    told: bool,
}

/// How many packets of an interface's MTU, sealed, fit one train of UDP.
fn most_segments(mtu: usize) -> u32 {
    let datagram = mtu + wirewright_protocol::wire::DATA_OVERHEAD;
    let most = (MAX_BYTES / datagram).clamp(1, MAX_DATAGRAMS);
    u32::try_from(most).unwrap_or(1)
}

impl Serve for Served {
    fn serve(&mut self, request: Request, reply: &mut Reply) -> Errno {
        match request {
            Request::Get => self.get(reply),
            Request::Counters => self.counters(reply),
            Request::Set(changes) => self.set(changes),
        }
    }

    /// The client is told by a number, which is all that the protocol has room for.
    fn refused(&mut self, mistake: &Mistake) {
        self.journal
            .error(format_args!("a request was refused: {mistake}"));
    }
}

impl Served {
    fn get(&mut self, reply: &mut Reply) -> Errno {
        reply.device(&DeviceReport {
            private_key: self.control.private_key(),
            listen_port: self.port,
            fwmark: self.mark,
        });
        for mailbox in self.mailboxes.iter() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let (answer, answers) = mpsc::sync_channel(1);
                mailbox.post(Letter::Report {
                    from: slot,
                    most: PORTION,
                    answer,
                });
                let Ok((reports, next)) = answers.recv_timeout(PATIENCE) else {
                    return Errno::EIO;
                };
                for report in &reports {
                    reply.peer(report, self.control.allowed_ips(report.id));
                }
                from = next;
            }
        }
        Errno::NONE
    }

    fn counters(&self, reply: &mut Reply) -> Errno {
        let (mut counters, mut handed_over) = (Counters::default(), HandedOver::default());
        for mailbox in self.mailboxes.iter() {
            let (answer, answers) = mpsc::sync_channel(1);
            mailbox.post(Letter::Counters(answer));
            let Ok((its, its_handed_over)) = answers.recv_timeout(PATIENCE) else {
                return Errno::EIO;
            };
            counters.merge(&its);
            handed_over.merge(its_handed_over);
        }
        reply.counters(&counters, handed_over);
        Errno::NONE
    }

    /// What can fail comes first, so that a refused request changes nothing.
    fn set(&mut self, changes: Changes) -> Errno {
        let mark = changes.fwmark.unwrap_or(self.mark);
        let port = changes.listen_port.unwrap_or(self.port);
        let wanted = changes.listen_port.is_some() && (port != self.port || self.sockets.is_empty());
        let fresh = if wanted {
            match self.bind(port, mark) {
                // While the interface is down this was only to find out: who sets a port wants to hear now that it is taken.
                Ok(fresh) => self.up.then_some(fresh),
                Err(error) => return self.change_refused(format_args!("UDP port {port}"), &error),
            }
        } else {
            None
        };
        if fresh.is_none() && mark != self.mark {
            let marked = self.sockets.iter().try_for_each(|sockets| sockets.set_mark(mark));
            if let Err(error) = marked {
                return self.change_refused("fwmark", &error);
            }
        }
        match self.control.apply(changes, &mut self.random) {
            Ok(()) => (),
            Err(error @ (ConfigureError::TooManyPeers | ConfigureError::TooManyAllowedIps)) => {
                self.journal.error(format_args!("a change was refused: {error}"));
                let _ = self
                    .sockets
                    .iter()
                    .try_for_each(|sockets| sockets.set_mark(self.mark));
                return Errno::ENOMEM;
            }
            Err(_) => return Errno::EINVAL,
        }
        self.mark = mark;
        match fresh {
            Some((sockets, port)) => self.replace_sockets(sockets, port),
            None => self.port = port,
        }
        for (shard, command) in self.control.commands() {
            if let Some(mailbox) = self.mailboxes.get(usize::from(shard)) {
                mailbox.post(Letter::Command(command));
            }
        }
        Errno::NONE
    }
}

impl Served {
    /// The interface was set up or down. Without its port it stays silent until it is given another, or set up again.
    fn set_up(&mut self, up: bool) {
        self.up = up;
        let state = if up { "up" } else { "down" };
        self.journal.verbose(format_args!("the interface is {state}"));
        if !up {
            self.sockets.clear();
            self.post_sockets();
            return;
        }
        match self.bind(self.port, self.mark) {
            Ok((sockets, port)) => self.replace_sockets(sockets, port),
            Err(error) => {
                let (port, why) = (self.port, sys::told(&error));
                self.journal.error(format_args!(
                    "the interface is up, but silent: UDP port {port}: {why}; set another with `wg set`, or free it and set the interface down and up"
                ));
            }
        }
    }

    fn bind(&self, port: u16, mark: u32) -> io::Result<(Vec<Sockets>, u16)> {
        let config = UdpConfig {
            port,
            mark,
            offloads: self.offloads,
        };
        udp::bind(config, self.mailboxes.len())
    }

    fn replace_sockets(&mut self, sockets: Vec<Sockets>, port: u16) {
        self.port = port;
        self.sockets = sockets.into_iter().map(Arc::new).collect();
        self.post_sockets();
        self.journal.verbose(format_args!("the UDP port is {port}"));
    }

    /// Gives each shard its sockets, or none, and waits until the old ones are given up: whoever is told of success may give
    /// the old port to another, or ask for it again. A thread that has ended has given up its own.
    fn post_sockets(&self) {
        let (taken, given_up) = mpsc::sync_channel(self.mailboxes.len());
        for (shard, mailbox) in self.mailboxes.iter().enumerate() {
            mailbox.post(Letter::Sockets {
                fresh: self.sockets.get(shard).cloned(),
                taken: taken.clone(),
            });
        }
        drop(taken);
        for _ in self.mailboxes.iter() {
            let _ = given_up.recv_timeout(PATIENCE);
        }
    }

    fn change_refused(&mut self, what: impl fmt::Display, error: &io::Error) -> Errno {
        let why = sys::told(error);
        self.journal
            .error(format_args!("a change was refused: {what}: {why}"));
        errno_of(error)
    }
}

fn errno_of(error: &io::Error) -> Errno {
    match error.kind() {
        ErrorKind::AddrInUse => Errno(libc::EADDRINUSE),
        _ => error.raw_os_error().map_or(Errno::EIO, Errno),
    }
}
