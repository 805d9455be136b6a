//! Bad weather: loss, delay, duplicates and amnesia, in any order. What must hold in all of it, and afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use wirewright_protocol::Message;

use crate::pair::{Datagram, Kind, LATENCY, Pair, Side, millis, seconds};
use Side::{Alice, Bob};

#[derive(Clone, Debug)]
enum Event {
    Send(Side),
    Wait(Duration),
    Forget(Side),
    Load(Side, bool),
    Persist(Side, Option<Duration>),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Alice), Just(Bob)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => side().prop_map(Event::Send),
        6 => (1u64..3000).prop_map(|time| Event::Wait(millis(time))),
        2 => (1u64..200).prop_map(|time| Event::Wait(seconds(time))),
        1 => side().prop_map(Event::Forget),
        1 => (side(), any::<bool>()).prop_map(|(side, load)| Event::Load(side, load)),
        1 => (side(), proptest::option::of((1u64..30).prop_map(seconds))).prop_map(|(side, it)| Event::Persist(side, it)),
    ]
}

/// The fate of the n-th datagram: one byte decides how many copies arrive, the next when.
fn storm(bytes: Vec<u8>) -> impl FnMut(&Datagram) -> Vec<Duration> {
    let mut bytes = bytes.into_iter().cycle();
    move |_| {
        let (luck, delay) = (bytes.next().unwrap(), bytes.next().unwrap());
        let delay = millis(u64::from(delay) * 4);
        match luck {
            0..=80 => vec![],
            81..=200 => vec![delay],
            201.. => vec![delay, delay + delay],
        }
    }
}

/// No two packets of one sender have the same index and counter: the nonce rule.
fn no_nonce_is_used_twice(wire: &[Datagram]) {
    let mut nonces = BTreeSet::new();
    for datagram in wire {
        if let Ok(Message::Data(header)) = Message::parse(&datagram.bytes) {
            assert!(nonces.insert((datagram.from, header.receiver(), header.counter())));
        }
    }
}

/// Handshake messages of one sender are 5 s apart, but for a response, which the peer's initiation asks for.
fn initiations_keep_their_distance(wire: &[Datagram], forgot: bool) {
    for side in Side::BOTH {
        let initiations = wire
            .iter()
            .filter(|datagram| datagram.from == side && datagram.kind == Kind::Initiation);
        let times: Vec<_> = initiations.map(|datagram| datagram.at).collect();
        let gap = times
            .windows(2)
            .map(|pair| pair[1].saturating_since(pair[0]))
            .min();
        assert!(forgot || gap.is_none_or(|gap| gap >= seconds(5)), "{gap:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The hosts check at each step that the indices in use are those not retired.
    #[test]
    fn whatever_the_weather_packets_arrive_once_and_the_tunnel_recovers(
        fates in proptest::collection::vec(any::<u8>(), 2..200),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut pair = Pair::new();
        pair.network = Box::new(storm(fates));
        let mut serial = 0u32;
        for event in &events {
            let now = pair.now;
            match *event {
                Event::Send(side) => {
                    serial += 1;
                    pair.send(side, &serial.to_be_bytes());
                }
                Event::Wait(time) => pair.run_for(time),
                Event::Forget(side) => pair.host(side).forget(),
                Event::Load(side, load) => pair.host(side).under_load = load,
                Event::Persist(side, interval) => {
                    pair.host(side).conversation.set_persistent_keepalive(now, interval);
                }
            }
        }
        pair.run_for(seconds(2));
        no_nonce_is_used_twice(&pair.wire);
        let forgot = events.iter().any(|event| matches!(event, Event::Forget(_)));
        initiations_keep_their_distance(&pair.wire, forgot);

        // The sun comes out. Within a minute of talking both ways, both ways work.
        pair.network = Box::new(|_| vec![LATENCY]);
        for _ in 0..60 {
            for side in Side::BOTH {
                serial += 1;
                pair.send(side, &serial.to_be_bytes());
                pair.run_for(millis(500));
            }
        }
        pair.run_for(seconds(1));
        for (side, last) in [(Alice, serial), (Bob, serial - 1)] {
            let delivered = &pair.host(side).delivered;
            prop_assert_eq!(delivered.last().unwrap(), &last.to_be_bytes());
            let unique: BTreeSet<_> = delivered.iter().collect();
            prop_assert_eq!(unique.len(), delivered.len());
        }
    }
}
