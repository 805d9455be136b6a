//! One TCP connection: its state machine ([`crate::tcp`]), and what we know besides.
//!
//! ```text
//!  connect ──► Connecting ──┐
//!                           ├──► Established ──► Over(why)
//!  SYN ──────► HalfOpen ────┘         both directions done (TIME-WAIT included), reset, aborted, or timed out
//! ```
//!
//! The timeouts here run only while something is owed: an answer to a SYN, an acknowledgement of data or of a FIN, an
//! answer to a probe. A connection that is merely idle stays.

use core::time::Duration;
use std::io;

use wirewright_protocol::Instant;

use crate::config::Timing;
use crate::demux::{Segment, Tuple};
use crate::device::{PacketSink, Sent};
use crate::event::{CloseReason, ConnectFailure, Unreachable};
use crate::outbox::Outbox;
use crate::slots::Handle;
use crate::tcp::{Egress, Machine, NoMore, Setup, State};
use crate::time_wait::Rest;

/// No connection is looked at more often than this for the sake of time alone.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// TIME-WAIT. Not twice the longest life of a segment (RFC 9293 3.4.2), which would be minutes: in a tunnel none lives long,
/// and numbers are chosen so that an old one is known for what it is (RFC 6528).
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct Connection {
    machine: Machine,
    phase: Phase,
    /// The listener it came from, until it is accepted.
    pub(crate) listener: Option<Handle>,
    /// What it is one half of, if it is carried: nobody accepts it, and its events are the stack's own.
    pub(crate) carried: Option<Handle>,
    /// Nobody holds its name any more.
    pub(crate) released: bool,
    /// Whoever released it was told that all of it arrived, or never will.
    delivered: bool,
    /// Whether it stands in the 4-tuple table.
    pub(crate) reachable: bool,
    /// Whether it stands in the list of connections with work.
    pub(crate) ready: bool,
    /// Whether it stands in the queue of events.
    pub(crate) listed: bool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) pending: Pending,
    /// A read found nothing, or none was tried: its next success is an event.
    wants_read: bool,
    /// A write was cut short.
    wants_write: bool,
    /// `shutdown` was called, perhaps before there was a stream to end.
    shut_down: bool,
    /// The phase must be left by then.
    phase_until: Option<Instant>,
    entered_time_wait: Option<Instant>,
    /// Since when an answer is owed.
    unanswered_since: Option<Instant>,
    heard: Instant,
    /// Bytes waiting for acknowledgement when last looked at, to see progress.
    send_queue: usize,
    verdict: Option<CloseReason>,
    soft_error: Option<Unreachable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    HalfOpen,
    Established,
    Over(CloseReason),
}

/// Events that wait to be told, one bit each.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pending {
    pub(crate) connected: bool,
    pub(crate) failed: Option<ConnectFailure>,
    pub(crate) unreachable: Option<Unreachable>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) closed: Option<CloseReason>,
}

impl Pending {
    pub(crate) fn any(&self) -> bool {
        self.connected
            || self.readable
            || self.writable
            || self.failed.is_some()
            || self.unreachable.is_some()
            || self.closed.is_some()
    }
}

/// What an observation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Established,
    /// A connection of ours came to nothing.
    Failed,
    /// A handshake with a listener came to nothing.
    Dropped,
    /// An established connection is over.
    Closed(CloseReason),
}

pub(crate) enum Received {
    Data(usize),
    Nothing,
    End,
    Failed(CloseReason),
}

impl Connection {
    /// Will send a SYN.
    pub(crate) fn connect(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        let machine = Machine::connect(setup, tuple, now)?;
        Ok(Self::new(
            machine,
            Phase::Connecting,
            None,
            now,
            setup.timing.connect,
        ))
    }

    /// Will take a SYN.
    pub(crate) fn listen(setup: &Setup<'_>, tuple: Tuple, from: Handle, now: Instant) -> io::Result<Self> {
        let machine = Machine::listen(setup, tuple, now)?;
        Ok(Self::new(
            machine,
            Phase::HalfOpen,
            Some(from),
            now,
            setup.timing.accept,
        ))
    }

    /// Will take the SYN of a connection that is carried.
    pub(crate) fn carry(setup: &Setup<'_>, tuple: Tuple, carried: Handle, now: Instant) -> io::Result<Self> {
        let machine = Machine::listen(setup, tuple, now)?;
        let mut connection = Self::new(machine, Phase::HalfOpen, None, now, setup.timing.accept);
        connection.carried = Some(carried);
        Ok(connection)
    }

    fn new(
        machine: Machine,
        phase: Phase,
        listener: Option<Handle>,
        now: Instant,
        patience: Duration,
    ) -> Self {
        Self {
            machine,
            phase,
            listener,
            carried: None,
            released: false,
            delivered: false,
            reachable: true,
            ready: false,
            listed: false,
            deadline: None,
            pending: Pending::default(),
            wants_read: true,
            wants_write: false,
            shut_down: false,
            phase_until: Some(now + patience),
            entered_time_wait: None,
            unanswered_since: None,
            heard: now,
            send_queue: 0,
            verdict: None,
            soft_error: None,
        }
    }

    pub(crate) fn tuple(&self) -> Tuple {
        self.machine.tuple
    }

    /// Processes one segment, of which `payload` are the bytes. What it provokes at once (a duplicate acknowledgement, say) goes to the outbox.
    pub(crate) fn ingress(&mut self, now: Instant, payload: &[u8], segment: &Segment, outbox: &mut Outbox) {
        self.heard = now;
        if self.unanswered_since.is_some() {
            self.unanswered_since = Some(now);
        }
        self.machine.ingress(now, payload, segment, outbox);
        if segment.rst && matches!(self.machine.state(), State::Closed | State::Listen) {
            self.verdict = self.verdict.or(Some(CloseReason::Reset));
        }
        // Nobody will read what still comes, and a sender must learn that (RFC 9293 3.10.4, RFC 2525 2.17).
        if self.released && segment.payload_len > 0 && self.machine.can_read() {
            self.abort(CloseReason::Aborted);
        }
    }

    /// Sends what there is to send, for one turn.
    pub(crate) fn egress(&mut self, now: Instant, sink: &mut impl PacketSink) -> (Egress, Sent) {
        self.machine.egress(now, sink)
    }

    /// Ends what has taken too long.
    pub(crate) fn expire(&mut self, now: Instant, timing: &Timing) {
        if self.is_over() {
            return;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.phase_until) || due(self.unanswered_until(timing)) || due(self.probed_until(timing)) {
            self.abort(CloseReason::TimedOut);
        }
    }

    /// Looks what has become of it: notes events, leaves phases, starts and stops clocks.
    pub(crate) fn observe(&mut self, now: Instant, timing: &Timing) -> Change {
        let (state, readable) = (self.machine.state(), self.machine.can_read());
        let (send_queue, capacity) = self.machine.backlog();
        let room = capacity - send_queue;
        let change = self.advance(state, now);
        self.watch_progress(state, send_queue, now, timing);
        if matches!(self.phase, Phase::Connecting | Phase::HalfOpen) || change == Change::Failed {
            return change;
        }
        if self.wants_read && (readable || has_ended(state)) {
            self.wants_read = false;
            self.pending.readable = true;
        }
        // A quarter at once: a wake-up for each acknowledged segment would cost more than it brings.
        if self.wants_write && room >= capacity / 4 && matches!(state, State::Established | State::CloseWait)
        {
            self.wants_write = false;
            self.pending.writable = true;
        }
        change
    }

    fn advance(&mut self, state: State, now: Instant) -> Change {
        match (self.phase, state) {
            (Phase::Connecting, State::SynSent | State::SynReceived) => Change::None,
            (Phase::HalfOpen, State::SynReceived) => Change::None,
            (Phase::Connecting, State::Closed) => {
                self.pending.failed = Some(self.failure());
                self.phase = Phase::Over(self.verdict.unwrap_or(CloseReason::Reset));
                Change::Failed
            }
            (Phase::HalfOpen, State::Closed | State::Listen) => {
                self.phase = Phase::Over(self.verdict.unwrap_or(CloseReason::Reset));
                self.pending.failed = self.carried.map(|_| self.failure());
                Change::Dropped
            }
            (Phase::Connecting | Phase::HalfOpen, _) => {
                self.pending.connected = self.phase == Phase::Connecting || self.carried.is_some();
                self.pending.unreachable = None;
                self.phase = Phase::Established;
                self.phase_until = None;
                if self.shut_down {
                    self.shutdown();
                }
                Change::Established
            }
            (Phase::Established, State::Closed | State::TimeWait) => {
                let reason = self.verdict.unwrap_or(CloseReason::Finished);
                self.phase = Phase::Over(reason);
                self.pending.closed = Some(reason);
                self.entered_time_wait = (state == State::TimeWait).then_some(now);
                self.phase_until = self.entered_time_wait.map(|entered| entered + TIME_WAIT);
                Change::Closed(reason)
            }
            _ => Change::None,
        }
    }

    fn watch_progress(&mut self, state: State, send_queue: usize, now: Instant, timing: &Timing) {
        let unacknowledged =
            send_queue > 0 || matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        let owed = unacknowledged && !self.is_over();
        self.unanswered_since = if owed {
            self.unanswered_since.or(Some(now))
        } else {
            None
        };
        let lingers = self.released && self.phase == Phase::Established;
        if lingers && (send_queue < self.send_queue || self.phase_until.is_none()) {
            self.phase_until = Some(now + timing.fin_wait);
        }
        self.send_queue = send_queue;
    }

    fn failure(&self) -> ConnectFailure {
        match (self.verdict, self.soft_error) {
            (Some(CloseReason::Reset), _) => ConnectFailure::Refused,
            (Some(CloseReason::Aborted), _) => ConnectFailure::Aborted,
            (_, Some(kind)) => ConnectFailure::Unreachable(kind),
            _ => ConnectFailure::TimedOut,
        }
    }

    /// When to look at it again without a packet.
    pub(crate) fn next_deadline(&mut self, now: Instant, timing: &Timing) -> Option<Instant> {
        if self.has_left(now) {
            return None;
        }
        let wanted = self.machine.poll_at().map(|at| at.max(now + LEAST_WAIT));
        let ours = [
            self.phase_until,
            self.unanswered_until(timing),
            self.probed_until(timing),
            self.rest_from(timing),
            wanted,
        ];
        ours.into_iter().flatten().min()
    }

    fn unanswered_until(&self, timing: &Timing) -> Option<Instant> {
        self.unanswered_since.map(|since| since + timing.unanswered)
    }

    fn probed_until(&self, timing: &Timing) -> Option<Instant> {
        let keepalive = timing.keepalive.filter(|_| self.phase == Phase::Established)?;
        Some(
            self.heard
                + keepalive
                    .interval
                    .saturating_mul(keepalive.probes.saturating_add(1)),
        )
    }

    /// Ends it at once. Except before the remote side answered, a reset tells it.
    pub(crate) fn abort(&mut self, reason: CloseReason) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.verdict = self.verdict.or(Some(reason));
        }
        self.machine.abort();
    }

    /// Sends a FIN behind what was written.
    pub(crate) fn shutdown(&mut self) {
        self.shut_down = true;
        if self.phase == Phase::Established {
            self.machine.close();
        }
    }

    /// Nobody holds the name any more.
    pub(crate) fn release(&mut self) {
        self.released = true;
        self.pending = Pending::default();
        let unread = self.machine.can_read();
        match self.phase {
            Phase::Established if unread => self.abort(CloseReason::Aborted),
            Phase::Established => self.shutdown(),
            Phase::Connecting | Phase::HalfOpen => self.abort(CloseReason::Aborted),
            Phase::Over(_) => {}
        }
    }

    /// Whether all that was written arrived, or never will. True once for each released connection.
    pub(crate) fn take_delivered(&mut self) -> bool {
        let state = self.machine.state();
        let done = matches!(state, State::FinWait2 | State::TimeWait | State::Closed);
        let news = self.released && done && !self.delivered;
        self.delivered |= news;
        news
    }

    /// Whether it can be forgotten: nothing to send, nothing to wait for, nobody to tell.
    pub(crate) fn is_spent(&mut self, now: Instant) -> bool {
        self.released && self.has_left(now)
    }

    /// Whether packets for its 4-tuple are no longer its business.
    pub(crate) fn has_left(&mut self, now: Instant) -> bool {
        if !matches!(self.phase, Phase::Over(_)) {
            return false;
        }
        let time_is_up = self.phase_until.is_some_and(|until| until <= now);
        match self.machine.state() {
            State::TimeWait => time_is_up,
            State::Closed => self.machine.is_told(),
            _ => true,
        }
    }

    /// Whether it is over, or only waits in TIME-WAIT.
    pub(crate) fn is_past(&mut self, now: Instant) -> bool {
        self.has_left(now) || self.waits()
    }

    /// Gives its 4-tuple up, and says what is left to remember if it was in TIME-WAIT. What it received can still be
    /// read.
    pub(crate) fn leave(&mut self, now: Instant) -> Option<Rest> {
        let until = self.phase_until.filter(|until| *until > now && self.waits());
        self.reachable = false;
        self.phase_until = Some(now);
        until.map(|until| self.rest_until(until))
    }

    /// What is left of it if nobody holds it and it only waits in TIME-WAIT, and has done so for long enough that
    /// the last acknowledgement has left.
    pub(crate) fn rest(&mut self, now: Instant, timing: &Timing) -> Option<Rest> {
        if !self.reachable || self.rest_from(timing)? > now {
            return None;
        }
        self.phase_until.map(|until| self.rest_until(until))
    }

    fn rest_until(&mut self, until: Instant) -> Rest {
        let (send_next, receive_next) = self.machine.rest();
        Rest {
            send_next,
            receive_next,
            until,
        }
    }

    fn waits(&mut self) -> bool {
        self.entered_time_wait.is_some() && self.machine.state() == State::TimeWait
    }

    fn rest_from(&mut self, timing: &Timing) -> Option<Instant> {
        let entered = self.entered_time_wait.filter(|_| self.released && self.waits())?;
        Some(entered + timing.ack_delay + LEAST_WAIT)
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Received {
        if matches!(self.phase, Phase::Connecting | Phase::HalfOpen) {
            self.wants_read = true;
            return Received::Nothing;
        }
        match self.machine.read(buffer) {
            Ok(0) if !buffer.is_empty() => {
                self.wants_read = true;
                Received::Nothing
            }
            Ok(len) => Received::Data(len),
            Err(NoMore::Finished) => Received::End,
            Err(NoMore::Broken) => match self.phase {
                Phase::Over(CloseReason::Finished) => Received::End,
                Phase::Over(reason) => Received::Failed(reason),
                _ => Received::Failed(self.verdict.unwrap_or(CloseReason::Aborted)),
            },
        }
    }

    /// Bytes taken; `None` if the sending side is closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.phase == Phase::Connecting {
            self.wants_write = true;
            return Some(0);
        }
        let taken = self.machine.write(bytes)?;
        self.wants_write = taken < bytes.len();
        Some(taken)
    }

    /// Bytes that wait to be read.
    pub(crate) fn unread(&self) -> usize {
        self.machine.unread()
    }

    /// How many bytes a write would take, and how many there may be.
    pub(crate) fn room(&self) -> (usize, usize) {
        let (waiting, capacity) = self.machine.backlog();
        (capacity.saturating_sub(waiting), capacity)
    }

    /// Has it told when there is room to write.
    pub(crate) fn want_room(&mut self) {
        self.wants_write = true;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over().is_some()
    }

    /// Why it is over, if it is.
    pub(crate) fn over(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// Why nothing more can be written, if that is decided: it is over, or will be with the next poll.
    pub(crate) fn doom(&self) -> Option<CloseReason> {
        self.over().or(self.verdict)
    }

    /// Whether a quoted SYN in an ICMP error is the one it sent (RFC 5927 4.1).
    pub(crate) fn awaits_answer_to(&self, sequence: u32) -> bool {
        self.phase == Phase::Connecting && self.machine.initial_sequence == sequence
    }

    pub(crate) fn note_unreachable(&mut self, kind: Unreachable) {
        self.soft_error = Some(kind);
        self.pending.unreachable = Some(kind);
    }
}

/// Whether the remote side will send nothing more.
fn has_ended(state: State) -> bool {
    matches!(
        state,
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
    )
}
