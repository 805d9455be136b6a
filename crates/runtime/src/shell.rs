//! The thread that carries packets between sockets, engine and interface.
//!
//! # Theory
//!
//! One thread does everything for an interface: it sleeps until a socket is readable, a timer is due or somebody
//! wakes it; then it runs to completion. System calls are made outside the lock; inside it are only the state
//! machines. The lock is taken once for a round of batches, never for a packet, and it is the only one: whoever
//! configures, reads or writes takes it for that call. Nobody sleeps while holding it, except a thread that forks
//! (see [`crate::fork`]). An interface that reaches outside by the host's sockets has another one for those, for which nobody
//! waits but who forks (see [`crate::outside`]).

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, iter};

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use wirewright_engine::{Batch, Engine, Event, Moment, Notice, Output};
use wirewright_protocol::{Instant, PublicKey};

use crate::alarm::{Alarm, Timer};
use crate::clock;
use crate::fork::{self, Forkable};
use crate::outside::{Orders, Outside, Reports, Table};
use crate::random::OsRandom;
use crate::suspend::SuspendWatch;
use crate::udp::{Received, Receiving, Sending, UdpSockets};
use crate::waker::Waker;

/// The plaintext side of an interface.
pub trait Interface: Send + 'static {
    /// Takes packets that came through the tunnel. `owner` tells to which peer an address belongs.
    fn deliver(&mut self, at: Moment, packets: &Batch, owner: Owner<'_>);
    /// Fills `batch` with packets that are to go through the tunnel. True if there are more.
    fn collect(&mut self, at: Moment, batch: &mut Batch) -> bool;
    /// When [`Interface::collect`] wants to be called at the latest.
    fn deadline(&self) -> Option<Instant>;
    /// Learns news of a peer.
    fn notice(&mut self, notice: Notice);
    /// The shell ended by itself.
    fn stopped(&mut self, reason: &str);
    /// Whether the user has something to fetch.
    fn has_events(&self) -> bool;
    /// Learns what the host's sockets tell.
    fn reported(&mut self, _at: Moment, _reports: &Reports) {}
    /// Says what they are to do. `orders` is empty.
    fn order(&mut self, _at: Moment, _orders: &mut Orders) {}
}

/// To which peer packets for an address go.
pub type Owner<'a> = &'a dyn Fn(IpAddr) -> Option<PublicKey>;

/// What the lock protects.
pub struct State<I> {
    /// The state machines of WireGuard.
    pub engine: Engine<OsRandom>,
    /// The plaintext side.
    pub interface: I,
    /// What configuring left to be done; the thread does it.
    pub output: Output,
    /// The thread has them too, but ends before they are dropped here: then the port is free.
    sockets: Arc<UdpSockets>,
}

/// An interface with its thread. Dropping it ends both.
pub struct Shell<I: Interface> {
    shared: Arc<Shared<I>>,
    port: u16,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The process that started the thread.
    process: u32,
}

struct Shared<I> {
    state: Arc<Mutex<Option<State<I>>>>,
    /// Wakes the thread.
    kick: Waker,
    /// Wakes the user.
    user: Waker,
    /// The host's sockets, if the interface has use for them.
    outside: Option<Arc<Outside>>,
    stop: AtomicBool,
    /// There is nothing behind the lock any more, and in a forked child nobody who would unlock it.
    closed: AtomicBool,
}

/// Batches received in one round: with receive offload up to 64 KiB each.
const RECEIVE_BATCHES: usize = 8;
const RECEIVE_BYTES: usize = 65_536;
/// Bytes that the host's sockets are read in one round, one datagram of any length at least.
const OUTSIDE_BYTES: usize = 512 << 10;
/// A pause where the system cannot even put the thread to sleep.
const BREATH: Duration = Duration::from_millis(1);
/// Rounds of collecting before the sockets are looked at again.
const COLLECT_ROUNDS: usize = 16;

impl<I: Interface> Shell<I> {
    /// Starts a thread for an interface, which reaches the host's network if it is given an `outside`.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptors or threads left.
    pub fn start(
        engine: Engine<OsRandom>,
        interface: I,
        sockets: UdpSockets,
        outside: Option<Outside>,
    ) -> io::Result<Self> {
        let port = sockets.port();
        let (sockets, outside) = (Arc::new(sockets), outside.map(Arc::new));
        let mut worker = Worker::new(sockets.clone(), outside.clone())?;
        let state = State {
            engine,
            interface,
            output: Output::default(),
            sockets,
        };
        let shared = Arc::new(Shared {
            state: Arc::new(Mutex::new(Some(state))),
            kick: Waker::new()?,
            user: Waker::new()?,
            outside,
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        fork::register(&shared);
        let its = shared.clone();
        let begun = Arc::new(Barrier::new(2));
        let its_begun = begun.clone();
        let thread = std::thread::Builder::new()
            .name("wirewright".into())
            .spawn(move || {
                its_begun.wait();
                its.run(&mut worker);
            })?;
        // See `fork::while_making`.
        begun.wait();
        Ok(Self {
            shared,
            port,
            thread: Mutex::new(Some(thread)),
            process: std::process::id(),
        })
    }

    /// Works with the state machines, and wakes the thread to do what follows. `None` if the interface is closed.
    pub fn with<T>(&self, work: impl FnOnce(Moment, &mut State<I>) -> T) -> Option<T> {
        let result = self.look(work)?;
        self.shared.kick.wake();
        Some(result)
    }

    /// Works with the state machines where nothing is to follow. `None` if the interface is closed.
    pub fn look<T>(&self, work: impl FnOnce(Moment, &mut State<I>) -> T) -> Option<T> {
        if self.is_closed() {
            return None;
        }
        let mut guard = self.shared.state.lock();
        guard.as_mut().map(|state| work(clock::now(), state))
    }

    /// Whether the interface was closed, in this process or by a fork. Never waits.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// The outer UDP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many sockets of the host the interface may have.
    #[must_use]
    pub fn places(&self) -> usize {
        self.shared.outside.as_ref().map_or(0, |outside| outside.places())
    }

    /// The waker that tells the user that there is something to fetch.
    #[must_use]
    pub fn user(&self) -> &Waker {
        &self.shared.user
    }

    /// Ends the thread, wipes all keys and frees the port. Calling it again does nothing.
    pub fn close(&self) {
        // A forked child: all is wiped, and neither lock nor thread can be waited for. Nor is there anything to wait for
        // once all is done: the last holder may hold the interpreter, for which a thread that forks waits with the lock.
        if self.process != std::process::id() || self.is_closed() {
            return;
        }
        self.shared.stop.store(true, Ordering::Release);
        self.shared.kick.wake();
        let _whole = fork::while_making();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        drop(self.shared.state.lock().take());
        if let Some(outside) = &self.shared.outside {
            outside.table().lock().clear();
        }
        self.shared.closed.store(true, Ordering::Release);
        self.shared.user.wake();
    }
}

impl<I: Interface> Drop for Shell<I> {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread owns.
struct Worker {
    sockets: Arc<UdpSockets>,
    alarm: Alarm,
    batches: Vec<Batch>,
    datagrams: Vec<Batch>,
    receiving: Receiving,
    sending: Sending,
    suspend: SuspendWatch,
    outside: Option<Arc<Outside>>,
    orders: Orders,
    reports: Reports,
}

/// What a round of the state machines leaves to the thread.
struct Round {
    at: Instant,
    deadline: Option<Instant>,
    /// There is more to do at once.
    busy: bool,
}

impl Worker {
    fn new(sockets: Arc<UdpSockets>, outside: Option<Arc<Outside>>) -> io::Result<Self> {
        Ok(Self {
            sockets,
            alarm: Alarm::new()?,
            batches: (0..RECEIVE_BATCHES)
                .map(|_| Batch::new(1, RECEIVE_BYTES))
                .collect(),
            datagrams: Vec::new(),
            receiving: Receiving::default(),
            sending: Sending::default(),
            suspend: SuspendWatch::new(clock::asleep()),
            orders: Orders::default(),
            reports: Reports::new(outside.as_ref().map_or(0, |_| OUTSIDE_BYTES)),
            outside,
        })
    }

    /// Lets the host's sockets tell what they have.
    fn look_outside(&mut self) {
        if let Some(outside) = &self.outside {
            outside.table().lock().look(&mut self.reports);
        }
    }

    /// Does what was ordered outside. True if there is more to do at once.
    fn work_outside(&mut self) -> bool {
        let Some(outside) = &self.outside else {
            return false;
        };
        if self.orders.is_empty() && self.reports.is_empty() {
            return outside.table().lock().has_work();
        }
        let mut table = outside.table().lock();
        table.perform(&mut self.orders, &mut self.reports);
        table.has_work() || !self.reports.is_empty()
    }

    /// Sends what the state machines made.
    fn send(&mut self, at: Instant) {
        for batch in &self.datagrams {
            self.sockets.send(batch, &mut self.sending, at);
        }
    }

    /// Sleeps until a socket is readable, `kick` is woken or the deadline is there.
    fn sleep(&mut self, kick: &Waker, deadline: Option<Instant>) -> io::Result<()> {
        self.alarm.set(earlier(deadline, self.receiving.deadline()))?;
        let timer = self.alarm.timer();
        let mut fds: Vec<PollFd<'_>> = iter::once(kick.as_fd())
            .chain(timer.descriptor())
            .chain(self.outside.iter().map(|outside| outside.descriptor()))
            .chain(self.sockets.descriptors(&self.receiving))
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        match poll(&mut fds, timer.timeout(|| clock::now().now).as_ref()) {
            Ok(_) | Err(Errno::INTR) => (),
            // poll(2): memory of the kernel is short, for a while.
            Err(Errno::NOMEM | Errno::AGAIN) => std::thread::sleep(BREATH),
            Err(error) => return Err(error.into()),
        }
        if fds.first().is_some_and(|kick| !kick.revents().is_empty()) {
            kick.rest();
        }
        Ok(())
    }
}

impl<I: Interface> Shared<I> {
    /// The thread. A panic would be our mistake; it must not leave a user waiting for ever.
    fn run(&self, worker: &mut Worker) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve(worker)));
        let reason = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!(
                "the socket of the tunnel's UDP port {} can be used no more ({error}); close the tunnel and open it again",
                worker.sockets.port()
            ),
            Err(_) => "the tunnel's thread met an internal error".to_owned(),
        };
        if let Some(state) = self.state.lock().as_mut() {
            state.interface.stopped(&reason);
        }
        self.user.wake();
    }

    fn serve(&self, worker: &mut Worker) -> io::Result<()> {
        loop {
            // Asked before the round: what its user did before the end, such as to reset a connection, still leaves, or the
            // other end would wait for it for minutes.
            let is_last = self.stop.load(Ordering::Acquire);
            let received = worker
                .sockets
                .receive(&mut worker.batches, &mut worker.receiving, || clock::now().now)?;
            worker.look_outside();
            let Some(round) = self.round(worker, received) else {
                return Ok(());
            };
            worker.send(round.at);
            if !worker.sending.unsent.is_empty() {
                self.count_unsent(&mut worker.sending);
            }
            let outside = worker.work_outside();
            if is_last {
                return Ok(());
            }
            if !round.busy && !outside && received.batches < RECEIVE_BATCHES {
                worker.sleep(&self.kick, round.deadline)?;
            }
        }
    }

    /// All work of the state machines for what was received. `None` once closed.
    fn round(&self, worker: &mut Worker, received: Received) -> Option<Round> {
        let mut guard = self.state.lock();
        let state = guard.as_mut()?;
        let at = clock::now();
        if worker.suspend.was_suspended(clock::asleep()) {
            state.engine.suspended(at, &mut state.output);
        }
        if received.errors > 0 {
            state.engine.count(Event::ReceiveError, received.errors);
        }
        for sent in worker.datagrams.drain(..) {
            state.engine.recycle(sent);
        }
        for place in worker.batches.iter_mut().take(received.batches) {
            let fresh = state.engine.receive_batch(RECEIVE_BYTES);
            let batch = std::mem::replace(place, fresh);
            if batch.is_empty() {
                // A datagram without a byte is a message of no length, which the engine does not see.
                state.engine.count(Event::BadLength, 1);
            }
            state.engine.receive(at, batch, &mut state.output);
            state.deliver(at);
        }
        // More than a full round waits, or data is on its way: handshakes must not take the time of established sessions.
        let busy = received.batches == RECEIVE_BATCHES || !state.engine.is_quiet(at.now);
        state.engine.handshakes(at, busy, &mut state.output);
        state.engine.tick(at, &mut state.output);
        state.deliver(at);
        state.interface.reported(at, &worker.reports);
        worker.reports.clear();
        let more = state.collect(at);
        state.deliver(at);
        if worker.outside.is_some() {
            state.interface.order(at, &mut worker.orders);
        }
        worker.datagrams.append(&mut state.output.datagrams);
        if state.interface.has_events() {
            self.user.wake();
        }
        // Handshakes that must wait for their time are no reason to stay awake.
        let handshakes = state.engine.handshakes_due();
        let deadline = earlier(state.engine.deadline(), state.interface.deadline());
        Some(Round {
            at: at.now,
            deadline: earlier(deadline, handshakes.map(coarse)),
            busy: more || handshakes.is_some_and(|due| due <= at.now),
        })
    }

    fn count_unsent(&self, sending: &mut Sending) {
        if let Some(state) = self.state.lock().as_mut() {
            for (datagram, cause) in sending.unsent.drain(..) {
                state.engine.refused(&datagram, cause);
            }
        }
    }
}

/// The next of moments that lie 8 ms apart. When a handshake has been paid for changes with each datagram, and to set a
/// timer for each would cost more than to read it.
fn coarse(due: Instant) -> Instant {
    const STEP: u64 = 1 << 23;
    Instant::from_nanos(due.as_nanos().checked_next_multiple_of(STEP).unwrap_or(u64::MAX))
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

impl<I: Interface> State<I> {
    /// Gives the interface what came for it.
    fn deliver(&mut self, at: Moment) {
        for batch in self.output.packets.drain(..) {
            let engine = &self.engine;
            self.interface
                .deliver(at, &batch, &|address| engine.owner(address));
            self.engine.recycle(batch);
        }
        for notice in self.output.notices.drain(..) {
            self.interface.notice(notice);
        }
    }

    /// Sends what the interface has; true if it has still more.
    fn collect(&mut self, at: Moment) -> bool {
        for _ in 0..COLLECT_ROUNDS {
            let Some(mut batch) = self.engine.batch() else {
                return false;
            };
            let more = self.interface.collect(at, &mut batch);
            if batch.is_empty() {
                self.engine.recycle(batch);
                return false;
            }
            self.engine.send(at, batch, &mut self.output);
            if !more {
                return false;
            }
        }
        true
    }
}

/// What a thread that forks holds: the interface, and its sockets outside.
type Guards<I> = (
    ArcMutexGuard<RawMutex, Option<State<I>>>,
    Option<ArcMutexGuard<RawMutex, Table>>,
);

impl<I: Interface> Forkable for Shared<I> {
    fn lock(&self) -> Box<dyn std::any::Any> {
        let state = self.state.lock_arc();
        let outside = self.outside.as_ref().map(|outside| outside.table().lock_arc());
        let guards: Guards<I> = (state, outside);
        Box::new(guards)
    }

    fn wipe(&self, guard: Box<dyn std::any::Any>) {
        self.closed.store(true, Ordering::Release);
        self.stop.store(true, Ordering::Release);
        if let Ok(mut guards) = guard.downcast::<Guards<I>>() {
            let (state, table) = &mut *guards;
            if let Some(state) = state.take() {
                state.sockets.part_from_parent();
            }
            if let (Some(outside), Some(table)) = (&self.outside, table) {
                outside.part_from_parent(table);
            }
            // Not unlocked: whoever waited for the locks is not in this process.
            std::mem::forget(guards);
        }
        self.kick.part_from_parent();
        self.user.part_from_parent();
        self.user.wake();
    }
}

#[cfg(test)]
mod tests;
