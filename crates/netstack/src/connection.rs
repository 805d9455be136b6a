//! One TCP connection: smoltcp's state machine (RFC 9293) with an interface of its own, and what we know besides.
//!
//! ```text
//!  connect ──► Connecting ──┐
//!                           ├──► Established ──► Over(why)
//!  SYN ──────► HalfOpen ────┘         both directions done (TIME-WAIT included), reset, aborted, or timed out
//! ```
//!
//! smoltcp's own `timeout` is not used: it also ends connections that are merely idle. The timeouts here run only
//! while something is owed: an answer to a SYN, an acknowledgement of data or of a FIN, an answer to a probe.

use core::time::Duration;
use std::io;

use smoltcp::iface::{Config as InterfaceConfig, Interface, PollResult};
use smoltcp::socket::tcp::{CongestionControl, RecvError, State};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use wirewright_protocol::Instant;

use crate::buffers::SocketWithBuffers;
use crate::config::{Limits, Timing};
use crate::demux::{Segment, Tuple};
use crate::device::{PacketSink, Port, Sent};
use crate::event::{CloseReason, ConnectFailure, Unreachable};
use crate::outbox::Outbox;
use crate::recovery::{Advice, Recovery, SHOWN_LEN, Shown};
use crate::slots::Handle;
use crate::time::{from_smoltcp, to_smoltcp};

/// Packets a connection may send before others get their turn.
const BURST: usize = 64;
/// If smoltcp wants to be polled now but has nothing to send, ask again after this.
const IDLE_RETRY: Duration = Duration::from_millis(1);
/// smoltcp's longest retransmission timeout is a minute. What else it times may come early: a probe of an idle
/// connection, or the end of a delay of acknowledgements.
const BEYOND_ANY_TIMEOUT: Duration = Duration::from_secs(61);
/// TIME-WAIT. smoltcp discards what was not read when its own TIME-WAIT of ten seconds ends, so ours must not be
/// longer, and the connection is not polled afterwards.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    interface: Interface,
    socket: SocketWithBuffers,
    phase: Phase,
    /// The listener it came from, until it is accepted.
    pub(crate) listener: Option<Handle>,
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
    /// Since when an answer is owed.
    unanswered_since: Option<Instant>,
    heard: Instant,
    /// Bytes that came since something was last sent, which acknowledged what came before.
    unacknowledged: usize,
    /// Bytes waiting for acknowledgement when last looked at, to see progress.
    send_queue: usize,
    recovery: Recovery,
    /// How far smoltcp's clock is set forward.
    ahead: Duration,
    verdict: Option<CloseReason>,
    soft_error: Option<Unreachable>,
    initial_sequence: u32,
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

/// How sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    /// Nothing more to send now.
    Done,
    /// Its turn is over, there is more.
    More,
    /// The sink has no room.
    Blocked,
}

pub(crate) enum Received {
    Data(usize),
    Nothing,
    End,
    Failed(CloseReason),
}

/// What a new connection needs besides its addresses.
pub(crate) struct Setup<'a> {
    pub(crate) mtu: usize,
    pub(crate) limits: &'a Limits,
    pub(crate) timing: &'a Timing,
    /// The seed of smoltcp's generator, from which it takes the initial sequence number. The generator is a PCG,
    /// whose outputs betray its state; drawing the seed from a CSPRNG for each connection, which has one initial
    /// sequence number only, leaves nothing to learn from (RFC 6528 asks that other connections' numbers tell
    /// nothing about this one's). IPv4 identifications are zero with "don't fragment" set (RFC 6864 4.1).
    pub(crate) seed: u64,
}

impl Connection {
    /// Will send a SYN.
    pub(crate) fn connect(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        let mut new = Self::new(setup, tuple, Phase::Connecting, now)?;
        let context = new.interface.context();
        let begun = new
            .socket
            .with(|socket| socket.connect(context, tuple.remote, tuple.local));
        begun.map_err(io::Error::other)?;
        new.phase_until = Some(now + setup.timing.connect);
        Ok(new)
    }

    /// Will take a SYN.
    pub(crate) fn listen(setup: &Setup<'_>, tuple: Tuple, from: Handle, now: Instant) -> io::Result<Self> {
        let mut new = Self::new(setup, tuple, Phase::HalfOpen, now)?;
        let begun = new.socket.with(|socket| socket.listen(tuple.local));
        begun.map_err(io::Error::other)?;
        new.listener = Some(from);
        new.phase_until = Some(now + setup.timing.accept);
        Ok(new)
    }

    fn new(setup: &Setup<'_>, tuple: Tuple, phase: Phase, now: Instant) -> io::Result<Self> {
        let mut socket = SocketWithBuffers::new(setup.limits.receive_buffer, setup.limits.transmit_buffer)?;
        socket.with(|socket| {
            socket.set_nagle_enabled(false);
            socket.set_congestion_control(CongestionControl::Cubic);
            socket.set_ack_delay(Some(setup.timing.ack_delay.into()));
            socket.set_keep_alive(setup.timing.keepalive.map(|keepalive| keepalive.interval.into()));
        });
        let mut nowhere = Nowhere;
        let mut port = Port::new(None, &mut nowhere, setup.mtu);
        let mut config = InterfaceConfig::new(HardwareAddress::Ip);
        config.random_seed = setup.seed;
        let mut interface = Interface::new(config, &mut port, to_smoltcp(now));
        let local = IpAddress::from(tuple.local.ip());
        let prefix = if tuple.local.is_ipv4() { 32 } else { 128 };
        let mut fitted = true;
        interface.update_ip_addrs(|addresses| fitted = addresses.push(IpCidr::new(local, prefix)).is_ok());
        if !fitted {
            return Err(io::Error::other("smoltcp was built to hold no address"));
        }
        Ok(Self {
            tuple,
            interface,
            socket,
            phase,
            listener: None,
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
            phase_until: None,
            unanswered_since: None,
            heard: now,
            unacknowledged: 0,
            send_queue: 0,
            recovery: Recovery::default(),
            ahead: Duration::ZERO,
            verdict: None,
            soft_error: None,
            initial_sequence: 0,
        })
    }

    /// Processes one segment. What it provokes at once (a duplicate acknowledgement, say) goes to the outbox.
    pub(crate) fn ingress(
        &mut self,
        now: Instant,
        packet: &[u8],
        segment: &Segment,
        outbox: &mut Outbox,
        mtu: usize,
        timing: &Timing,
    ) {
        self.heard = now;
        if self.unanswered_since.is_some() {
            self.unanswered_since = Some(now);
        }
        self.unacknowledged = self.unacknowledged.saturating_add(segment.payload_len);
        // A lone segment may wait for company. With more than two segments' worth the acknowledgement is due
        // (RFC 9293 3.8.6.3), which smoltcp judges by segments, so that one coalesced packet would wait.
        let delay = if self.unacknowledged > 2 * mtu {
            Duration::ZERO
        } else {
            timing.ack_delay
        };
        self.socket
            .with(|socket| socket.set_ack_delay(Some(delay.into())));

        let before = self.socket.with(|socket| socket.send_queue());
        if before > 0 && self.takes_hints() {
            for shown in self.recovery.divide(segment) {
                self.show(shown, now, mtu);
            }
        }
        let mut port = Port::new(Some(packet), outbox, mtu);
        let (interface, at) = (&mut self.interface, to_smoltcp(now + self.ahead));
        self.socket
            .with_set(|set| interface.poll_ingress_single(at, &mut port, set));
        let left = self.socket.with(|socket| socket.send_queue());
        let freed = u32::try_from(before.saturating_sub(left)).unwrap_or(0);
        match self.recovery.received(segment, freed, now) {
            Advice::Nothing => {}
            Advice::Retransmit => self.retransmit(now, mtu),
            Advice::GoBack => self.ahead = self.ahead + BEYOND_ANY_TIMEOUT,
        }

        let state = self.state();
        if segment.rst && matches!(state, State::Closed | State::Listen) {
            self.verdict = self.verdict.or(Some(CloseReason::Reset));
        }
        // Nobody will read what still comes, and a sender must learn that (RFC 9293 3.10.4, RFC 2525 2.17).
        if self.released && segment.payload_len > 0 && self.socket.with(|socket| socket.can_recv()) {
            self.abort(CloseReason::Aborted);
        }
    }

    /// Sends what there is to send, for one turn.
    pub(crate) fn egress(&mut self, now: Instant, sink: &mut impl PacketSink, mtu: usize) -> (Egress, Sent) {
        if self.recovery.probe(now) {
            self.retransmit(now, mtu);
        }
        let mut port = Port::new(None, sink, mtu);
        let (interface, recovery, at) = (
            &mut self.interface,
            &mut self.recovery,
            to_smoltcp(now + self.ahead),
        );
        let outcome = self.socket.with_set(|set| {
            for _ in 0..BURST {
                if !port.sink.has_room() {
                    return Egress::Blocked;
                }
                if interface.poll_egress(at, &mut port, set) == PollResult::None {
                    return Egress::Done;
                }
                recovery.sent(port.sent.last, now);
            }
            Egress::More
        });
        let sent = port.sent;
        if sent.packets > 0 {
            self.unacknowledged = 0;
            if self.phase == Phase::Connecting {
                self.initial_sequence = sent.last.sequence.wrapping_sub(1);
            }
        }
        (outcome, sent)
    }

    /// Makes smoltcp send the first unacknowledged segment again.
    fn retransmit(&mut self, now: Instant, mtu: usize) {
        if self.takes_hints() && self.send_queue > 0 {
            for shown in self.recovery.demand() {
                self.show(shown, now, mtu);
            }
        }
    }

    /// Whether smoltcp judges an acknowledgement by its number alone in this state. In LAST-ACK it takes one that
    /// acknowledges nothing for an attack.
    fn takes_hints(&mut self) -> bool {
        matches!(
            self.state(),
            State::Established | State::FinWait1 | State::CloseWait | State::Closing
        )
    }

    /// Shows smoltcp an acknowledgement that nobody sent.
    fn show(&mut self, shown: Shown, now: Instant, mtu: usize) {
        let mut buffer = [0; SHOWN_LEN];
        let packet = shown.write(&self.tuple, &mut buffer);
        let mut nowhere = Nowhere;
        let mut port = Port::new(Some(packet), &mut nowhere, mtu);
        let (interface, at) = (&mut self.interface, to_smoltcp(now + self.ahead));
        self.socket
            .with_set(|set| interface.poll_ingress_single(at, &mut port, set));
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
        let (state, readable, send_queue, room, capacity) = self.socket.with(|socket| {
            let (queue, capacity) = (socket.send_queue(), socket.send_capacity());
            (
                socket.state(),
                socket.can_recv(),
                queue,
                capacity - queue,
                capacity,
            )
        });
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
                Change::Dropped
            }
            (Phase::Connecting | Phase::HalfOpen, _) => {
                self.pending.connected = self.phase == Phase::Connecting;
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
                self.phase_until = (state == State::TimeWait).then(|| now + TIME_WAIT);
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
        let (interface, at) = (&mut self.interface, to_smoltcp(now + self.ahead));
        let wanted = self.socket.with_set(|set| interface.poll_at(at, set));
        let ahead = self.ahead;
        let wanted =
            wanted.map(|at| (now + from_smoltcp(at).saturating_since(now + ahead)).max(now + IDLE_RETRY));
        let ours = [
            self.phase_until,
            self.unanswered_until(timing),
            self.probed_until(timing),
            self.recovery.probe_at(),
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
        self.socket.with(|socket| socket.abort());
    }

    /// Sends a FIN behind what was written.
    pub(crate) fn shutdown(&mut self) {
        self.shut_down = true;
        if self.phase == Phase::Established {
            self.socket.with(|socket| socket.close());
        }
    }

    /// Nobody holds the name any more.
    pub(crate) fn release(&mut self) {
        self.released = true;
        self.pending = Pending::default();
        let unread = self.socket.with(|socket| socket.can_recv());
        match self.phase {
            Phase::Established if unread => self.abort(CloseReason::Aborted),
            Phase::Established => self.shutdown(),
            Phase::Connecting | Phase::HalfOpen => self.abort(CloseReason::Aborted),
            Phase::Over(_) => {}
        }
    }

    /// Whether all that was written arrived, or never will. True once for each released connection.
    pub(crate) fn take_delivered(&mut self) -> bool {
        let state = self.socket.with(|socket| socket.state());
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
        let (state, told) = self
            .socket
            .with(|socket| (socket.state(), socket.remote_endpoint().is_none()));
        match state {
            State::TimeWait => time_is_up,
            State::Closed => told,
            _ => true,
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Received {
        if matches!(self.phase, Phase::Connecting | Phase::HalfOpen) {
            self.wants_read = true;
            return Received::Nothing;
        }
        match self.socket.with(|socket| socket.recv_slice(buffer)) {
            Ok(0) if !buffer.is_empty() => {
                self.wants_read = true;
                Received::Nothing
            }
            Ok(len) => Received::Data(len),
            Err(RecvError::Finished) => Received::End,
            Err(RecvError::InvalidState) => match self.phase {
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
        let taken = self.socket.with(|socket| socket.send_slice(bytes)).ok()?;
        self.wants_write = taken < bytes.len();
        Some(taken)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether a quoted SYN in an ICMP error is the one it sent (RFC 5927 4.1).
    pub(crate) fn awaits_answer_to(&self, sequence: u32) -> bool {
        self.phase == Phase::Connecting && self.initial_sequence == sequence
    }

    pub(crate) fn note_unreachable(&mut self, kind: Unreachable) {
        self.soft_error = Some(kind);
        self.pending.unreachable = Some(kind);
    }

    fn state(&mut self) -> State {
        self.socket.with(|socket| socket.state())
    }
}

/// Whether the remote side will send nothing more.
fn has_ended(state: State) -> bool {
    matches!(
        state,
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
    )
}

/// A sink for making an interface, which asks a device for its capabilities only.
struct Nowhere;

impl PacketSink for Nowhere {
    fn has_room(&self) -> bool {
        false
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        fill(&mut vec![0; len])
    }
}
