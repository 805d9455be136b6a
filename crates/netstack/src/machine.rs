//! smoltcp's TCP for one connection: an interface, a socket, their buffers, and the hand on the wheel.
//!
//! What smoltcp sees is not always what came: [`Sender`] says why and when.

use core::time::Duration;
use std::io;

use smoltcp::iface::{Config, Interface, PollResult};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, State};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use wirewright_protocol::Instant;

use crate::buffers::SocketWithBuffers;
use crate::config::{Limits, Timing};
use crate::demux::{Segment, Tuple};
use crate::device::{PacketSink, Port, Sent};
use crate::generator;
use crate::outbox::Outbox;
use crate::sender::{Advice, SHOWN_LEN, Sender, Shown};
use crate::time::{from_smoltcp, to_smoltcp};

/// Packets a connection may send before others get their turn.
const BURST: usize = 64;
/// smoltcp's longest retransmission timeout is a minute. What else it times may come early: a probe of an idle
/// connection, or the end of a delay of acknowledgements.
const BEYOND_ANY_TIMEOUT: Duration = Duration::from_secs(61);
/// Bytes that may still wait when LAST-ACK begins, in which smoltcp cannot be steered.
const LAST_WORDS: usize = 16 << 10;
const TCP_HEADER_LEN: usize = 20;

/// What a new connection needs besides its addresses.
pub(crate) struct Setup<'a> {
    pub(crate) mtu: usize,
    pub(crate) limits: &'a Limits,
    pub(crate) timing: &'a Timing,
    /// The sequence number of its SYN.
    pub(crate) initial_sequence: u32,
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

pub(crate) struct Machine {
    pub(crate) tuple: Tuple,
    pub(crate) initial_sequence: u32,
    mtu: usize,
    interface: Interface,
    socket: SocketWithBuffers,
    sender: Sender,
    /// How far smoltcp's clock is set forward.
    ahead: Duration,
    ack_delay: Duration,
    /// Bytes that came since something was last sent, which acknowledged what came before.
    unacknowledged: usize,
    /// What the remote side sends next, less what is not read yet.
    read_up_to: u32,
    /// The sending side was closed, perhaps before smoltcp was told.
    closing: bool,
    /// A SYN was sent before its time, see [`Self::refuse_older`].
    hurried: bool,
}

impl Machine {
    /// Will send a SYN.
    pub(crate) fn connect(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        let mut new = Self::new(setup, tuple, now)?;
        let context = new.interface.context();
        let begun = new
            .socket
            .with(|socket| socket.connect(context, tuple.remote, tuple.local));
        begun.map_err(io::Error::other)?;
        Ok(new)
    }

    /// Will take a SYN.
    pub(crate) fn listen(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        let mut new = Self::new(setup, tuple, now)?;
        new.socket
            .with(|socket| socket.listen(tuple.local))
            .map_err(io::Error::other)?;
        Ok(new)
    }

    fn new(setup: &Setup<'_>, tuple: Tuple, now: Instant) -> io::Result<Self> {
        let mut socket = SocketWithBuffers::new(setup.limits.receive_buffer, setup.limits.transmit_buffer)?;
        socket.with(|socket| {
            socket.set_nagle_enabled(false);
            socket.set_congestion_control(CongestionControl::None);
            socket.set_keep_alive(setup.timing.keepalive.map(|keepalive| keepalive.interval.into()));
        });
        let mut nowhere = Nowhere;
        let mut port = Port::new(None, &mut nowhere, setup.mtu, None);
        let mut config = Config::new(HardwareAddress::Ip);
        // Nothing else comes of it: IPv4 identifications are zero, with "don't fragment" set (RFC 6864 4.1).
        config.random_seed = generator::seed_for(setup.initial_sequence);
        let mut interface = Interface::new(config, &mut port, to_smoltcp(now));
        let local = IpAddress::from(tuple.local.ip());
        let (prefix, header) = if tuple.local.is_ipv4() {
            (32, 20)
        } else {
            (128, 40)
        };
        let mut fitted = true;
        interface.update_ip_addrs(|addresses| fitted = addresses.push(IpCidr::new(local, prefix)).is_ok());
        if !fitted {
            return Err(io::Error::other("smoltcp was built to hold no address"));
        }
        let segment = setup.mtu - header - TCP_HEADER_LEN;
        Ok(Self {
            tuple,
            initial_sequence: setup.initial_sequence,
            mtu: setup.mtu,
            interface,
            socket,
            sender: Sender::new(u32::try_from(segment).unwrap_or(u32::MAX)),
            ahead: Duration::ZERO,
            ack_delay: setup.timing.ack_delay,
            unacknowledged: 0,
            read_up_to: 0,
            closing: false,
            hurried: false,
        })
    }

    /// Processes one segment. What it provokes at once (a duplicate acknowledgement, say) goes to the outbox.
    pub(crate) fn ingress(&mut self, now: Instant, packet: &[u8], segment: &Segment, outbox: &mut Outbox) {
        let Some(data) = data_before_fin(segment) else {
            self.take(now, packet, segment, outbox);
            return;
        };
        self.take(now, &without_fin(packet), &data, outbox);
        let end = data
            .sequence
            .wrapping_add(u32::try_from(data.payload_len).unwrap_or(0));
        let state = self.state();
        if self.receive_next(state) != end {
            return;
        }
        let shown = Shown {
            sequence: end,
            ack_number: segment.ack_number,
            window: segment.window,
            fin: true,
        };
        let fin = Segment {
            sequence: end,
            segment_len: 1,
            payload_len: 0,
            ..data
        };
        self.take(now, shown.write(&self.tuple, &mut [0; SHOWN_LEN]), &fin, outbox);
    }

    /// Sends what there is to send, for one turn.
    pub(crate) fn egress(&mut self, now: Instant, sink: &mut impl PacketSink) -> (Egress, Sent) {
        self.close_if_possible(now);
        let owes_fin = self.owes_fin();
        let advice = self.sender.probe(owes_fin, now);
        self.follow(advice, now);
        let mut port = Port::new(None, sink, self.mtu, None);
        let mut outcome = Egress::More;
        for _ in 0..BURST {
            if !port.sink.has_room() {
                outcome = Egress::Blocked;
                break;
            }
            self.correct_window(now);
            port.highest = self.sender.highest();
            let (interface, at) = (&mut self.interface, to_smoltcp(now + self.ahead));
            let result = self
                .socket
                .with_set(|set| interface.poll_egress(at, &mut port, set));
            if result == PollResult::None {
                outcome = Egress::Done;
                break;
            }
            self.sender.sent(port.sent.last, now);
        }
        if port.sent.packets > 0 {
            self.unacknowledged = 0;
        }
        (outcome, port.sent)
    }

    /// When smoltcp wants to be polled. In the past or now if it has something to send.
    pub(crate) fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        let (interface, at) = (&mut self.interface, to_smoltcp(now + self.ahead));
        let wanted = self.socket.with_set(|set| interface.poll_at(at, set));
        let ahead = self.ahead;
        let wanted = wanted.map(|at| now + from_smoltcp(at).saturating_since(now + ahead));
        let owes_fin = self.owes_fin();
        let probe = self.sender.probe_at(owes_fin);
        [wanted, probe].into_iter().flatten().min()
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let len = self.with(|socket| socket.recv_slice(buffer))?;
        self.read_up_to = self.read_up_to.wrapping_add(u32::try_from(len).unwrap_or(0));
        Ok(len)
    }

    /// Bytes taken; `None` if the sending side is closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.closing {
            return None;
        }
        self.with(|socket| socket.send_slice(bytes)).ok()
    }

    /// Sends a FIN behind what was written, from the next turn on.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Ends it at once, with a reset.
    pub(crate) fn abort(&mut self) {
        self.with(|socket| socket.abort());
    }

    pub(crate) fn state(&mut self) -> State {
        self.with(|socket| socket.state())
    }

    /// What is left to remember in TIME-WAIT: what we would send next, and what the remote side would.
    pub(crate) fn rest(&mut self) -> (u32, u32) {
        // Our FIN was acknowledged, and has a number.
        let send_next = self.sender.acknowledged().wrapping_add(1);
        (send_next, self.receive_next(State::TimeWait))
    }

    /// The socket, for what is only looked at.
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut Socket<'_>) -> R) -> R {
        self.socket.with(f)
    }

    fn take(&mut self, now: Instant, packet: &[u8], segment: &Segment, outbox: &mut Outbox) {
        let state = self.state();
        if self.is_of_older(state, segment) {
            self.refuse_older(now, packet, outbox);
            return;
        }
        if self.is_doubtful_reset(state, segment) || self.is_doubtful_syn(state, segment) {
            self.ask_whether(state, now, outbox);
            return;
        }
        let (mut buffer, drawn_back);
        let (packet, segment) = if self.is_ahead(state, segment) {
            drawn_back = Segment {
                sequence: self.receive_next(state),
                ..*segment
            };
            let shown = Shown {
                sequence: drawn_back.sequence,
                ack_number: segment.ack_number,
                window: segment.window,
                fin: false,
            };
            buffer = [0; SHOWN_LEN];
            (shown.write(&self.tuple, &mut buffer), &drawn_back)
        } else {
            (packet, segment)
        };
        let before = self.with(|socket| socket.send_queue());
        let freed = if self.is_mere_repetition(state, segment) {
            0
        } else {
            self.delay_acknowledgement(segment.payload_len);
            match self.keep_window_open(packet, segment) {
                Some(opened) => self.feed(&opened, now, outbox),
                None => self.feed(packet, now, outbox),
            }
            if segment.syn && matches!(state, State::Listen | State::SynSent) {
                self.read_up_to = segment.sequence.wrapping_add(1);
                self.sender.met(segment.most_segment, segment.window_scale);
            }
            before.saturating_sub(self.with(|socket| socket.send_queue()))
        };
        let freed = u32::try_from(freed).unwrap_or(u32::MAX);
        let advice = self.sender.received(segment, freed, now);
        self.follow(advice, now);
        if segment.window == 0 && self.state() == State::FinWait2 {
            self.end_window_probes(now);
        }
    }

    /// In LAST-ACK smoltcp takes an acknowledgement that acknowledges nothing for an attack, so that its window could
    /// not be corrected there: if the remote side has ended first, the end waits until little is left, and the window
    /// is so wide that it cannot close meanwhile.
    fn close_if_possible(&mut self, now: Instant) {
        if !self.closing {
            return;
        }
        let last_words = LAST_WORDS.min(self.sender.window() as usize / 2);
        let queue = self.with(|socket| socket.send_queue());
        if self.state() == State::CloseWait {
            if queue > last_words {
                return;
            }
            self.correct_window(now);
        }
        self.with(|socket| socket.close());
    }

    /// Whether a segment only acknowledges, from ahead of what has come. Window fields count in units of up to 16 KiB
    /// (RFC 7323 2.2), so that the end of the window that they tell moves to and fro while data fills it. Who filled
    /// it when it was widest sends from beyond its end as long as we read nothing, and smoltcp would not even take
    /// acknowledgements from there, but send for ever what has arrived. They are welcome while no window is open at
    /// all (RFC 9293 3.10.7.4); no window that we told ended beyond the buffer's end.
    fn is_ahead(&mut self, state: State, segment: &Segment) -> bool {
        let receiving = matches!(state, State::Established | State::FinWait1 | State::FinWait2);
        if !receiving || !segment.ack || segment.syn || segment.rst || segment.segment_len > 0 {
            return false;
        }
        let room = self.with(|socket| socket.recv_capacity() - socket.recv_queue());
        let ahead = segment.sequence.wrapping_sub(self.receive_next(state));
        ahead > 0 && ahead as usize <= room
    }

    /// A copy with a window, if the window closes while data is in flight. smoltcp would exchange its retransmission
    /// timer for one that probes windows and sends nothing again, and have neither when the window opens.
    fn keep_window_open(&self, packet: &[u8], segment: &Segment) -> Option<Vec<u8>> {
        let closes = segment.window == 0 && segment.ack && !segment.syn && !segment.rst;
        if !closes || !self.sender.has_flight_beyond(segment.ack_number) {
            return None;
        }
        let mut copy = packet.to_vec();
        let at = tcp_at(packet) + 15;
        *copy.get_mut(at)? = 1;
        Some(copy)
    }

    /// Whether a segment only repeats an acknowledgement while something is unacknowledged. smoltcp must not count
    /// it: [`Sender`] does. And when only our FIN is unacknowledged, smoltcp would stop its retransmission timer at
    /// the third without retransmitting.
    fn is_mere_repetition(&mut self, state: State, segment: &Segment) -> bool {
        let fin_sent = matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        let steered = fin_sent || matches!(state, State::Established | State::CloseWait);
        steered
            && (fin_sent || self.sender.has_flight())
            && self.sender.is_repetition(segment)
            // A probe of ours by the remote side (keepalive) is below that and wants an answer.
            && segment.sequence == self.receive_next(state)
    }

    /// Whether a segment answers something else than our SYN: the remote side still has an older connection between
    /// these ports.
    fn is_of_older(&self, state: State, segment: &Segment) -> bool {
        let denied = segment.ack && segment.ack_number != self.initial_sequence.wrapping_add(1);
        state == State::SynSent && denied && !segment.rst
    }

    /// Answers it with a reset, as smoltcp does (RFC 9293 3.10.7.3). That ends the older connection, so that the next
    /// SYN will be welcome: the first time that one need not wait, since it was no loss that held the last one up.
    fn refuse_older(&mut self, now: Instant, packet: &[u8], outbox: &mut Outbox) {
        self.feed(packet, now, outbox);
        if !core::mem::replace(&mut self.hurried, true) {
            self.ahead += BEYOND_ANY_TIMEOUT;
        }
    }

    /// Whether a reset is not the very next segment expected. It may be in the window all the same, where smoltcp
    /// would believe it, and a guess among millions suffices for that (RFC 5961 3.2).
    fn is_doubtful_reset(&mut self, state: State, segment: &Segment) -> bool {
        let synchronized = !matches!(state, State::Listen | State::SynSent | State::Closed);
        segment.rst && synchronized && segment.sequence != self.receive_next(state)
    }

    /// Whether a SYN comes in the midst of a connection. Whoever sent it may have forgotten the connection, and says so
    /// when asked; smoltcp would not ask (RFC 9293 3.10.7.4, RFC 5961 4.2).
    fn is_doubtful_syn(&self, state: State, segment: &Segment) -> bool {
        let opening = [State::Listen, State::SynSent, State::SynReceived, State::Closed];
        segment.is_first() && !opening.contains(&state)
    }

    /// Sends the remote side an acknowledgement, at most one a second. If it is really gone, it answers with a reset
    /// that is exact. smoltcp answers so to a probe of an idle connection.
    fn ask_whether(&mut self, state: State, now: Instant, outbox: &mut Outbox) {
        let sequence = self.receive_next(state).wrapping_sub(1);
        let ack_number = self.sender.acknowledged();
        let mut buffer = [0; SHOWN_LEN];
        let packet = Shown {
            sequence,
            ack_number,
            window: 0,
            fin: false,
        }
        .write(&self.tuple, &mut buffer);
        self.feed(packet, now, outbox);
    }

    /// A lone segment may wait for company. With more than two segments' worth the acknowledgement is due
    /// (RFC 9293 3.8.6.3), which smoltcp judges by segments, so that one coalesced packet would wait.
    fn delay_acknowledgement(&mut self, payload_len: usize) {
        self.unacknowledged = self.unacknowledged.saturating_add(payload_len);
        let due = self.unacknowledged > 2 * self.mtu;
        let delay = if due { Duration::ZERO } else { self.ack_delay };
        self.with(|socket| socket.set_ack_delay(Some(delay.into())));
    }

    /// Whether nothing but our FIN is unacknowledged, or unsent.
    fn owes_fin(&mut self) -> bool {
        let ending = matches!(self.state(), State::FinWait1 | State::Closing | State::LastAck);
        ending && self.with(|socket| socket.send_queue()) == 0
    }

    fn follow(&mut self, advice: Advice, now: Instant) {
        match advice {
            Advice::Nothing => {}
            Advice::Retransmit if self.state() != State::LastAck => self.retransmit(now),
            Advice::Retransmit | Advice::GoBack => self.ahead += BEYOND_ANY_TIMEOUT,
        }
    }

    /// Makes smoltcp send the first unacknowledged segment again.
    fn retransmit(&mut self, now: Instant) {
        if self.with(|socket| socket.send_queue()) > 0 {
            for window in self.sender.demand() {
                self.show(window, now);
            }
        }
    }

    /// Makes smoltcp believe in the window that [`Sender`] wants, if it has anything to send.
    fn correct_window(&mut self, now: Instant) {
        if self.with(|socket| socket.send_queue()) == 0 {
            return;
        }
        if let Some(window) = self.sender.correction(now) {
            self.show(window, now);
        }
    }

    /// Shows smoltcp an acknowledgement that nobody sent.
    fn show(&mut self, window: u16, now: Instant) {
        let state = self.state();
        let steered = [
            State::Established,
            State::FinWait1,
            State::CloseWait,
            State::Closing,
        ];
        if !steered.contains(&state) {
            return;
        }
        let (sequence, ack_number) = (self.receive_next(state), self.sender.acknowledged());
        let mut buffer = [0; SHOWN_LEN];
        let packet = Shown {
            sequence,
            ack_number,
            window,
            fin: false,
        }
        .write(&self.tuple, &mut buffer);
        self.feed(packet, now, &mut Nowhere);
        self.sender.believes(window);
    }

    /// If the acknowledgement of our FIN comes with a closed window, smoltcp's timer for probing windows goes on, and
    /// when it expires, smoltcp sends empty segments without end. A window that is not closed stops the timer.
    fn end_window_probes(&mut self, now: Instant) {
        // The FIN has a number, too.
        let ack_number = self.sender.acknowledged().wrapping_add(1);
        let shown = Shown {
            sequence: self.receive_next(State::FinWait2),
            ack_number,
            window: 1,
            fin: false,
        };
        let mut buffer = [0; SHOWN_LEN];
        let packet = shown.write(&self.tuple, &mut buffer);
        self.feed(packet, now, &mut Nowhere);
    }

    fn feed(&mut self, packet: &[u8], now: Instant, replies: &mut impl PacketSink) {
        let mut port = Port::new(Some(packet), replies, self.mtu, self.sender.highest());
        let (interface, at) = (&mut self.interface, to_smoltcp(now + self.ahead));
        self.socket
            .with_set(|set| interface.poll_ingress_single(at, &mut port, set));
    }

    /// The sequence number that smoltcp expects next.
    fn receive_next(&mut self, state: State) -> u32 {
        let has_ended = matches!(
            state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
        let unread = self.with(|socket| socket.recv_queue());
        self.read_up_to
            .wrapping_add(u32::try_from(unread).unwrap_or(0))
            .wrapping_add(has_ended.into())
    }
}

/// What comes before the FIN in a segment with both. smoltcp cuts off what lies outside of its window and then takes the
/// FIN all the same, so that the stream would end before its last bytes: so it sees the FIN when all of them are there.
fn data_before_fin(segment: &Segment) -> Option<Segment> {
    let ends = !segment.syn && !segment.rst && segment.segment_len > segment.payload_len;
    (ends && segment.payload_len > 0).then_some(Segment {
        segment_len: segment.payload_len,
        ..*segment
    })
}

/// A copy that is made once a connection, or a few times if the end is sent again.
fn without_fin(packet: &[u8]) -> Vec<u8> {
    let mut copy = packet.to_vec();
    if let Some(flags) = copy.get_mut(tcp_at(packet) + 13) {
        *flags &= !1;
    }
    copy
}

/// Where the TCP header begins.
fn tcp_at(packet: &[u8]) -> usize {
    match packet.first() {
        Some(byte) if byte >> 4 == 4 => usize::from(byte & 15) * 4,
        _ => 40,
    }
}

/// Where nothing goes.
struct Nowhere;

impl PacketSink for Nowhere {
    fn has_room(&self) -> bool {
        true
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        fill(&mut vec![0; len])
    }
}
