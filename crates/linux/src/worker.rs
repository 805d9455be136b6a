//! The thread of one shard.
//!
//! # Theory
//!
//! A round takes a bounded amount from each side and carries it all the way: letters, then datagrams into the TUN, then
//! packets out of the TUN into sealed datagrams, which all go with as few calls as there are trains. The bounds keep one
//! side from starving the other: a round takes so many datagrams, or so many packets, before it looks at the rest. The
//! clock is read once a round. With nothing left it sleeps until a descriptor is readable or a timer is due, and nothing
//! else wakes it.
//!
//! While the interface is down there are no sockets. Then only letters are read, and no timer runs.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use wirewright_engine::{Batch, Event, Moment, Output, Shard};
use wirewright_offload::gather::Kinds;
use wirewright_protocol::Instant;
use wirewright_runtime::{Alarm, OsRandom, SuspendWatch, Timer, clock};

use crate::delivery::Delivery;
use crate::intake::Intake;
use crate::journal::Reporter;
use crate::mailbox::{Letter, Mailbox};
use crate::tun::{Queue, TunOffloads};
use crate::udp::{Receiver, Sender, Sockets};
use crate::wait::wait;

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// The interface is gone.
    InterfaceGone,
    /// A system call failed for good.
    Failed(io::Error),
}

/// A shard with what its thread owns.
pub(crate) struct Worker {
    shard: Shard<OsRandom>,
    queue: Queue,
    intake: Intake,
    /// `None`: the interface is down.
    sockets: Option<Arc<Sockets>>,
    receiver: Receiver,
    sender: Sender,
    delivery: Delivery,
    mailboxes: Arc<[Mailbox]>,
    reporter: Reporter,
    letters: VecDeque<Letter>,
    received: Vec<Batch>,
    output: Output,
    alarm: Alarm,
    suspend: SuspendWatch,
    /// What was found readable, or may be.
    ready: Ready,
}

#[derive(Clone, Copy)]
struct Ready {
    /// IPv4's first.
    sockets: [bool; 2],
    tun: bool,
}

impl Ready {
    /// Nobody looked.
    const UNKNOWN: Self = Self {
        sockets: [true; 2],
        tun: true,
    };
}

impl Worker {
    pub(crate) fn new(
        shard: Shard<OsRandom>,
        queue: Queue,
        offloads: TunOffloads,
        mailboxes: Arc<[Mailbox]>,
        reporter: Reporter,
    ) -> io::Result<Self> {
        Ok(Self {
            shard,
            queue,
            intake: Intake::new(),
            sockets: None,
            receiver: Receiver::new(),
            sender: Sender::new(),
            delivery: Delivery::new(Kinds {
                tcp: offloads.tcp,
                udp: offloads.udp,
            }),
            mailboxes,
            reporter,
            letters: VecDeque::new(),
            received: Vec::new(),
            output: Output::default(),
            alarm: Alarm::new()?,
            suspend: SuspendWatch::new(clock::asleep()),
            ready: Ready::UNKNOWN,
        })
    }

    /// Works until it is told to stop, or cannot.
    pub(crate) fn run(mut self) -> Ended {
        loop {
            match self.round() {
                Ok(true) => (),
                Ok(false) => return Ended::Stopped,
                // The device was deleted: its descriptor stands for nothing any more.
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => return Ended::InterfaceGone,
                Err(error) => return Ended::Failed(error),
            }
        }
    }

    /// One round. False: it was told to stop.
    fn round(&mut self) -> io::Result<bool> {
        let at = clock::now();
        if !self.read_letters(at) {
            return Ok(false);
        }
        if self.suspend.was_suspended(clock::asleep()) {
            self.shard.suspended(at, &mut self.output);
        }
        let Some(sockets) = &self.sockets else {
            self.sleep(false)?;
            return Ok(true);
        };
        let mut busy = false;
        let ready = self.ready.sockets;
        if ready.contains(&true) || is_due(self.receiver.deadline(), at.now) {
            let outcome =
                self.receiver
                    .receive(at.now, ready, sockets, &mut self.shard, &mut self.received)?;
            busy = outcome.more;
            if outcome.errors > 0 {
                self.shard.count(Event::ReceiveError, outcome.errors);
            }
        }
        let mut received = std::mem::take(&mut self.received);
        for batch in received.drain(..) {
            self.shard.receive_now(at, batch, &mut self.output);
            self.deliver();
        }
        self.received = received;
        let data_comes = busy || !self.shard.is_quiet(at.now);
        self.shard.handshakes(at, data_comes, &mut self.output);
        self.shard.tick(at, &mut self.output);
        self.deliver();
        let wanted = self.ready.tun || is_due(self.intake.deadline(), at.now);
        let more = wanted
            && self
                .intake
                .collect(at, &self.queue, &mut self.shard, &mut self.output)?;
        self.send(at.now);
        self.hand_over();
        self.reporter.post(&mut self.output.notices);
        self.sleep(busy || more)?;
        Ok(true)
    }

    fn read_letters(&mut self, at: Moment) -> bool {
        let mut letters = std::mem::take(&mut self.letters);
        if let Some(mailbox) = self.mailbox() {
            mailbox.take(&mut letters);
        }
        let mut goes_on = true;
        for letter in letters.drain(..) {
            match letter {
                Letter::Command(command) => self.shard.command(at, command),
                Letter::Handover(_) if self.sockets.is_none() => self.shard.count(Event::HandoverRefused, 1),
                Letter::Handover(handover) => self.shard.take_over(at, handover, &mut self.output),
                Letter::Mtu(mtu) => self.shard.set_mtu(mtu),
                Letter::Sockets { fresh, taken } => {
                    match (self.sockets.is_some(), fresh.is_some()) {
                        (true, false) => self.shard.stop(),
                        (false, true) => self.shard.resume(at),
                        _ => (),
                    }
                    self.sockets = fresh;
                    self.receiver.begin_anew();
                    self.ready.sockets = [true; 2];
                    let _ = taken.try_send(());
                }
                // Who asked may have gone.
                Letter::Report { from, most, answer } => {
                    let _ = answer.try_send(self.shard.reports(at.now, from, most));
                }
                Letter::Counters(answer) => {
                    let (counters, handed_over) = (self.shard.counters().clone(), self.shard.handed_over());
                    let _ = answer.try_send((counters, handed_over, self.shard.staged_bytes()));
                }
                Letter::Known(taken) => drop(taken.try_send(())),
                Letter::Stop => goes_on = false,
            }
        }
        self.letters = letters;
        goes_on
    }

    /// Writes what came through the tunnel to the TUN, joined where it belongs together.
    fn deliver(&mut self) {
        let mut packets = std::mem::take(&mut self.output.packets);
        for batch in packets.drain(..) {
            let outcome = self.delivery.deliver(&batch, |pieces| self.queue.write(pieces));
            if outcome.refused > 0 {
                self.shard.count(Event::InterfaceRefused, outcome.refused);
            }
            if outcome.given_up > 0 {
                self.shard.count(Event::InterfaceUnjoined, outcome.given_up);
            }
            self.shard.recycle(batch);
        }
        self.output.packets = packets;
    }

    fn send(&mut self, now: Instant) {
        if self.output.datagrams.is_empty() {
            return;
        }
        if let Some(sockets) = &self.sockets {
            for (slot, cause) in self.sender.send(now, sockets, &self.output.datagrams) {
                self.shard.refused(&slot, cause);
            }
        }
        for batch in self.output.datagrams.drain(..) {
            self.shard.recycle(batch);
        }
    }

    fn hand_over(&mut self) {
        for (shard, handover) in self.output.handovers.drain(..) {
            let posted = self
                .mailboxes
                .get(usize::from(shard))
                .is_some_and(|mailbox| mailbox.post(Letter::Handover(handover)));
            if !posted {
                self.shard.count(Event::HandoverRefused, 1);
            }
        }
    }

    /// Looks what is readable; waits for it unless the worker is busy.
    fn sleep(&mut self, busy: bool) -> io::Result<()> {
        let Some(mailbox) = self.mailboxes.get(usize::from(self.shard.id())) else {
            return Ok(());
        };
        let timeout = if self.sockets.is_none() {
            None
        } else if busy {
            Some(Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            })
        } else {
            let deadlines = [
                self.shard.deadline(),
                self.shard.handshakes_due(),
                self.receiver.deadline(),
                self.intake.deadline(),
            ];
            self.alarm.set(deadlines.into_iter().flatten().min())?;
            self.alarm.timer().timeout(|| clock::now().now)
        };
        let (tun_flags, [v4, v6]) = match &self.sockets {
            Some(sockets) => (PollFlags::IN, self.receiver.awake(sockets)),
            // Nothing is read; but the interface may be deleted, and the kernel wakes nobody who waits for errors alone.
            None => (PollFlags::PRI, [None, None]),
        };
        let is_down = self.sockets.is_none();
        let tun = Some(self.queue.as_fd()).filter(|_| is_down || self.intake.is_awake());
        let timer = self.alarm.timer().descriptor().filter(|_| !is_down);
        // A place without a descriptor watches the mailbox for nothing.
        let wanted = PollFlags::IN;
        let watched = [
            (Some(mailbox.as_fd()), wanted),
            (tun, tun_flags),
            (v4, wanted),
            (v6, wanted),
            (timer, wanted),
        ];
        let mut fds = watched.map(|(fd, flags)| {
            let flags = if fd.is_some() { flags } else { PollFlags::empty() };
            PollFd::from_borrowed_fd(fd.unwrap_or(mailbox.as_fd()), flags)
        });
        if !wait(&mut fds, timeout.as_ref())? {
            self.ready = Ready::UNKNOWN;
            return Ok(());
        }
        let [_, tun, ..] = &fds;
        if is_down && tun.revents().contains(PollFlags::ERR) {
            return Err(Errno::BADFD.into());
        }
        let [letters, tun, v4, v6, _] = fds.map(|fd| !fd.revents().is_empty());
        self.ready = Ready {
            sockets: [v4, v6],
            tun,
        };
        if letters {
            mailbox.rest();
        }
        Ok(())
    }

    fn mailbox(&self) -> Option<&Mailbox> {
        self.mailboxes.get(usize::from(self.shard.id()))
    }
}

fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}
