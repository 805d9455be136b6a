//! An interface: its control thread, which waits for clients and for news of the interface.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver as Answers};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec};
use wirewright_engine::{Engine, Limits};
use wirewright_offload::segments::{MAX_BYTES, MAX_DATAGRAMS};
use wirewright_runtime::{OsRandom, Waker, clock};

use crate::journal::{self, LogLevel};
use crate::link::{Link, News};
use crate::mailbox::{Letter, Mailbox};
use crate::served::Served;
use crate::tun::Tun;
use crate::uapi::{self, Clients, SocketFile};
use crate::udp::UdpOffloads;
use crate::wait::wait;
use crate::worker::{Ended, Worker};

/// What an interface is made from.
#[derive(Debug)]
pub struct Config {
    /// Offloads of UDP that are wanted.
    pub udp_offloads: UdpOffloads,
    /// What is told on the standard error.
    pub log: LogLevel,
    /// A UAPI socket that somebody else bound and listens on, instead of one made here.
    pub uapi: Option<OwnedFd>,
    /// The MTU, in bytes, that the interface is given, or, if it is one of another namespace, was given there.
    pub mtu: usize,
}

/// The MTU that WireGuard's interfaces begin with: it fits 1,500 bytes also over IPv6.
pub const MTU: usize = 1420;

/// An interface with its threads.
pub struct Device {
    link: Link,
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
        let mut link = Link::new(tun.descriptor()?)?;
        let mtu = link.set_mtu(config.mtu)?;
        link.set_most_segments(most_segments(mtu));
        let count = tun.queues();
        let engine = Engine::new((0..count).map(|_| OsRandom::new()), &limits, mtu);
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
        journal.verbose(format_args!(
            "served at {socket}, threads for packets: {count}; {offloads}"
        ));
        let mut device = Self {
            link,
            mtu,
            listener,
            file,
            clients: Clients::new(limits),
            served: Served::new(control, mailboxes, config.udp_offloads, journal),
            told,
            endings,
            threads,
            stop,
        };
        // A device that was taken over may be up already.
        device.link.drain();
        device.follow(News::default());
        Ok(device)
    }

    /// Serves clients until the interface is gone, its socket file is removed, or it is told to stop.
    ///
    /// # Errors
    /// What made a thread fail.
    pub fn run(mut self) -> io::Result<()> {
        let outcome = self.serve();
        self.served.post_all(|| Letter::Stop);
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
                self.served.journal().collect();
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
            let news = self.link.drain();
            if news.any || readable.link {
                self.follow(news);
            }
            self.clients.serve(now, &mut self.served);
        }
    }

    fn ends(&mut self, why: &str) -> io::Result<()> {
        self.served.journal().verbose(format_args!("ends: {why}"));
        Ok(())
    }

    /// The user may set the interface up or down, or give it another MTU, at any time.
    fn follow(&mut self, news: News) {
        // The shards' threads see that it was deleted, and say so.
        let Some(state) = self.link.state() else { return };
        // Down and up again before anybody could ask: as with the kernel's WireGuard its sessions end, and it binds anew.
        if news.was_down && state.is_up && self.served.is_up() {
            self.served.set_up(false);
        }
        if self.served.is_up() != state.is_up {
            self.served.set_up(state.is_up);
        }
        let Some(mtu) = state.mtu.filter(|mtu| *mtu != self.mtu) else {
            return;
        };
        self.mtu = mtu;
        self.served.journal().verbose(format_args!("the MTU is {mtu}"));
        self.link.set_most_segments(most_segments(mtu));
        self.served.post_all(|| Letter::Mtu(mtu));
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
        // Not everywhere are there news of its being set up.
        let up = if self.served.is_up() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        let mut fds = vec![
            watch(self.stop.as_fd()),
            watch(self.told.as_fd()),
            PollFd::from_borrowed_fd(self.link.tun(), up),
            watch(self.link.news()),
            watch(self.file.as_fd()),
        ];
        if self.clients.listens() {
            fds.push(watch(self.listener.as_fd()));
        }
        fds.extend(self.clients.descriptors().map(|(fd, writes)| {
            let flags = if writes { PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(fd, flags)
        }));
        let looked = wait(&mut fds, timeout.as_ref())?;
        let mut readable = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Readable {
            stop: readable.next().unwrap_or(false),
            told: readable.next().unwrap_or(false) || !looked,
            link: readable.next().unwrap_or(false),
        })
    }
}

struct Readable {
    stop: bool,
    told: bool,
    link: bool,
}

/// How many packets of an interface's MTU, sealed, fit one train of UDP.
fn most_segments(mtu: usize) -> u32 {
    let datagram = mtu + wirewright_protocol::wire::DATA_OVERHEAD;
    let most = (MAX_BYTES / datagram).clamp(1, MAX_DATAGRAMS);
    u32::try_from(most).unwrap_or(1)
}
