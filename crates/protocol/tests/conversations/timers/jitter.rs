//! Jitter, and what is drawn for it: 4 bytes, read as a little-endian fraction of a third of a second.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use wirewright_protocol::{Cause, Conversation, Received, Sent, Timeout};

use crate::host::Host;
use crate::pair::{LATENCY, Pair, Side, millis, seconds};
use Side::{Alice, Bob};

/// Gives one byte for ever, and counts.
struct Constant {
    byte: u8,
    drawn: usize,
}

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.drawn += 4;
        Ok(u32::from_le_bytes([self.byte; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.drawn += 8;
        Ok(u64::from_le_bytes([self.byte; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.drawn += bytes.len();
        bytes.fill(self.byte);
        Ok(())
    }
}

impl TryCryptoRng for Constant {}

/// Draws, and the jitter in nanoseconds that comes of them.
const EXTREMES: [(u8, u64); 3] = [(0x00, 0), (0x80, 167_320_261), (0xff, 333_333_332)];

/// Nanoseconds from now to the conversation's next deadline.
fn next(pair: &Pair, conversation: &Conversation) -> u64 {
    conversation
        .deadline()
        .unwrap()
        .saturating_since(pair.now)
        .as_nanos() as u64
}

#[test]
fn an_initiation_draws_a_key_and_the_jitter_of_its_repetition() {
    for (byte, jitter) in EXTREMES {
        let mut pair = Pair::new();
        let mut rng = Constant { byte, drawn: 0 };
        let (now, wall) = (pair.now, Host::wall(pair.now));
        let Host {
            conversation,
            identity,
            ..
        } = &mut pair.alice;
        conversation
            .initiate(now, wall, &mut rng, identity, 1, Cause::Fresh, &mut Vec::new())
            .unwrap();
        assert_eq!(rng.drawn, 32 + 4);
        assert_eq!(next(&pair, &pair.alice.conversation), 5_000_000_000 + jitter);
    }
}

#[test]
fn an_answer_draws_a_key() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let mut rng = Constant { byte: 1, drawn: 0 };
    let opened = pair.bob.identity.open_initiation(&message).unwrap();
    let Host {
        conversation,
        identity,
        ..
    } = &mut pair.bob;
    conversation
        .accept_initiation(pair.now, &mut rng, identity, opened, 1, &mut Vec::new())
        .unwrap();
    assert_eq!(rng.drawn, 32);
}

#[test]
fn data_draws_a_jitter_if_it_arms_the_new_handshake() {
    for (byte, jitter) in EXTREMES {
        let mut pair = Pair::connected();
        let mut rng = Constant { byte, drawn: 0 };
        pair.alice.conversation.sent(pair.now, &mut rng, Sent::Keepalive);
        assert_eq!(rng.drawn, 0);
        pair.alice.conversation.sent(pair.now, &mut rng, Sent::Data);
        assert_eq!(rng.drawn, 4);
        assert_eq!(next(&pair, &pair.alice.conversation), 15_000_000_000 + jitter);
        pair.alice
            .conversation
            .sent(pair.now + seconds(1), &mut rng, Sent::Data);
        assert_eq!(rng.drawn, 4);
    }
}

#[test]
fn a_retransmission_put_off_by_the_gate_draws_a_new_jitter() {
    for (byte, jitter) in EXTREMES {
        let mut pair = Pair::new();
        pair.lose_everything();
        pair.begin(Bob);
        let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
        pair.now = pair.now + seconds(3);
        pair.inject(Bob, message.as_bytes());
        pair.now = pair.now + seconds(3);
        let (now, mut rng) = (pair.now, Constant { byte, drawn: 0 });
        assert_eq!(pair.bob.conversation.expire(now, &mut rng, &mut Vec::new()), None);
        assert_eq!(rng.drawn, 4);
        assert_eq!(next(&pair, &pair.bob.conversation), 2_000_000_000 + jitter);
        assert_eq!(pair.bob.conversation.expire(now, &mut rng, &mut Vec::new()), None);
        assert_eq!(rng.drawn, 4);
    }
}

#[test]
fn other_expiries_draw_nothing() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"data");
    pair.run_for(LATENCY);
    let (late, mut rng) = (pair.now + millis(600_000), Constant { byte: 1, drawn: 0 });
    let Host { conversation, .. } = &mut pair.bob;
    let mut order = Vec::new();
    while let Some(timeout) = conversation.expire(late, &mut rng, &mut Vec::new()) {
        order.push(timeout);
    }
    assert_eq!(order, [Timeout::Keepalive, Timeout::ZeroKeys]);
    assert_eq!(rng.drawn, 0);
    assert!(
        !conversation
            .received(late, 1, Received::Data, &mut Vec::new())
            .confirmed
    );
}
