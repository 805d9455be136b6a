//! TCP for one connection (RFC 9293), without I/O: segments go in, segments and the next deadline come out.
//!
//! ```text
//!                      SYN sent ──► SynSent ──┐ SYN and ACK             ┌─► FinWait1 ─► FinWait2 ─┐
//!                                    │ SYN    ├────────► Established ───┤    └► Closing ──────────┼─► TimeWait
//!   SYN came ──► Listen ──► SynReceived ──────┘ ACK                     └─► CloseWait ─► LastAck ─┴─► Closed
//! ```
//!
//! [`Machine`] holds the states, what is acceptable and who is asked; [`sender`] what is sent and sent again,
//! [`receiver`] what came and what is told of it. Below them: [`flight`] and [`congestion`], [`ranges`] and [`ring`].
//!
//! Forged segments (RFC 5961): a reset is believed if its number is exactly the expected one, and else questioned, as is a
//! SYN in the midst of a connection. Acknowledgements of what was never sent, or too long ago, are questioned, too. A
//! question is an acknowledgement, of which there are few a second ([`QUESTIONS_APART`]): who has forgotten the connection
//! answers with a reset, and two sides that question each other make no storm.
//!
//! Of the options only the largest segment, window scales and SACK are spoken. Timestamps are not: they cost twelve bytes
//! a segment, and round trips are measured without them.

mod budget;
mod congestion;
mod emit;
mod flight;
mod hystart;
mod piece;
mod ranges;
mod receiver;
mod recovery;
mod ring;
mod round_trip;
mod rounds;
mod sender;
mod sequence;
mod state;

use core::time::Duration;
use std::io;

use wirewright_protocol::Instant;

use crate::config::{Control, Limits, Timing};
use crate::demux::{Segment, Tuple};
use crate::device::{PacketSink, Sent};
use crate::outbox::Outbox;
pub(crate) use budget::Budget;
use emit::{ACK, FIN, Head, Options, PSH, RST, SYN, TCP_HEADER_LEN, emit, ip_header_len};
use piece::{Answer, Piece};
use receiver::{BLOCKS, Receiver};
use sender::{Expired, Sender};
pub(crate) use state::State;

/// Packets a connection may send before others get their turn.
const BURST: usize = 64;
/// Time between two answers to segments that are not acceptable.
const QUESTIONS_APART: Duration = Duration::from_millis(200);

/// What a new connection needs besides its addresses.
pub(crate) struct Setup<'a> {
    pub(crate) mtu: usize,
    pub(crate) control: Control,
    pub(crate) limits: &'a Limits,
    pub(crate) timing: &'a Timing,
    /// The sequence number of its SYN.
    pub(crate) initial_sequence: u32,
    /// What wider windows are taken from.
    pub(crate) budget: &'a Budget,
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

/// Why nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMore {
    /// The remote side has sent everything.
    Finished,
    /// The connection broke, or never was.
    Broken,
}

pub(crate) struct Machine {
    pub(crate) tuple: Tuple,
    pub(crate) initial_sequence: u32,
    mtu: usize,
    state: State,
    sender: Sender,
    receiver: Receiver,
    /// The scale of our window fields, once both sides have told theirs, and the one that we tell.
    scale: Option<u8>,
    wanted_scale: u8,
    largest_window: usize,
    budget: budget::Share,
    ack_delay: Duration,
    keepalive: Option<Duration>,
    /// When the remote side was last heard of or probed.
    heard: Instant,
    questioned: Option<Instant>,
    owes_window_probe: bool,
    owes_reset: bool,
    /// The reset that ends the connection was sent, or none is needed.
    told: bool,
    /// A SYN was sent before its time, see [`Self::refuse_older`].
    hurried: bool,
}

impl Machine {
    /// Will send a SYN.
    pub(crate) fn connect(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        Self::new(setup, tuple, State::SynSent, now)
    }

    /// Will take a SYN.
    pub(crate) fn listen(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        Self::new(setup, tuple, State::Listen, now)
    }

    fn new(setup: &Setup<'_>, tuple: Tuple, state: State, now: Instant) -> io::Result<Self> {
        let limits = setup.limits;
        let segment = setup.mtu - ip_header_len(&tuple) - TCP_HEADER_LEN;
        let largest_window = limits.largest_window.max(limits.receive_buffer);
        Ok(Self {
            tuple,
            initial_sequence: setup.initial_sequence,
            mtu: setup.mtu,
            state,
            sender: Sender::new(
                setup.initial_sequence,
                u32::try_from(segment).unwrap_or(u32::MAX),
                setup.control,
                limits.transmit_buffer,
            )?,
            receiver: Receiver::new(limits.receive_buffer)?,
            scale: None,
            wanted_scale: scale_for(largest_window),
            largest_window,
            budget: setup.budget.share(),
            ack_delay: setup.timing.ack_delay,
            keepalive: setup.timing.keepalive.map(|keepalive| keepalive.interval),
            heard: now,
            questioned: None,
            owes_window_probe: false,
            owes_reset: false,
            told: false,
            hurried: false,
        })
    }

    /// Processes one segment of which `payload` are the bytes. What it provokes at once goes to the outbox.
    pub(crate) fn ingress(&mut self, now: Instant, payload: &[u8], segment: &Segment, outbox: &mut Outbox) {
        self.heard = now;
        match self.state {
            State::Closed => {}
            State::Listen => self.take_syn(now, segment),
            State::SynSent => self.take_answer(now, segment, outbox),
            _ => self.take(now, payload, segment, outbox),
        }
    }

    /// Sends what there is to send, for one turn.
    pub(crate) fn egress(&mut self, now: Instant, sink: &mut impl PacketSink) -> (Egress, Sent) {
        let mut sent = Sent::default();
        self.expire(now);
        self.widen(now);
        for _ in 0..BURST {
            if !sink.has_room() {
                return (Egress::Blocked, sent);
            }
            if !self.send_next(now, sink, &mut sent) {
                return (Egress::Done, sent);
            }
        }
        (Egress::More, sent)
    }

    /// When to send next without any reason from outside.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        if matches!(self.state, State::Closed | State::Listen) {
            return None;
        }
        let times = [self.sender.deadline(), self.receiver.due(), self.keepalive_at()];
        times.into_iter().flatten().min()
    }

    /// Takes bytes that came; none if none wait.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NoMore> {
        if self.receiver.unread() > 0 {
            return Ok(self.receiver.read(buffer));
        }
        if self.receiver.has_ended() {
            Err(NoMore::Finished)
        } else if self.state.receives() {
            Ok(0)
        } else {
            Err(NoMore::Broken)
        }
    }

    /// Bytes taken; `None` if the sending side is closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        self.state.sends().then(|| self.sender.write(bytes))
    }

    /// Sends a FIN behind what was written, from the next turn on.
    pub(crate) fn close(&mut self) {
        if self.state.sends() {
            self.sender.close();
            self.state = self.state.closes();
        }
    }

    /// Ends it at once, with a reset if the remote side knows of it.
    pub(crate) fn abort(&mut self) {
        if self.state != State::Closed {
            self.owes_reset = self.state.is_synchronized() || self.state == State::SynReceived;
            self.told = !self.owes_reset;
            self.state = State::Closed;
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Whether bytes wait to be read.
    pub(crate) fn can_read(&self) -> bool {
        self.receiver.unread() > 0
    }

    /// Bytes that wait to be read.
    pub(crate) fn unread(&self) -> usize {
        self.receiver.unread()
    }

    /// Bytes that were written and not acknowledged, and how many there may be.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        (self.sender.waiting(), self.sender.capacity())
    }

    /// Whether it is over and the remote side knows, as far as it must.
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    /// What is left to remember in TIME-WAIT: what we would send next, and what the remote side would.
    pub(crate) fn rest(&self) -> (u32, u32) {
        (self.sender.next_number(), self.receiver.next_number())
    }

    /// A SYN for a listener (RFC 9293 3.10.7.2).
    fn take_syn(&mut self, now: Instant, segment: &Segment) {
        if segment.is_first() {
            self.meet(now, segment);
            self.state = State::SynReceived;
        }
    }

    /// An answer to our SYN (RFC 9293 3.10.7.3).
    fn take_answer(&mut self, now: Instant, segment: &Segment, outbox: &mut Outbox) {
        let is_ours = segment.ack && segment.ack_number == self.initial_sequence.wrapping_add(1);
        if segment.ack && !(is_ours && self.sender.has_sent(1)) {
            if !segment.rst {
                self.refuse_older(segment, outbox);
            }
            return;
        }
        if segment.rst {
            if segment.ack {
                self.end();
            }
            return;
        }
        if !segment.syn {
            return;
        }
        self.meet(now, segment);
        if segment.ack {
            self.state = State::Established;
            let answer = Answer {
                ack: 1,
                sequence: 0,
                segment,
            };
            self.sender.received(&answer, now);
        } else {
            // Both have called at once: our SYN again, which now acknowledges.
            self.state = State::SynReceived;
            self.sender.repeat_first();
        }
    }

    /// The remote side still has an older connection between these ports. A reset ends that one, so that the next SYN will
    /// be welcome: the first time that one need not wait, since it was no loss that held the last one up.
    fn refuse_older(&mut self, segment: &Segment, outbox: &mut Outbox) {
        self.reset(segment.ack_number, outbox);
        if !core::mem::replace(&mut self.hurried, true) {
            self.sender.repeat_first();
        }
    }

    /// The remote side's SYN: its number, and what it can do.
    fn meet(&mut self, now: Instant, segment: &Segment) {
        self.scale = segment.window_scale.map(|_| self.wanted_scale);
        self.receiver
            .begin(segment.sequence, self.scale.unwrap_or(0), now);
        self.sender.met(segment);
    }

    /// A segment for a connection that both sides know (RFC 9293 3.10.7.4).
    fn take(&mut self, now: Instant, payload: &[u8], segment: &Segment, outbox: &mut Outbox) {
        let Some(start) = self.receiver.offset_of(segment.sequence) else {
            // From before the first byte: of somebody who forgot this connection, perhaps, and calls anew (RFC 5961 4.2).
            if !segment.rst {
                self.question(now, outbox);
            }
            return;
        };
        if segment.rst {
            self.take_reset(start, now, outbox);
            return;
        }
        if segment.syn && !self.takes_syn_again(start, segment, now, outbox) {
            return;
        }
        let next = self.receiver.next();
        let is_empty = segment.segment_len == 0;
        if start > self.receiver.end() || (is_empty && start < next) {
            // A probe by the remote side, or somebody who guesses.
            self.question(now, outbox);
            if start > next {
                return;
            }
        }
        let Some(ack) = self.acceptable_ack(segment, now, outbox) else {
            return;
        };
        if self.state == State::SynReceived {
            if ack == 0 {
                return;
            }
            self.state = State::Established;
        }
        let answer = Answer {
            ack,
            sequence: start,
            segment,
        };
        self.sender.received(&answer, now);
        if self.sender.is_done() {
            self.state = self.state.is_acknowledged();
            self.told |= self.state == State::Closed;
        }
        if !segment.syn && !is_empty && self.state != State::Closed {
            self.take_payload(now, start, payload, segment, outbox);
        }
    }

    fn take_payload(
        &mut self,
        now: Instant,
        start: u64,
        payload: &[u8],
        segment: &Segment,
        outbox: &mut Outbox,
    ) {
        let most = self.mtu - ip_header_len(&self.tuple) - TCP_HEADER_LEN;
        let fin = segment.segment_len > segment.payload_len;
        let had_ended = self.receiver.has_ended();
        let urgent = self.receiver.take(start, payload, fin, most, now);
        if self.receiver.has_ended() && !had_ended {
            self.state = self.state.is_ended();
        }
        if urgent {
            self.acknowledge(outbox);
        } else {
            self.receiver.schedule(self.ack_delay, now);
        }
    }

    /// A reset that is not the very next segment expected may be a guess, of which one in millions would suffice
    /// (RFC 5961 3.2).
    fn take_reset(&mut self, start: u64, now: Instant, outbox: &mut Outbox) {
        let next = self.receiver.next();
        if start == next {
            self.end();
        } else if (next..self.receiver.end()).contains(&start) {
            self.question(now, outbox);
        }
    }

    /// A SYN in the midst of a connection. If it is the one that began it, an answer was lost. Whoever sent another may
    /// have forgotten the connection, and says so when asked (RFC 5961 4.2). `true` if it acknowledges our SYN.
    fn takes_syn_again(&mut self, start: u64, segment: &Segment, now: Instant, outbox: &mut Outbox) -> bool {
        if self.state == State::SynReceived && start == 0 {
            if !segment.ack {
                self.sender.repeat_first();
            }
            return segment.ack;
        }
        self.question(now, outbox);
        false
    }

    /// The offset that a segment acknowledges, if that can be.
    fn acceptable_ack(&mut self, segment: &Segment, now: Instant, outbox: &mut Outbox) -> Option<u64> {
        if !segment.ack {
            return None;
        }
        let una = self.sender.una();
        let ack = self.sender.offset_of(segment.ack_number);
        if self.state == State::SynReceived && ack != Some(1) {
            self.reset(segment.ack_number, outbox);
            return None;
        }
        // Nor may it be older than a window (RFC 5961 5.2).
        let oldest = una.saturating_sub(self.largest_window as u64);
        let ack = ack.filter(|ack| self.sender.has_sent(*ack) && *ack >= oldest);
        if ack.is_none() {
            self.question(now, outbox);
        }
        ack
    }

    fn end(&mut self) {
        self.state = State::Closed;
        self.told = true;
    }

    /// Acknowledges what is not acceptable, unless that was done lately.
    fn question(&mut self, now: Instant, outbox: &mut Outbox) {
        let lately = self
            .questioned
            .is_some_and(|before| now.saturating_since(before) < QUESTIONS_APART);
        if !lately {
            self.questioned = Some(now);
            self.acknowledge(outbox);
        }
    }

    fn acknowledge(&mut self, sink: &mut impl PacketSink) -> usize {
        let mut blocks = [(0, 0); BLOCKS];
        let count = if self.sender.takes_blocks() && self.receiver.has_blocks() {
            self.receiver.take_blocks(&mut blocks)
        } else {
            0
        };
        let options = Options::of_blocks(blocks.get(..count).unwrap_or_default());
        let head = Head {
            options,
            ..self.head(self.sender.number_for_answers(), ACK)
        };
        emit(&self.tuple, &head, 0, |_| (), sink)
    }

    fn reset(&self, sequence: u32, sink: &mut impl PacketSink) -> usize {
        let head = Head {
            sequence,
            flags: RST,
            ..Head::default()
        };
        emit(&self.tuple, &head, 0, |_| (), sink)
    }

    /// The head of a segment that acknowledges everything.
    fn head(&mut self, sequence: u32, flags: u8) -> Head {
        // A field of 16 bits, which a SYN does not scale.
        let scale = self.scale.filter(|_| flags & SYN == 0).unwrap_or(0);
        let wanted = self.receiver.window();
        let field = u16::try_from(wanted >> scale).unwrap_or(u16::MAX);
        // A SYN tells less than is offered, for which nobody need be told again.
        self.receiver.acknowledged(if flags & SYN == 0 {
            u64::from(field) << scale
        } else {
            wanted
        });
        Head {
            sequence,
            ack_number: self.receiver.next_number(),
            flags,
            window: field,
            options: Options::default(),
        }
    }

    /// Sends one segment, if there is one.
    fn send_next(&mut self, now: Instant, sink: &mut impl PacketSink, sent: &mut Sent) -> bool {
        let len = match self.state {
            State::Listen => return false,
            State::Closed => {
                if !core::mem::take(&mut self.owes_reset) {
                    return false;
                }
                self.told = true;
                let head = Head {
                    flags: RST | ACK,
                    ..self.head(self.sender.next_number(), ACK)
                };
                emit(&self.tuple, &head, 0, |_| (), sink)
            }
            State::SynSent | State::SynReceived => match self.sender.first(now) {
                Some(_) => self.send_syn(sink),
                None => return false,
            },
            _ => match self.sender.next(now) {
                Some(piece) => self.send_piece(piece, sink),
                None if core::mem::take(&mut self.owes_window_probe) => {
                    let head = self.head(self.sender.number_for_probes(), ACK);
                    emit(&self.tuple, &head, 0, |_| (), sink)
                }
                None if self.owes_acknowledgement(now) => self.acknowledge(sink),
                None => return false,
            },
        };
        sent.packets += 1;
        sent.bytes += len as u64;
        true
    }

    fn send_syn(&mut self, sink: &mut impl PacketSink) -> usize {
        let answers = self.state == State::SynReceived;
        let segment = self.mtu - ip_header_len(&self.tuple) - TCP_HEADER_LEN;
        // Who has not told a scale or blocks may not be told ours (RFC 7323 2.2, RFC 2018 2).
        let scale = Some(self.wanted_scale).filter(|_| !answers || self.scale.is_some());
        let selective = !answers || self.sender.takes_blocks();
        let options = Options::of_syn(u16::try_from(segment).unwrap_or(u16::MAX), scale, selective);
        let flags = if answers { SYN | ACK } else { SYN };
        let mut head = self.head(self.initial_sequence, flags);
        if !answers {
            (head.ack_number, head.window) = (0, u16::try_from(self.receiver.most()).unwrap_or(u16::MAX));
        }
        emit(&self.tuple, &Head { options, ..head }, 0, |_| (), sink)
    }

    fn send_piece(&mut self, piece: Piece, sink: &mut impl PacketSink) -> usize {
        let mut flags = ACK;
        if self.sender.is_last(piece) {
            flags |= FIN;
        }
        if self.sender.ends_writing(piece) {
            flags |= PSH;
        }
        let head = self.head(self.sender.number(piece.start), flags);
        let sender = &self.sender;
        let copy = |bytes: &mut [u8]| sender.copy(piece, bytes);
        emit(&self.tuple, &head, sender.len_of(piece), copy, sink)
    }

    fn owes_acknowledgement(&self, now: Instant) -> bool {
        self.receiver.due().is_some_and(|at| at <= now) || self.receiver.has_opened()
    }

    fn expire(&mut self, now: Instant) {
        if matches!(self.state, State::Closed | State::Listen) {
            return;
        }
        if self.sender.expire(now) == Expired::Window {
            self.owes_window_probe = true;
        }
        if self.keepalive_at().is_some_and(|at| at <= now) {
            self.heard = now;
            self.owes_window_probe = true;
        }
    }

    fn keepalive_at(&self) -> Option<Instant> {
        let interval = self.keepalive.filter(|_| self.state.is_synchronized())?;
        Some(self.heard + interval)
    }

    /// Lets windows grow that are too small for the path.
    fn widen(&mut self, now: Instant) {
        let round_trip = self.sender.round_trip();
        if let Some(wanted) = self.receiver.wanted_window(round_trip, now) {
            let (most, wanted) = (self.receiver.most(), wanted.min(self.largest_window));
            let grows = wanted > most && self.scale.is_some() && self.state.receives();
            if grows && self.budget.take(wanted - most) {
                self.receiver.widen(wanted);
            }
        }
        if let Some(wanted) = self.sender.wanted_buffer() {
            let (most, wanted) = (self.sender.capacity(), wanted.min(self.largest_window));
            if wanted > most && self.state.sends() && self.budget.take(wanted - most) {
                self.sender.widen(wanted);
            }
        }
    }
}

/// The least scale with which a field of 16 bits tells a window.
fn scale_for(window: usize) -> u8 {
    (0..14).find(|scale| window >> scale <= 65_535).unwrap_or(14)
}
