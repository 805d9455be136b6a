//! The thread that carries packets between sockets, engine and interface.
//!
//! # Theory
//!
//! One thread does everything for an interface: it sleeps until a socket is readable, a timer is due or somebody
//! wakes it; then it runs to completion. System calls are made outside the lock; inside it are only the state
//! machines. The lock is taken once for a round of batches, never for a packet, and it is the only one: whoever
//! configures, reads or writes takes it for that call. Nobody sleeps while holding it, except a thread that forks
//! (see [`crate::fork`]).

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirewright_engine::{Batch, Engine, Event, Moment, Notice, Output};
use wirewright_protocol::Instant;

use crate::clock;
use crate::fork::{self, Forkable};
use crate::random::OsRandom;
use crate::udp::{Scratch, UdpSockets};
use crate::waker::Waker;

/// The plaintext side of an interface.
pub trait Interface: Send + 'static {
    /// Takes packets that came through the tunnel.
    fn deliver(&mut self, at: Moment, packets: &Batch);
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
}

/// What the lock protects.
pub struct State<I> {
    /// The state machines of WireGuard.
    pub engine: Engine<OsRandom>,
    /// The plaintext side.
    pub interface: I,
    /// What configuring left to be done; the thread does it.
    pub output: Output,
}

/// An interface with its thread. Dropping it ends both.
pub struct Shell<I: Interface> {
    shared: Arc<Shared<I>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The process that started the thread.
    process: u32,
}

struct Shared<I> {
    state: Arc<Mutex<Option<State<I>>>>,
    sockets: UdpSockets,
    /// Wakes the thread.
    kick: Waker,
    /// Wakes the user.
    user: Waker,
    stop: AtomicBool,
    /// There is nothing behind the lock any more, and in a forked child nobody who would unlock it.
    closed: AtomicBool,
}

/// Batches received in one round: with receive offload up to 64 KiB each.
const RECEIVE_BATCHES: usize = 8;
const RECEIVE_BYTES: usize = 65_536;
/// Rounds of collecting before the sockets are looked at again.
const COLLECT_ROUNDS: usize = 16;

impl<I: Interface> Shell<I> {
    /// Starts a thread for an interface.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptors or threads left.
    pub fn start(engine: Engine<OsRandom>, interface: I, sockets: UdpSockets) -> io::Result<Self> {
        let state = State {
            engine,
            interface,
            output: Output::default(),
        };
        let shared = Arc::new(Shared {
            state: Arc::new(Mutex::new(Some(state))),
            sockets,
            kick: Waker::new()?,
            user: Waker::new()?,
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        fork::register(&shared);
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("wirewright".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
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
        self.shared.sockets.port()
    }

    /// The waker that tells the user that there is something to fetch.
    #[must_use]
    pub fn user(&self) -> &Waker {
        &self.shared.user
    }

    /// Ends the thread and wipes all keys. Calling it again does nothing.
    pub fn close(&self) {
        if self.process != std::process::id() {
            // A forked child: all is wiped, and neither lock nor thread can be waited for.
            return;
        }
        self.shared.stop.store(true, Ordering::Release);
        self.shared.kick.wake();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.shared.closed.store(true, Ordering::Release);
        drop(self.shared.state.lock().take());
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
    batches: Vec<Batch>,
    datagrams: Vec<Batch>,
    scratch: Scratch,
}

impl<I: Interface> Shared<I> {
    /// The thread. A panic would be our mistake; it must not leave a user waiting for ever.
    fn run(&self) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve()));
        let reason = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("the tunnel's socket failed: {error}"),
            Err(_) => "the tunnel's thread met an internal error".to_owned(),
        };
        if let Some(state) = self.state.lock().as_mut() {
            state.interface.stopped(&reason);
        }
        self.user.wake();
    }

    fn serve(&self) -> io::Result<()> {
        let mut worker = Worker {
            batches: (0..RECEIVE_BATCHES)
                .map(|_| Batch::new(1, RECEIVE_BYTES))
                .collect(),
            datagrams: Vec::new(),
            scratch: Scratch::default(),
        };
        let mut busy = false;
        while !self.stop.load(Ordering::Acquire) {
            let received = self.sockets.receive(&mut worker.batches)?;
            let Some(next) = self.round(&mut worker, received, &mut busy) else {
                return Ok(());
            };
            for batch in &worker.datagrams {
                let failed = self.sockets.send(batch, &mut worker.scratch);
                if failed > 0 {
                    self.count_failed(failed);
                }
            }
            if !busy && received < RECEIVE_BATCHES {
                self.sleep(next)?;
            }
        }
        Ok(())
    }

    /// All work of the state machines for what was received. Returns the next deadline; `None` once closed.
    fn round(&self, worker: &mut Worker, received: usize, busy: &mut bool) -> Option<Option<Instant>> {
        let mut guard = self.state.lock();
        let state = guard.as_mut()?;
        let at = clock::now();
        for sent in worker.datagrams.drain(..) {
            state.engine.recycle(sent);
        }
        for place in worker.batches.iter_mut().take(received) {
            let fresh = state.engine.receive_batch(RECEIVE_BYTES);
            let batch = std::mem::replace(place, fresh);
            state.engine.receive(at, batch, &mut state.output);
            state.deliver(at);
        }
        // More than a full round waits: handshakes must not take the time of established sessions.
        state
            .engine
            .handshakes(at, received == RECEIVE_BATCHES, &mut state.output);
        state.engine.tick(at, &mut state.output);
        state.deliver(at);
        let more = state.collect(at);
        state.deliver(at);
        *busy = more || state.engine.has_handshakes();
        worker.datagrams.append(&mut state.output.datagrams);
        if state.interface.has_events() {
            self.user.wake();
        }
        Some(
            [state.engine.deadline(), state.interface.deadline()]
                .into_iter()
                .flatten()
                .min(),
        )
    }

    fn count_failed(&self, failed: u64) {
        if let Some(state) = self.state.lock().as_mut() {
            state.engine.count(Event::SendError, failed);
        }
    }

    fn sleep(&self, deadline: Option<Instant>) -> io::Result<()> {
        let timeout = deadline.map(|deadline| {
            let wait = deadline.saturating_since(clock::now().now);
            Timespec {
                tv_sec: wait.as_secs().min(3600) as i64,
                tv_nsec: wait.subsec_nanos().into(),
            }
        });
        let mut fds: Vec<PollFd<'_>> = self
            .sockets
            .descriptors()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        fds.push(PollFd::from_borrowed_fd(self.kick.as_fd(), PollFlags::IN));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
        if fds.last().is_some_and(|kick| !kick.revents().is_empty()) {
            self.kick.rest();
        }
        Ok(())
    }
}

impl<I: Interface> State<I> {
    /// Gives the interface what came for it.
    fn deliver(&mut self, at: Moment) {
        for batch in self.output.packets.drain(..) {
            self.interface.deliver(at, &batch);
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

impl<I: Interface> Forkable for Shared<I> {
    fn lock(&self) -> Box<dyn std::any::Any> {
        let guard: ArcMutexGuard<RawMutex, Option<State<I>>> = self.state.lock_arc();
        Box::new(guard)
    }

    fn wipe(&self, guard: Box<dyn std::any::Any>) {
        self.closed.store(true, Ordering::Release);
        self.stop.store(true, Ordering::Release);
        if let Ok(mut guard) = guard.downcast::<ArcMutexGuard<RawMutex, Option<State<I>>>>() {
            drop(guard.take());
            // Not unlocked: whoever waited for the lock is not in this process.
            std::mem::forget(guard);
        }
        self.sockets.part_from_parent();
        self.kick.part_from_parent();
        self.user.part_from_parent();
        self.user.wake();
    }
}
