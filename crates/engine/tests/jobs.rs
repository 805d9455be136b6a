//! Sealing and opening as jobs: out of order, by other threads, held back, and while the world changes under them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use support::bench::{Bench, benches, counter_of, genuine, numbers, packet, take};
use support::{LATENCY, Network, ipv4, secret};
use wirewright_engine::{Counters, Engine, Event, Limits, OpenJob, Output, PeerConfig, SealJob};

/// All orders of four things.
fn permutations() -> Vec<[usize; 4]> {
    let mut all = Vec::new();
    for number in 0..256 {
        let order = [number & 3, number >> 2 & 3, number >> 4 & 3, number >> 6];
        if (0..4).all(|item| order.contains(&item)) {
            all.push(order);
        }
    }
    assert_eq!(all.len(), 24);
    all
}

fn in_order<T>(jobs: Vec<T>, order: [usize; 4]) -> Vec<T> {
    let mut jobs: Vec<Option<T>> = jobs.into_iter().map(Some).collect();
    order.iter().map(|index| jobs[*index].take().unwrap()).collect()
}

/// Runs jobs on several threads; they come back in whatever order they are done.
fn on_threads<T: Send>(jobs: Vec<T>, run: impl Fn(&mut T) + Sync, mut done: impl FnMut(T)) {
    let (results, finished) = std::sync::mpsc::channel();
    let queue = std::sync::Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (results, queue, run) = (results.clone(), &queue, &run);
            scope.spawn(move || {
                // From the end, so that the order is surely not the right one.
                while let Some(mut job) = { queue.lock().unwrap().pop() } {
                    run(&mut job);
                    results.send(job).unwrap();
                }
            });
        }
        drop(results);
        finished.iter().for_each(&mut done);
    });
}

with_one_and_four_shards! {
    fn sealed_jobs_leave_in_the_order_they_were_made(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        for (round, order) in permutations().into_iter().enumerate() {
            let first = round * 8;
            let jobs = (0..4).map(|job| sender.seal_job(&[packet(first + 2 * job), packet(first + 2 * job + 1)]).unwrap());
            for mut job in in_order(jobs.collect(), order) {
                job.run();
                sender.sealed(job);
            }
            let datagrams = sender.datagrams();
            assert!(datagrams.windows(2).all(|pair| counter_of(&pair[0]) + 1 == counter_of(&pair[1])));
            let mut job = receiver.open_job(&datagrams).unwrap();
            job.run();
            receiver.opened(job);
            assert_eq!(numbers(&receiver.payloads()), (first..first + 8).collect::<Vec<_>>());
        }
    }

    fn opened_jobs_are_delivered_in_the_order_their_datagrams_came(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        for (round, order) in permutations().into_iter().enumerate() {
            let datagrams = genuine(&mut sender, round * 8..round * 8 + 8);
            let jobs = datagrams.chunks(2).map(|datagrams| receiver.open_job(datagrams).unwrap()).collect();
            for mut job in in_order(jobs, order) {
                job.run();
                receiver.opened(job);
            }
            assert_eq!(numbers(&receiver.payloads()), (round * 8..round * 8 + 8).collect::<Vec<_>>());
        }
    }

    fn any_thread_may_run_a_job_and_nothing_is_lost(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let all: Vec<usize> = (0..2000).collect();
        let jobs = all.chunks(10).map(|numbers| {
            let packets: Vec<Vec<u8>> = numbers.iter().copied().map(packet).collect();
            sender.seal_job(&packets).unwrap()
        });
        let jobs: Vec<SealJob> = jobs.collect();
        on_threads(jobs, SealJob::run, |job| sender.sealed(job));
        let datagrams = sender.datagrams();
        assert_eq!(datagrams.len(), 2000);
        let jobs: Vec<OpenJob> = datagrams.chunks(10).map(|datagrams| receiver.open_job(datagrams).unwrap()).collect();
        on_threads(jobs, OpenJob::run, |job| receiver.opened(job));
        assert_eq!(numbers(&receiver.payloads()), all);
    }

    fn a_job_that_nobody_ran_lets_nothing_out(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let job = sender.seal_job(&[packet(0)]).unwrap();
        sender.sealed(job);
        assert!(sender.datagrams().is_empty(), "plaintext left the tunnel");
        let datagrams = genuine(&mut sender, 1..2);
        let job = receiver.open_job(&datagrams).unwrap();
        receiver.opened(job);
        assert!(receiver.payloads().is_empty(), "ciphertext was delivered");
        assert_eq!(receiver.counters().get(Event::AuthenticationFailed), 1);
        // The counter was not used up by that.
        let mut job = receiver.open_job(&datagrams).unwrap();
        job.run();
        receiver.opened(job);
        assert_eq!(numbers(&receiver.payloads()), [1]);
    }

    fn a_datagram_in_two_jobs_at_once_is_delivered_once(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let datagrams = genuine(&mut sender, 0..3);
        let mut jobs: Vec<OpenJob> = (0..4).map(|_| receiver.open_job(&datagrams).unwrap()).collect();
        jobs.reverse();
        for mut job in jobs {
            job.run();
            receiver.opened(job);
        }
        assert_eq!(numbers(&receiver.payloads()), [0, 1, 2]);
        assert_eq!(receiver.counters().get(Event::ReplayDuplicate), 9);
    }

    fn what_was_being_opened_for_a_removed_peer_is_dropped_and_counted(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let datagrams = genuine(&mut sender, 0..3);
        let mut job = receiver.open_job(&datagrams).unwrap();
        receiver.configure(|control| assert!(control.remove_peer(&secret(0).public())));
        job.run();
        receiver.opened(job);
        assert!(receiver.payloads().is_empty());
        assert_eq!(receiver.counters().get(Event::NoSession), 3);
        assert_eq!(receiver.home().indices_in_use(), 0);
    }

    fn what_was_being_opened_for_a_former_peer_is_not_blamed_on_the_next_in_its_place(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let mut datagrams = genuine(&mut sender, 0..3);
        datagrams[2][20] ^= 1;
        let mut job = receiver.open_job(&datagrams).unwrap();
        let (former, next) = (secret(0).public(), secret(7).public());
        receiver.configure(|control| {
            let place = control.peer(&former).unwrap();
            control.remove_peer(&former);
            let config = PeerConfig { allowed_ips: vec!["10.0.0.1/32".parse().unwrap()], ..PeerConfig::default() };
            let taken = control.set_peer(next, config).unwrap();
            assert_eq!((taken.shard, taken.slot), (place.shard, place.slot));
        });
        job.run();
        receiver.opened(job);
        assert!(receiver.payloads().is_empty());
        assert_eq!(receiver.counters().get(Event::NoSession), 3);
        let at = receiver.at.now;
        let status = receiver.home().statuses(at).find(|status| status.public_key == next).unwrap();
        assert_eq!(status.counters, Counters::default());
        assert_eq!((status.received_bytes, status.endpoint), (0, None));
    }

    fn what_was_being_opened_under_a_former_private_key_is_dropped(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let mut job = receiver.open_job(&genuine(&mut sender, 0..3)).unwrap();
        receiver.configure(|control| control.set_private_key(Some(secret(40)), &mut ChaCha20Rng::from_seed([1; 32])));
        job.run();
        receiver.opened(job);
        assert!(receiver.payloads().is_empty());
        assert_eq!(receiver.counters().get(Event::NoSession), 3);
    }

    fn what_is_being_sealed_for_a_removed_peer_can_still_leave_and_the_order_stays(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let mut held = sender.seal_job(&[packet(0)]).unwrap();
        let before = sender.counters();
        sender.configure(|control| assert!(control.remove_peer(&secret(1).public())));
        assert!(sender.seal_job(&[packet(1)]).is_none(), "there is nobody to send it to");
        assert_eq!(sender.counters().get(Event::NoPeer), before.get(Event::NoPeer) + 1);
        held.run();
        sender.sealed(held);
        let mut job = receiver.open_job(&sender.datagrams()).unwrap();
        job.run();
        receiver.opened(job);
        assert_eq!(numbers(&receiver.payloads()), [0]);
    }

    fn a_prefix_that_moves_while_a_job_is_out_is_checked_as_it_stands_at_delivery(shards) {
        let (mut sender, mut receiver) = benches(shards, &Limits::default());
        let mut job = receiver.open_job(&genuine(&mut sender, 0..3)).unwrap();
        receiver.configure(|control| {
            let config = PeerConfig { allowed_ips: vec!["10.0.0.1/32".parse().unwrap()], ..PeerConfig::default() };
            control.set_peer(secret(7).public(), config).unwrap();
        });
        job.run();
        receiver.opened(job);
        assert!(receiver.payloads().is_empty());
        assert_eq!(receiver.counters().get(Event::SourceNotAllowed), 3);
    }

    /// A helper that stalls, or a machine that sleeps, between the two halves of receiving: the session that the
    /// job confirms is too old by then to send what waits for it.
    fn a_confirmation_that_was_held_for_three_minutes_does_not_hang(shards) {
        let mut network = Network::pair(shards);
        network.introduce(1, 0, true);
        network.send(0, 1, b"first");
        network.run(LATENCY);
        network.run(LATENCY);
        let confirmation = network.intercept();
        assert_eq!(confirmation.len(), 1, "the first data message is under way");
        for number in 0..100 {
            network.send(1, 0, &[number]);
        }
        assert!(network.staged_bytes(1) > 0);
        let at = network.moment();
        let key = network.nodes[0].key;
        let mut receiver = Bench::new(network.nodes.pop().unwrap().engine, &key, at);
        let mut job = receiver.open_job(&[confirmation[0].bytes.clone()]).unwrap();
        job.run();
        receiver.at = support::moment(network.now + Duration::from_secs(200));
        receiver.opened(job);
        assert!(receiver.home().staged_bytes() > 0, "they wait for the next session");
        let initiations = receiver.datagrams();
        assert_eq!((initiations.len(), initiations[0][0]), (1, 1));
    }
}

/// Gives out the same few receiver indices over and over.
struct FewIndices(ChaCha20Rng, u32);

impl rand_core::TryRng for FewIndices {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.1 = (self.1 + 1) % 4;
        Ok(self.1 << 6)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0.try_next_u64()
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

impl rand_core::TryCryptoRng for FewIndices {}

with_one_and_four_shards! {
    /// Indices are random, but may come again; a job remembers the keys, not only the index.
    fn an_index_that_came_again_does_not_let_a_former_session_in(shards) {
        let at = support::moment(Duration::from_secs(1000));
        let mut network = Network::new(1, shards);
        let mut author = support::author::Author::new(99, secret(7).public());
        let rngs = (0..shards).map(|shard| FewIndices(ChaCha20Rng::from_seed([3 + shard; 32]), 0));
        let mut engine = Engine::new(rngs, &Limits::default(), support::MTU);
        let mut output = Output::default();
        engine.set_private_key(at, Some(secret(7)), &mut output);
        let config = PeerConfig {
            allowed_ips: vec![format!("{}/32", author.inner).parse().unwrap()],
            ..PeerConfig::default()
        };
        engine.set_peer(at, author.key, config, &mut output).unwrap();
        let mut receiver = Bench::new(engine, &author.key, at);
        let mut shake_hands = |receiver: &mut Bench<FewIndices>, author: &mut support::author::Author| {
            network.now += Duration::from_secs(10);
            receiver.at = support::moment(network.now);
            let initiation = author.initiation(receiver.at);
            assert!(receiver.open_job(&[initiation]).is_none());
            let (at, mut output) = (receiver.at, Output::default());
            receiver.home().handshakes(at, false, &mut output);
            let response = take(&mut output.datagrams).pop().unwrap();
            author.hear(&response);
            u32::from_le_bytes(response[4..8].try_into().unwrap())
        };
        let index = shake_hands(&mut receiver, &mut author);
        let text = ipv4(author.inner, [10, 0, 0, 1].into(), &[0; 8]);
        let mut job = receiver.open_job(&[author.seal(&text)]).unwrap();
        // All sessions end, but the peer stays; in the end an index is its again.
        receiver
            .configure(|control| control.set_private_key(Some(secret(7)), &mut ChaCha20Rng::from_seed([1; 32])));
        while shake_hands(&mut receiver, &mut author) != index {}
        job.run();
        receiver.opened(job);
        assert!(receiver.payloads().is_empty());
        assert_eq!(receiver.counters().get(Event::NoSession), 1);
    }
}
