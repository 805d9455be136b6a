//! The least that can be built around a conversation: an index table, a queue, the cipher.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_aead::{Verdict, open_one, seal_one};
use wirewright_protocol::wire::{DATA_OVERHEAD, DataHeader, Initiation, Response};
use wirewright_protocol::{
    Cause, Conversation, CookieIssuer, HandshakeError, Identity, Instant, Message, Received, SecretKey, Sent,
    Timeout, WallTime,
};

/// Wall time at the origin of the monotonic clock.
const EPOCH: u64 = 1_700_000_000;

pub(crate) struct Host {
    pub(crate) identity: Identity,
    pub(crate) conversation: Conversation,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) cookies: CookieIssuer,
    pub(crate) under_load: bool,
    /// Local indices given out and not retired.
    pub(crate) indices: BTreeSet<u32>,
    next_index: u32,
    /// Packets that wait for a session; an empty one becomes a keepalive.
    pub(crate) staged: VecDeque<Vec<u8>>,
    /// Packets received, in order, the empty ones left out.
    pub(crate) delivered: Vec<Vec<u8>>,
    pub(crate) timeouts: Vec<(Instant, Timeout)>,
    pub(crate) errors: Vec<HandshakeError>,
}

impl Host {
    pub(crate) fn new(secret: SecretKey, peer: &SecretKey, seed: u8) -> Self {
        let identity = Identity::new(secret);
        Self {
            cookies: CookieIssuer::new([seed; 32], identity.public()),
            identity,
            conversation: Conversation::new(peer.public()),
            rng: ChaCha20Rng::from_seed([seed; 32]),
            under_load: false,
            indices: BTreeSet::new(),
            next_index: u32::from(seed) << 24,
            staged: VecDeque::new(),
            delivered: Vec::new(),
            timeouts: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub(crate) fn wall(now: Instant) -> WallTime {
        let nanos = now.as_nanos();
        WallTime {
            seconds: EPOCH + nanos / 1_000_000_000,
            nanos: (nanos % 1_000_000_000) as u32,
        }
    }

    pub(crate) fn allocate(&mut self) -> u32 {
        self.next_index += 1;
        self.indices.insert(self.next_index);
        self.next_index
    }

    /// Sends a packet, or an empty one, now or when there is a session.
    pub(crate) fn send(&mut self, now: Instant, packet: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        self.staged.push_back(packet);
        self.flush(now, out);
    }

    pub(crate) fn send_keepalive(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.staged.is_empty() {
            self.staged.push_back(Vec::new());
        }
        self.flush(now, out);
    }

    fn flush(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.staged.is_empty() {
            return;
        }
        let Some(reservation) = self.conversation.reserve(now, self.staged.len() as u32) else {
            self.begin(now, Cause::Fresh, out);
            return;
        };
        let data = self.staged.iter().any(|packet| !packet.is_empty());
        for (packet, counter) in self.staged.drain(..).zip(reservation.first_counter..) {
            let mut datagram = DataHeader::new(reservation.remote_index, counter)
                .as_bytes()
                .to_vec();
            datagram.extend_from_slice(&packet);
            datagram.extend_from_slice(&[0; 16]);
            seal_one(
                &reservation.keys.seal,
                counter,
                &[],
                &mut datagram[DataHeader::LEN..],
            );
            out.push(datagram);
        }
        let wants = self.conversation.sent(
            now,
            &mut self.rng,
            if data { Sent::Data } else { Sent::Keepalive },
        );
        if wants.handshake {
            self.begin(now, Cause::Fresh, out);
        }
    }

    pub(crate) fn begin(&mut self, now: Instant, cause: Cause, out: &mut Vec<Vec<u8>>) {
        if !self.conversation.request_handshake(now, cause) {
            return;
        }
        match self.initiate(now, cause) {
            Ok(initiation) => out.push(initiation.as_bytes().to_vec()),
            Err(error) => self.errors.push(error),
        }
    }

    pub(crate) fn initiate(&mut self, now: Instant, cause: Cause) -> Result<Initiation, HandshakeError> {
        let (index, mut retired) = (self.allocate(), Vec::new());
        let Self {
            conversation,
            rng,
            identity,
            ..
        } = self;
        let result = conversation.initiate(now, Self::wall(now), rng, identity, index, cause, &mut retired);
        self.settle(retired, index, result.is_ok());
        result
    }

    pub(crate) fn answer(
        &mut self,
        now: Instant,
        initiation: &Initiation,
    ) -> Result<Response, HandshakeError> {
        let opened = self.identity.open_initiation(initiation)?;
        let (index, mut retired) = (self.allocate(), Vec::new());
        let Self {
            conversation,
            rng,
            identity,
            ..
        } = self;
        let result = conversation.accept_initiation(now, rng, identity, opened, index, &mut retired);
        self.settle(retired, index, result.is_ok());
        result
    }

    pub(crate) fn complete(&mut self, now: Instant, response: &Response) -> Result<(), HandshakeError> {
        let mut retired = Vec::new();
        let result = self
            .conversation
            .accept_response(now, &self.identity, response, &mut retired);
        self.retire(retired);
        result
    }

    pub(crate) fn received(&mut self, now: Instant, index: u32, what: Received) -> (bool, bool) {
        let mut retired = Vec::new();
        let outcome = self.conversation.received(now, index, what, &mut retired);
        self.retire(retired);
        (outcome.confirmed, outcome.handshake)
    }

    pub(crate) fn forget(&mut self) {
        let mut retired = Vec::new();
        self.conversation.forget(&mut retired);
        self.retire(retired);
    }

    pub(crate) fn expire(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let mut retired = Vec::new();
        while let Some(timeout) = self.conversation.expire(now, &mut self.rng, &mut retired) {
            self.timeouts.push((now, timeout));
            assert!(self.timeouts.len() < 10_000, "a timer expires without end");
            match timeout {
                Timeout::RetryHandshake => self.begin(now, Cause::Retry, out),
                Timeout::NewHandshake => self.begin(now, Cause::Fresh, out),
                Timeout::Keepalive | Timeout::PersistentKeepalive => self.send_keepalive(now, out),
                Timeout::GiveUp => self.staged.clear(),
                Timeout::ZeroKeys => {}
            }
        }
        self.retire(retired);
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
        source: SocketAddr,
        out: &mut Vec<Vec<u8>>,
    ) {
        let message = Message::parse(datagram).unwrap();
        if matches!(message, Message::Initiation(_) | Message::Response(_)) {
            assert!(self.identity.check_mac1(datagram));
            if self.under_load && !self.cookies.check_mac2(now, datagram, source) {
                let reply = self.cookies.reply(now, &mut self.rng, datagram, source).unwrap();
                out.push(reply.as_bytes().to_vec());
                return;
            }
        }
        let result = match message {
            Message::Initiation(initiation) => self
                .answer(now, initiation)
                .map(|response| out.push(response.as_bytes().to_vec())),
            Message::Response(response) => self
                .complete(now, response)
                .map(|()| self.send_keepalive(now, out)),
            Message::CookieReply(reply) => self.conversation.accept_cookie(now, reply),
            Message::Data(header) => {
                self.receive_data(
                    now,
                    header.receiver(),
                    header.counter(),
                    &datagram[DataHeader::LEN..],
                    out,
                );
                Ok(())
            }
        };
        self.errors.extend(result.err());
    }

    fn receive_data(
        &mut self,
        now: Instant,
        index: u32,
        counter: u64,
        sealed: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) {
        let Some(session) = self.conversation.session_mut(index) else {
            return;
        };
        if !session.can_receive(now, counter) || session.window.check(counter).is_err() {
            return;
        }
        let mut text = sealed.to_vec();
        assert!(matches!(
            open_one(&session.keys.open, counter, &[], &mut text),
            Verdict::Authentic
        ));
        session.window.accept(counter).unwrap();
        text.truncate(text.len() + DataHeader::LEN - DATA_OVERHEAD);
        let what = if text.is_empty() {
            Received::Keepalive
        } else {
            Received::Data
        };
        if !text.is_empty() {
            self.delivered.push(text);
        }
        let (confirmed, handshake) = self.received(now, index, what);
        if confirmed {
            self.flush(now, out);
        }
        if handshake {
            self.begin(now, Cause::Fresh, out);
        }
    }

    fn settle(&mut self, retired: Vec<u32>, index: u32, used: bool) {
        if !used {
            self.indices.remove(&index);
        }
        self.retire(retired);
    }

    /// The index table has exactly the indices that the conversation knows.
    fn retire(&mut self, retired: Vec<u32>) {
        for index in retired {
            assert!(self.indices.remove(&index), "{index} was retired twice");
        }
        for &index in &self.indices {
            let known = self.conversation.session(index).is_some()
                || self.conversation.handshake_index() == Some(index);
            assert!(known, "{index} is in nobody's use but was not retired");
        }
    }
}
