//! How many full handshakes a core makes in a second, beside the bare Diffie-Hellman operations that one needs.
//!
//! A full handshake is all that both sides do: initiation made and accepted, response made and accepted. It is
//! measured through two conversations of `wirewright-protocol`, and through two engines of one shard each, where
//! receiving, the fences, the queue, and the empty packet that confirms the session count as well.
//!
//! The operations alone, by the same x25519-dalek with the same features: each side makes an ephemeral key pair (a
//! multiplication of the base point), and each side computes es, ee and se (multiplications of the other's point).
//! ss does not change between handshakes; conversations keep it, so it is not among them.
//!
//! One JSON object a line on standard output: handshakes a second of the thread's processor time, medians over
//! alternating rounds; `share_of_bare` is the median over the rounds of the rate through `through` by the bare one.

// The lines on standard output are what this program is for.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_bench::{Side, median, moment, processor_ns, secret};
use wirewright_protocol::{Cause, Conversation, Identity, Message};
use x25519_dalek::{PublicKey, StaticSecret};

const ROUNDS: usize = 41;
const HANDSHAKES: u32 = 100;
/// More than the five seconds that must lie between two initiations.
const STEP: Duration = Duration::from_secs(6);

fn main() {
    let (mut bare, mut protocol, mut engine) = (Bare::new(), Conversations::new(), Engines::new());
    let mut rates: [Vec<f64>; 3] = Default::default();
    // The first round warms up, and computes ss.
    for round in 0..=ROUNDS {
        let measured = [
            rate(|| bare.operations()),
            rate(|| protocol.handshake()),
            rate(|| engine.handshake()),
        ];
        if round > 0 {
            for (rates, rate) in rates.iter_mut().zip(measured) {
                rates.push(rate);
            }
        }
    }
    assert_eq!(engine.completed, (ROUNDS as u64 + 1) * u64::from(HANDSHAKES));
    let [bare, protocol, engine] = rates;
    for (through, rates) in [("protocol", protocol), ("engine", engine)] {
        let shares = rates.iter().zip(&bare).map(|(rate, bare)| rate / bare).collect();
        println!(
            "{{\"bench\":\"handshakes\",\"through\":\"{through}\",\"per_second\":{:.0},\"bare_per_second\":{:.0},\
             \"share_of_bare\":{:.3}}}",
            median(rates),
            median(bare.clone()),
            median(shares),
        );
    }
}

/// How often a second `work` can be done.
fn rate(mut work: impl FnMut()) -> f64 {
    let start = processor_ns();
    for _ in 0..HANDSHAKES {
        work();
    }
    f64::from(HANDSHAKES) * 1e9 / (processor_ns() - start) as f64
}

/// The operations alone, of both sides.
struct Bare {
    rng: ChaCha20Rng,
    initiator: StaticSecret,
    responder: StaticSecret,
    initiator_public: PublicKey,
    responder_public: PublicKey,
}

impl Bare {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (initiator, responder) = (scalar(&mut rng), scalar(&mut rng));
        Self {
            rng,
            initiator_public: PublicKey::from(&initiator),
            responder_public: PublicKey::from(&responder),
            initiator,
            responder,
        }
    }

    fn operations(&mut self) {
        let ephemeral = scalar(&mut self.rng);
        let ephemeral_public = PublicKey::from(&ephemeral);
        let es = ephemeral.diffie_hellman(&self.responder_public);
        let same_es = self.responder.diffie_hellman(&ephemeral_public);
        assert_eq!(es.as_bytes(), same_es.as_bytes());

        let answer = scalar(&mut self.rng);
        let answer_public = PublicKey::from(&answer);
        let ee = answer.diffie_hellman(&ephemeral_public);
        let se = answer.diffie_hellman(&self.initiator_public);
        let same_ee = ephemeral.diffie_hellman(&answer_public);
        let same_se = self.initiator.diffie_hellman(&answer_public);
        assert_eq!(ee.as_bytes(), same_ee.as_bytes());
        assert_eq!(se.as_bytes(), same_se.as_bytes());
    }
}

fn scalar(rng: &mut ChaCha20Rng) -> StaticSecret {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    StaticSecret::from(bytes)
}

/// Two conversations, the messages of which are parsed from bytes as they would come.
struct Conversations {
    rng: ChaCha20Rng,
    initiator: (Identity, Conversation),
    responder: (Identity, Conversation),
    elapsed: Duration,
    next_index: u32,
    retired: Vec<u32>,
}

impl Conversations {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let (one, other) = (Identity::new(secret(&mut rng)), Identity::new(secret(&mut rng)));
        let (to_one, to_other) = (
            Conversation::new(*one.public()),
            Conversation::new(*other.public()),
        );
        Self {
            rng,
            initiator: (one, to_other),
            responder: (other, to_one),
            elapsed: STEP,
            next_index: 0,
            retired: Vec::new(),
        }
    }

    fn handshake(&mut self) {
        self.elapsed += STEP;
        let at = moment(self.elapsed);
        self.next_index += 2;
        let (ours, theirs) = (self.next_index, self.next_index + 1);
        let Self {
            rng,
            initiator,
            responder,
            retired,
            ..
        } = self;
        retired.clear();

        let initiation =
            initiator
                .1
                .initiate(at.now, at.wall, rng, &initiator.0, ours, Cause::Fresh, retired);
        let Ok(initiation) = initiation else {
            panic!("the initiation cannot be made: {initiation:?}")
        };
        let bytes = black_box(initiation.as_bytes());
        let Ok(Message::Initiation(initiation)) = Message::parse(bytes) else {
            panic!("an initiation does not parse")
        };
        assert!(responder.0.check_mac1(bytes));
        let response = responder.0.open_initiation(initiation).and_then(|opened| {
            responder
                .1
                .accept_initiation(at.now, rng, &responder.0, opened, theirs, retired)
        });
        let Ok(response) = response else {
            panic!("the initiation is not accepted: {response:?}")
        };
        let bytes = black_box(response.as_bytes());
        let Ok(Message::Response(response)) = Message::parse(bytes) else {
            panic!("a response does not parse")
        };
        assert!(initiator.0.check_mac1(bytes));
        let accepted = initiator
            .1
            .accept_response(at.now, &initiator.0, response, retired);
        assert_eq!(accepted, Ok(()));
    }
}

/// Two interfaces, each the other's only peer.
struct Engines {
    sides: [Side; 2],
    elapsed: Duration,
    completed: u64,
}

impl Engines {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let at = moment(STEP);
        let mut sides = [1, 2].map(|number| Side::new(at, number, secret(&mut rng)));
        Side::introduce(at, &mut sides);
        Self {
            sides,
            elapsed: STEP,
            completed: 0,
        }
    }

    fn handshake(&mut self) {
        self.elapsed += STEP;
        Side::shake_hands(moment(self.elapsed), &mut self.sides);
        let [initiator, responder] = &mut self.sides;
        // The responder's only news is that the session was confirmed.
        self.completed += responder.output.notices.drain(..).count() as u64;
        initiator.output.notices.clear();
    }
}
