//! Floods: whom they may keep from a handshake, and whom not.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::author::{Author, sign};
use support::{LATENCY, MTU, Network, ipv4, secret};
use wirewright_engine::{Event, Limits};

/// A data message for a receiver index that nobody has, in the first shard.
fn nobodys() -> Vec<u8> {
    let mut data = vec![0; 32];
    data[0] = 4;
    data
}

fn busy() -> Limits {
    Limits {
        under_load: 0,
        ..Limits::default()
    }
}

/// Makes an author known to node 0, which is under load, and gives him a cookie.
fn known_author(network: &mut Network, number: u8) -> Author {
    let mut author = Author::introduced(network, 0, number);
    for kind in [3, 2] {
        let initiation = author.initiation(network.moment());
        network.inject(0, author.address, &initiation);
        let answer = network.intercept().pop().unwrap();
        assert_eq!(answer.bytes[0], kind);
        author.hear(&answer.bytes);
    }
    author
}

/// Initiations that say to come from `author`, but have no mac1.
fn forgeries(author: &mut Author, network: &Network, count: usize) -> Vec<Vec<u8>> {
    let mut initiation = author.initiation(network.moment());
    let mac1 = initiation.len() - 32;
    initiation[mac1..].fill(0x77);
    vec![initiation; count]
}

with_one_and_four_shards! {
    fn no_shard_waits_for_its_handshakes_until_a_flood_of_another_is_over(shards) {
        let limits = Limits { datagrams_per_handshake: 64, handshakes_per_idle_poll: 1, ..Limits::default() };
        let mut network = Network::of(shards, &[limits, Limits::default(), Limits::default(), Limits::default(), Limits::default()], MTU);
        // Peers go round the shards, so each has one.
        for other in 1..5 {
            network.introduce(0, other, true);
            network.introduce(other, 0, false);
            network.send(0, other, b"hello");
        }
        network.run(LATENCY);
        let responses = network.intercept();
        assert_eq!(responses.len(), 4);
        for response in responses {
            network.deliver(0, response.from, &[response.bytes]);
        }
        let mut rounds = 0;
        while network.nodes[0].engine.has_handshakes() {
            network.deliver(0, "203.0.113.66:1".parse().unwrap(), &vec![nobodys(); 16]);
            network.handshakes(0, true);
            rounds += 1;
            assert!(rounds <= 4 * 64 / 16, "the flood paid for more handshakes than waited");
        }
        for other in 1..5 {
            assert!(network.status(0, &network.nodes[other].key).has_session);
        }
    }

    fn a_quiet_hour_does_not_pay_for_a_stampede(shards) {
        let mut network = Network::new(1, shards);
        for _ in 0..400 {
            network.deliver(0, "203.0.113.66:1".parse().unwrap(), &vec![nobodys(); 256]);
        }
        let mut stranger = Author::new(99, network.nodes[0].key);
        let initiations: Vec<Vec<u8>> = (0..100).map(|_| stranger.initiation(network.moment())).collect();
        network.deliver(0, stranger.address, &initiations);
        network.handshakes(0, true);
        assert_eq!(network.counter(0, Event::UnknownPeer), u64::from(Limits::default().handshakes_per_idle_poll));
    }

    fn while_datagrams_wait_they_pay_for_every_handshake(shards) {
        let mut network = Network::of(shards, &[Limits { datagrams_per_handshake: 100, ..Limits::default() }], MTU);
        let mut stranger = Author::new(99, network.nodes[0].key);
        let initiations: Vec<Vec<u8>> = (0..500).map(|_| stranger.initiation(network.moment())).collect();
        network.deliver(0, stranger.address, &initiations);
        network.handshakes(0, true);
        let before = network.counter(0, Event::UnknownPeer);
        for _ in 0..100 {
            network.deliver(0, "203.0.113.66:1".parse().unwrap(), &vec![nobodys(); 10]);
            network.handshakes(0, true);
        }
        assert_eq!(network.counter(0, Event::UnknownPeer) - before, 10);
    }

    fn who_forges_a_peers_address_spends_no_handshake_of_it(shards) {
        let limits = Limits { datagrams_per_known_check: 4, datagrams_per_known_cookie: 16, ..busy() };
        let mut network = Network::of(shards, &[limits], MTU);
        let mut author = known_author(&mut network, 99);
        network.now += Duration::from_secs(1);
        let flood = forgeries(&mut author, &network, 1000);
        network.deliver(0, author.address, &flood);
        let before = network.sent(0, 2);
        for _ in 0..20 {
            let flood = forgeries(&mut author, &network, 50);
            network.deliver(0, author.address, &flood);
            let initiation = author.initiation(network.moment());
            network.deliver(0, author.address, &[initiation]);
        }
        network.handshakes(0, false);
        assert!(network.sent(0, 2) > before, "{:?}", network.nodes[0].engine.counters());
        assert_eq!(network.counter(0, Event::RateLimited), 0);
    }

    fn what_comes_from_a_forged_address_is_read_a_few_times_only(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = known_author(&mut network, 99);
        network.now += Duration::from_secs(1);
        let flood = forgeries(&mut author, &network, 2000);
        for some in flood.chunks(100) {
            network.deliver(0, author.address, some);
        }
        let (limits, read) = (Limits::default(), network.counter(0, Event::BadMac1));
        let paid = 2000 / u64::from(limits.datagrams_per_known_check) + u64::from(limits.checks_at_once);
        assert!(read <= paid + 5, "{read} of 2000 were read");
        assert_eq!(read + network.counter(0, Event::HandshakeUnread), 2000);
    }

    fn a_forged_address_with_a_good_mac1_gets_few_cookies(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = known_author(&mut network, 99);
        network.now += Duration::from_secs(1);
        let mut forgery = author.initiation(network.moment());
        sign(&mut forgery, &network.nodes[0].key);
        let before = network.sent(0, 3);
        for _ in 0..50 {
            network.deliver(0, author.address, &vec![forgery.clone(); 40]);
        }
        let (limits, cookies) = (Limits::default(), (network.sent(0, 3) - before) as u32);
        assert!(cookies <= 2000 / limits.datagrams_per_known_cookie + limits.cookies_at_once + 5, "{cookies} cookies");
        assert!(cookies >= 2000 / limits.datagrams_per_known_cookie, "{cookies} cookies");
    }

    fn other_peers_do_not_notice_that_one_is_forged(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut victim = known_author(&mut network, 99);
        let mut other = known_author(&mut network, 98);
        network.now += Duration::from_secs(1);
        for _ in 0..10 {
            let flood = forgeries(&mut victim, &network, 500);
            network.deliver(0, victim.address, &flood);
            let initiation = other.initiation(network.moment());
            network.inject(0, other.address, &initiation);
            let answer = network.intercept().pop().unwrap();
            assert_eq!(answer.bytes[0], 2);
            network.now += Duration::from_secs(1);
        }
    }

    fn who_proved_the_address_is_still_bounded(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = known_author(&mut network, 99);
        network.now += Duration::from_secs(1);
        let initiations: Vec<Vec<u8>> = (0..50).map(|_| author.initiation(network.moment())).collect();
        network.deliver(0, author.address, &initiations);
        // Read: five by the bucket and more by the purse; worked on: a burst of five.
        assert_eq!(network.nodes[0].engine.shards().iter().map(wirewright_engine::Shard::handshakes_waiting).sum::<usize>(), 5);
        assert!(network.counter(0, Event::RateLimited) > 0);
    }

    fn a_known_source_is_known_whatever_batch_it_comes_in(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = known_author(&mut network, 99);
        let mut stranger = Author::new(97, network.nodes[0].key);
        network.now += Duration::from_secs(1);
        let flood: Vec<Vec<u8>> = vec![stranger.initiation(network.moment()); 400];
        network.deliver(0, stranger.address, &flood);
        for shard in 0..shards {
            // Data for any shard comes first in the batch.
            let mut data = nobodys();
            data[4] = shard;
            let initiation = author.initiation(network.moment());
            network.deliver(0, author.address, &[data, initiation]);
            network.handshakes(0, false);
            assert_eq!(network.intercept().pop().unwrap().bytes[0], 2);
            network.deliver(0, stranger.address, &flood);
            network.now += Duration::from_secs(1);
        }
    }

    fn what_waits_for_another_private_key_is_dropped_and_counted(shards) {
        let mut network = Network::new(1, shards);
        let mut stranger = Author::new(99, network.nodes[0].key);
        for (key, event) in [(Some(secret(50)), Event::BadMac1), (None, Event::NoIdentity)] {
            let initiations: Vec<Vec<u8>> = (0..3).map(|_| stranger.initiation(network.moment())).collect();
            network.deliver(0, stranger.address, &initiations);
            let (at, node) = (network.moment(), &mut network.nodes[0]);
            node.engine.set_private_key(at, key, &mut node.output);
            assert!(!node.engine.has_handshakes());
            assert_eq!(network.counter(0, event), 3);
            stranger = Author::new(99, secret(50).public());
        }
    }

    fn what_is_done_for_a_flood_is_bounded_by_the_data_that_came_with_it(shards) {
        let mut network = Network::connected(shards);
        let mut stranger = Author::new(99, network.nodes[1].key);
        let genuine = stranger.initiation(network.moment());
        let mut forged = genuine.clone();
        let mac1 = forged.len() - 32;
        forged[mac1..].fill(0x77);
        let source = |number: u32| ([198, 18, (number >> 8) as u8, number as u8], 9).into();
        let limits = Limits::default();
        // The queue is filled until the flood is noticed.
        for number in 0..limits.under_load as u32 {
            network.deliver(1, source(number), std::slice::from_ref(&genuine));
        }
        network.handshakes(1, true);
        let [checks, cookies, handshakes] = [Event::BadMac1, Event::CookieSent, Event::UnknownPeer]
            .map(|event| network.counter(1, event));
        let (mut datagrams, mut bytes) = (0, 0);
        for round in 0..400 {
            let packet = ipv4(network.nodes[0].inner, network.nodes[1].inner, &[0; 1400]);
            network.send_packets(0, &vec![packet; 16]);
            for data in network.intercept() {
                bytes += data.bytes.len();
                datagrams += 1;
                network.deliver(1, data.from, &[data.bytes]);
            }
            for number in 0..128 {
                network.deliver(1, source(round * 128 + number), &[genuine.clone(), forged.clone()]);
                datagrams += 2;
            }
            network.handshakes(1, true);
            network.intercept();
        }
        assert_eq!(network.payloads(1).len(), 400 * 16);
        let paid = datagrams + bytes as u64 / 96;
        let bound = |price: u32, at_once: u32| paid / u64::from(price) + u64::from(at_once);
        let done = |event, before| network.counter(1, event) - before;
        assert!(done(Event::BadMac1, checks) <= bound(limits.datagrams_per_check, limits.checks_at_once));
        assert!(done(Event::CookieSent, cookies) <= bound(limits.datagrams_per_cookie, limits.cookies_at_once));
        assert!(done(Event::UnknownPeer, handshakes) <= bound(limits.datagrams_per_handshake, limits.handshakes_per_idle_poll));
        // The bounds are no walls: something is done for those who are not known yet.
        assert!(done(Event::CookieSent, cookies) >= paid / u64::from(limits.datagrams_per_cookie) / 2);
        assert!(done(Event::UnknownPeer, handshakes) >= paid / u64::from(limits.datagrams_per_handshake));
    }

    fn a_shard_is_quiet_when_no_data_came_for_ten_milliseconds(shards) {
        let mut network = Network::connected(shards);
        let quiet = |network: &Network| network.nodes[1].engine.is_quiet(network.moment().now);
        assert!(quiet(&network));
        let mut stranger = Author::new(99, network.nodes[1].key);
        let flood = vec![stranger.initiation(network.moment()); 10];
        network.deliver(1, stranger.address, &flood);
        assert!(quiet(&network), "what is no data disturbs nobody");
        network.send(0, 1, b"data");
        network.run(LATENCY);
        assert!(!quiet(&network));
        network.now += Duration::from_millis(10);
        assert!(quiet(&network));
    }

    fn who_waits_for_a_handshake_is_told_when_time_has_paid_for_it(shards) {
        let mut network = Network::new(1, shards);
        let mut stranger = Author::new(99, network.nodes[0].key);
        assert_eq!(network.nodes[0].engine.handshakes_due(), None);
        let initiations: Vec<Vec<u8>> = (0..10).map(|_| stranger.initiation(network.moment())).collect();
        network.deliver(0, stranger.address, &initiations);
        network.handshakes(0, true);
        let worked_on = network.counter(0, Event::UnknownPeer);
        let due = Duration::from_nanos(network.nodes[0].engine.handshakes_due().unwrap().as_nanos());
        assert!(due > network.now);
        network.now = due - Duration::from_micros(1);
        network.handshakes(0, true);
        assert_eq!(network.counter(0, Event::UnknownPeer), worked_on);
        network.now = due;
        network.handshakes(0, true);
        assert_eq!(network.counter(0, Event::UnknownPeer), worked_on + 1);
    }

    fn established_sessions_do_not_notice_a_flood(shards) {
        let mut network = Network::connected(shards);
        let mut stranger = Author::new(99, network.nodes[1].key);
        let flood: Vec<Vec<u8>> = vec![stranger.initiation(network.moment()); 5000];
        network.deliver(1, stranger.address, &flood);
        let packet = ipv4(network.nodes[0].inner, network.nodes[1].inner, b"meanwhile");
        network.send_packets(0, &[packet]);
        network.run(LATENCY);
        assert_eq!(network.payloads(1), [b"meanwhile".to_vec()]);
        assert!(network.counter(1, Event::HandshakeQueueFull) + network.counter(1, Event::HandshakeUnread) > 0);
    }
}
