//! The text that `wg(8)` speaks: read in pieces, carried out by a real engine, told, and read again.

mod model;
mod text;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use wirewright_engine::uapi::{Changes, DeviceReport, Errno, Mistake, Parser, Reply, Request};
use wirewright_engine::{Engine, Limits, Moment, Output};
use wirewright_protocol::{Instant, WallTime};

use crate::script::Script;
use model::Model;
use text::{as_a_set, described};

/// Bytes that a peer, or an allowed IP, takes in an answer at most.
const PEER_TEXT: usize = 512;
const PREFIX_TEXT: usize = 64;

const AT: Moment = Moment {
    now: Instant::from_nanos(1_000_000_000),
    wall: WallTime { seconds: 1, nanos: 0 },
};

/// Takes the first two bytes for the size of the interface and the lengths of pieces, and the others for what a client
/// sends.
///
/// # Panics
///
/// If where the stream is cut makes a difference; if a request holds more than an interface may have; if a refused one
/// changes anything; if the interface then tells something else than what was set, or what it tells cannot be set
/// again; or if an error holds what might be a key.
pub fn uapi(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (size, cuts) = (script.u8(), script.u8());
    let limits = Limits {
        peers: 1 + usize::from(size & 7),
        allowed_ips: usize::from(size >> 3 & 15),
        ..Limits::default()
    };
    let (requests, mistake) = read(&limits, script.0, |_| usize::MAX);
    let mut random = u32::from(cuts);
    let (again, same_mistake) = read(&limits, script.0, |_| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (random >> 24) as usize % (1 + usize::from(cuts))
    });
    assert_eq!(
        mistake, same_mistake,
        "where the stream was cut decides what is wrong"
    );
    let words: Vec<String> = requests.iter().map(described).collect();
    assert_eq!(
        words,
        again.iter().map(described).collect::<Vec<_>>(),
        "where the stream was cut decides what is asked"
    );
    if let Some(mistake) = mistake {
        assert!(mistake.errno() != Errno::NONE);
        assert_tells_no_key(&mistake.to_string());
    }

    let mut interfaces = [1, 4].map(|shards| Interface::new(shards, &limits));
    let mut model = Model::default();
    for (text, request) in texts(script.0).zip(requests.into_iter().zip(again)) {
        let (Request::Set(first), Request::Set(second)) = request else {
            continue;
        };
        assert_bounded(&first, &limits);
        let expected = model.after(text);
        let outcomes = [first, second]
            .into_iter()
            .zip(&mut interfaces)
            .map(|(changes, interface)| interface.set(changes));
        let outcomes: Vec<bool> = outcomes.collect();
        assert_eq!(
            outcomes[0], outcomes[1],
            "how many shards there are decides what is refused"
        );
        if outcomes[0] {
            assert!(
                expected.fits(&limits),
                "more was taken than an interface may have"
            );
            model = expected;
        }
        for interface in &interfaces {
            let told = interface.get();
            assert!(told.len() <= 256 + PEER_TEXT * limits.peers + PREFIX_TEXT * limits.allowed_ips);
            assert_eq!(
                Model::told(&told),
                model,
                "the interface tells something else than what was set"
            );
            // Like `wg showconf` and `wg setconf`.
            let mut copy = Interface::new(1, &limits);
            let (requests, mistake) = read(&limits, &as_a_set(&told), |_| usize::MAX);
            assert_eq!(mistake, None, "what the interface tells cannot be set");
            for request in requests {
                if let Request::Set(changes) = request {
                    assert!(copy.set(changes), "what the interface tells is refused");
                }
            }
            assert_eq!(Model::told(&copy.get()), model, "a copy is another");
        }
    }
}

/// Reads a stream in pieces, up to its end or to a mistake.
fn read(
    limits: &Limits,
    stream: &[u8],
    mut length: impl FnMut(usize) -> usize,
) -> (Vec<Request>, Option<Mistake>) {
    let mut parser = Parser::new(limits);
    let (mut requests, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(length(rest.len()).min(rest.len()));
        rest = behind;
        while !piece.is_empty() {
            let before = piece.len();
            match parser.read(&mut piece, &interface_index) {
                Ok(request) => requests.extend(request),
                Err(mistake) => return (requests, Some(mistake)),
            }
            assert!(
                piece.len() < before,
                "the parser takes nothing and asks for nothing"
            );
        }
    }
    (requests, None)
}

/// The requests in a stream, up to the first that is no text.
fn texts(stream: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|pair| pair == b"\n\n")? + 2;
        let (request, behind) = rest.split_at(end);
        rest = behind;
        std::str::from_utf8(request).ok()
    })
}

fn interface_index(name: &str) -> Option<u32> {
    match name {
        "lo" => Some(1),
        "eth0" => Some(2),
        _ => None,
    }
}

fn assert_bounded(changes: &Changes, limits: &Limits) {
    let prefixes = changes
        .peers
        .iter()
        .map(|peer| peer.config.allowed_ips.len() + peer.disallowed_ips.len());
    assert!(
        prefixes.sum::<usize>() <= limits.allowed_ips,
        "a request holds more allowed IPs than an interface may have"
    );
    assert!(
        changes.peers.len() <= 2 * limits.peers,
        "a request holds more peers than it may"
    );
}

fn assert_tells_no_key(text: &str) {
    let longest = text
        .split(|letter: char| !letter.is_ascii_hexdigit())
        .map(str::len)
        .max();
    assert!(text.len() <= 120 && longest < Some(16), "{text}");
}

/// An engine behind what a shell keeps for it.
struct Interface {
    engine: Engine<ChaCha8Rng>,
    random: ChaCha8Rng,
    port: u16,
    mark: u32,
}

impl Interface {
    fn new(shards: u8, limits: &Limits) -> Self {
        let random = |number| ChaCha8Rng::from_seed([number; 32]);
        Self {
            engine: Engine::new((0..shards).map(random), limits, 1420),
            random: random(99),
            port: 0,
            mark: 0,
        }
    }

    /// False: refused.
    fn set(&mut self, changes: Changes) -> bool {
        let (port, mark) = (changes.listen_port, changes.fwmark);
        let (mut output, random) = (Output::default(), &mut self.random);
        let applied = self
            .engine
            .configure(AT, |control| control.apply(changes, random), &mut output);
        if applied.is_ok() {
            self.port = port.unwrap_or(self.port);
            self.mark = mark.unwrap_or(self.mark);
        }
        applied.is_ok()
    }

    /// The answer to a get, which is asked in portions.
    fn get(&self) -> Vec<u8> {
        let (mut reply, control) = (Reply::new(), self.engine.control());
        reply.device(&DeviceReport {
            private_key: control.private_key(),
            listen_port: self.port,
            fwmark: self.mark,
        });
        for shard in self.engine.shards() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let (reports, next) = shard.reports(AT.now, slot, 2);
                for report in &reports {
                    reply.peer(report, control.allowed_ips(report.id));
                }
                from = next;
            }
        }
        reply.end(Errno::NONE, false);
        reply.bytes().to_vec()
    }
}
