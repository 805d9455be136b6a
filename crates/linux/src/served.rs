//! What the clients of an interface ask for and set, carried out with its shards.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use wirewright_engine::uapi::{Changes, DeviceReport, Errno, Mistake, Reply, Request};
use wirewright_engine::{ConfigureError, Control, Counters, HandedOver, PeerReport};
use wirewright_runtime::{OsRandom, vault};

use crate::journal::Journal;
use crate::mailbox::{Letter, Mailbox};
use crate::sys;
use crate::uapi::Serve;
use crate::udp::{self, Found, Sockets, UdpConfig, UdpOffloads};

/// Peers that a shard tells of in one letter.
const PORTION: u32 = 256;
/// How long a shard may take to answer. It answers within a round; this is for one that is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The settings of an interface, and what carries them out.
pub(crate) struct Served {
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
    /// Somebody was told that secrets may be swapped out.
    told_unlocked: bool,
    journal: Journal,
}

impl Served {
    /// An interface that is down and has no settings.
    pub(crate) fn new(
        control: Control,
        mailboxes: Arc<[Mailbox]>,
        offloads: UdpOffloads,
        journal: Journal,
    ) -> Self {
        let mut served = Self {
            control,
            random: OsRandom::new(),
            mailboxes,
            up: false,
            sockets: Vec::new(),
            port: 0,
            mark: 0,
            offloads,
            told_unlocked: false,
            journal,
        };
        vault::prepare();
        served.tell_unlocked();
        served
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    pub(crate) fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Sends each shard a letter.
    pub(crate) fn post_all(&self, letter: impl Fn() -> Letter) {
        for mailbox in self.mailboxes.iter() {
            mailbox.post(letter());
        }
    }

    /// The interface was set up or down. Without its port it stays silent until it is given another, or set up again.
    pub(crate) fn set_up(&mut self, up: bool) {
        self.up = up;
        let state = if up { "up" } else { "down" };
        self.journal.verbose(format_args!("the interface is {state}"));
        if !up {
            self.sockets.clear();
            self.post_sockets();
            return;
        }
        match self.bind(self.port, self.mark) {
            Ok((sockets, port, found)) => self.replace_sockets(sockets, port, found),
            Err(error) => {
                let (port, why) = (self.port, sys::told(&error));
                self.journal.error(format_args!(
                    "the interface is up, but silent: UDP port {port}: {why}; set another with `wg set`, or free it and set the interface down and up"
                ));
            }
        }
    }
}

impl Serve for Served {
    fn serve(&mut self, request: Request, reply: &mut Reply) -> Errno {
        match request {
            Request::Get => self.get(reply),
            Request::Counters => self.counters(reply),
            Request::Filter => self.filter(reply),
            Request::Set(changes) => self.set(changes),
        }
    }

    /// The client is told by a number, which is all that the protocol has room for.
    fn refused(&mut self, mistake: &Mistake) {
        self.journal
            .error(format_args!("a request was refused: {mistake}"));
    }

    fn crowded(&mut self) {
        self.journal
            .error("a client lost its place: requests and answers half done took too much memory together");
    }
}

impl Served {
    fn get(&mut self, reply: &mut Reply) -> Errno {
        reply.device(&DeviceReport {
            private_key: self.control.private_key(),
            listen_port: self.port,
            fwmark: self.mark,
        });
        self.each_peer(|report| reply.peer(report, self.control.allowed_ips(report.id)))
    }

    fn filter(&self, reply: &mut Reply) -> Errno {
        reply.filter(self.control.directory().guard.as_deref());
        self.each_peer(|report| reply.filtered_peer(&report.status, self.control.policy(report.id)))
    }

    /// Asks the shards for their peers, a portion at a time.
    fn each_peer(&self, mut tell: impl FnMut(&PeerReport)) -> Errno {
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
                    tell(report);
                }
                from = next;
            }
        }
        Errno::NONE
    }

    fn counters(&self, reply: &mut Reply) -> Errno {
        let (mut counters, mut handed_over) = (Counters::default(), HandedOver::default());
        let mut staged_bytes = 0;
        for mailbox in self.mailboxes.iter() {
            let (answer, answers) = mpsc::sync_channel(1);
            mailbox.post(Letter::Counters(answer));
            let Ok((its, its_handed_over, its_staged_bytes)) = answers.recv_timeout(PATIENCE) else {
                return Errno::EIO;
            };
            counters.merge(&its);
            handed_over.merge(its_handed_over);
            staged_bytes += its_staged_bytes;
        }
        reply.counters(&counters, handed_over, staged_bytes);
        reply.silence(self.up && self.sockets.is_empty());
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
        let marks = fresh.is_none() && mark != self.mark;
        if marks && let Err(error) = self.mark_sockets(mark) {
            let _ = self.mark_sockets(self.mark);
            return self.change_refused("fwmark", &error);
        }
        if let Err(error) = self.control.apply(changes, &mut self.random) {
            if marks {
                let _ = self.mark_sockets(self.mark);
            }
            return self.unapplied(error);
        }
        self.mark = mark;
        match fresh {
            Some((sockets, port, found)) => self.replace_sockets(sockets, port, found),
            None => self.port = port,
        }
        self.tell_unlocked();
        self.post_commands()
    }

    fn unapplied(&mut self, error: ConfigureError) -> Errno {
        match error {
            ConfigureError::TooManyPeers
            | ConfigureError::TooManyAllowedIps
            | ConfigureError::TooManyRules => {
                self.journal.error(format_args!("a change was refused: {error}"));
                Errno::ENOMEM
            }
            _ => Errno::EINVAL,
        }
    }

    /// Tells the shards what changed, and waits until they know: whoever sets time and again, faster than they take it, would
    /// fill the memory with letters.
    fn post_commands(&mut self) -> Errno {
        let (taken, known) = mpsc::sync_channel(self.mailboxes.len());
        let mut told = vec![false; self.mailboxes.len()];
        for (shard, command) in self.control.commands() {
            let shard = usize::from(shard);
            if let (Some(mailbox), Some(told)) = (self.mailboxes.get(shard), told.get_mut(shard)) {
                mailbox.post(Letter::Command(command));
                *told = true;
            }
        }
        for (mailbox, told) in self.mailboxes.iter().zip(&told) {
            if *told {
                mailbox.post(Letter::Known(taken.clone()));
            }
        }
        drop(taken);
        let all = told.iter().filter(|told| **told);
        let outcome = all.into_iter().try_for_each(|_| known.recv_timeout(PATIENCE));
        outcome.map_or(Errno::EIO, |()| Errno::NONE)
    }

    fn mark_sockets(&self, mark: u32) -> io::Result<()> {
        self.sockets.iter().try_for_each(|sockets| sockets.set_mark(mark))
    }

    /// Once, if it is so: how much may be locked shows as secrets come.
    fn tell_unlocked(&mut self) {
        if !self.told_unlocked && !vault::protection().locked {
            self.told_unlocked = true;
            self.journal.error(
                "memory cannot be locked, so that keys may be swapped out to disk: raise RLIMIT_MEMLOCK (LimitMEMLOCK= of systemd), or give CAP_IPC_LOCK",
            );
        }
    }

    fn bind(&self, port: u16, mark: u32) -> io::Result<(Vec<Sockets>, u16, Found)> {
        let config = UdpConfig {
            port,
            mark,
            offloads: self.offloads,
        };
        udp::bind(config, self.mailboxes.len())
    }

    fn replace_sockets(&mut self, sockets: Vec<Sockets>, port: u16, found: Found) {
        self.port = port;
        self.sockets = sockets.into_iter().map(Arc::new).collect();
        self.post_sockets();
        self.journal
            .verbose(format_args!("the UDP port is {port}; {found}"));
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
        let mut all = self.mailboxes.iter();
        // One that is gone is not waited for again.
        let _ = all.try_for_each(|_| given_up.recv_timeout(PATIENCE));
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
