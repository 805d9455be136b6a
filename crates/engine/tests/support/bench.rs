//! Interfaces taken apart, whose jobs a test runs by hand.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::CryptoRng;
use wirewright_engine::{
    Batch, Control, Counters, Endpoint, Engine, Limits, Moment, OpenJob, Output, SealJob, Shard,
};
use wirewright_protocol::PublicKey;

use super::{Network, ipv4};

/// An interface taken apart, whose jobs a test runs by hand. Node 0 and node 1 have a session.
pub struct Bench<R = ChaCha20Rng> {
    pub control: Control,
    pub shards: Vec<Shard<R>>,
    pub output: Output,
    /// The home shard of the other node.
    pub home: usize,
    pub at: Moment,
}

impl<R: CryptoRng> Bench<R> {
    pub fn new(engine: Engine<R>, peer: &PublicKey, at: Moment) -> Self {
        let (control, shards) = engine.into_parts();
        let home = usize::from(control.peer(peer).unwrap().shard);
        Self {
            control,
            shards,
            output: Output::default(),
            home,
            at,
        }
    }

    pub fn home(&mut self) -> &mut Shard<R> {
        &mut self.shards[self.home]
    }

    pub fn seal_job(&mut self, packets: &[Vec<u8>]) -> Option<SealJob> {
        let (at, home) = (self.at, self.home);
        let mut batch = self.shards[home].batch();
        for packet in packets {
            assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)));
        }
        self.shards[home].send(at, batch, &mut self.output)
    }

    pub fn open_job(&mut self, datagrams: &[Vec<u8>]) -> Option<OpenJob> {
        let stride = datagrams.iter().map(Vec::len).max().unwrap();
        let mut batch = Batch::new(datagrams.len(), stride);
        for datagram in datagrams {
            let path = Endpoint::new("192.0.2.1:51820".parse().unwrap());
            assert!(batch.push_datagram(path, datagram.len(), |bytes| bytes.copy_from_slice(datagram)));
        }
        let (at, home) = (self.at, self.home);
        self.shards[home].receive(at, batch, &mut self.output)
    }

    pub fn sealed(&mut self, job: SealJob) {
        let home = self.home;
        self.shards[home].sealed(job, &mut self.output);
    }

    pub fn opened(&mut self, job: OpenJob) {
        let (at, home) = (self.at, self.home);
        self.shards[home].opened(at, job, &mut self.output);
    }

    /// Changes the configuration, and tells the shards.
    pub fn configure(&mut self, change: impl FnOnce(&mut Control)) {
        change(&mut self.control);
        for (shard, command) in self.control.commands() {
            self.shards[usize::from(shard)].command(self.at, command);
        }
    }

    pub fn datagrams(&mut self) -> Vec<Vec<u8>> {
        take(&mut self.output.datagrams)
    }

    pub fn payloads(&mut self) -> Vec<Vec<u8>> {
        take(&mut self.output.packets)
            .into_iter()
            .map(|packet| packet[20..].to_vec())
            .collect()
    }

    pub fn counters(&mut self) -> Counters {
        self.home().counters().clone()
    }
}

pub fn take(batches: &mut Vec<Batch>) -> Vec<Vec<u8>> {
    let packets = |batch: &Batch| {
        batch
            .packets()
            .map(|(_, packet)| packet.to_vec())
            .collect::<Vec<_>>()
    };
    batches.drain(..).flat_map(|batch| packets(&batch)).collect()
}

/// Both ends of a session, taken apart.
pub fn benches(shards: u8, limits: &Limits) -> (Bench, Bench) {
    let mut network = Network::with_limits(2, shards, limits);
    network.introduce(0, 1, true);
    network.introduce(1, 0, false);
    network.send(0, 1, b"first");
    network.run(Duration::from_secs(1));
    assert_eq!(network.payloads(1).len(), 1);
    let at = network.moment();
    let receiver = network.nodes.pop().unwrap();
    let sender = network.nodes.pop().unwrap();
    (
        Bench::new(sender.engine, &receiver.key, at),
        Bench::new(receiver.engine, &sender.key, at),
    )
}

/// The packet with this number from node 0 to node 1.
pub fn packet(number: usize) -> Vec<u8> {
    ipv4(
        [10, 0, 0, 1].into(),
        [10, 0, 0, 2].into(),
        &(number as u64).to_be_bytes(),
    )
}

/// The packet with this number from node 1 to node 0.
pub fn answer(number: usize) -> Vec<u8> {
    ipv4(
        [10, 0, 0, 2].into(),
        [10, 0, 0, 1].into(),
        &(number as u64).to_be_bytes(),
    )
}

pub fn numbers(payloads: &[Vec<u8>]) -> Vec<usize> {
    payloads
        .iter()
        .map(|payload| u64::from_be_bytes(payload[..8].try_into().unwrap()) as usize)
        .collect()
}

pub fn counter_of(datagram: &[u8]) -> u64 {
    u64::from_le_bytes(datagram[8..16].try_into().unwrap())
}

/// The datagrams of node 0's packets with these numbers, one each.
pub fn genuine(sender: &mut Bench, packets: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    seal(sender, &packets.map(packet).collect::<Vec<_>>())
}

/// The datagrams of these packets, one each.
pub fn seal(sender: &mut Bench, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    for chunk in packets.chunks(64) {
        let mut job = sender.seal_job(chunk).unwrap();
        job.run();
        sender.sealed(job);
    }
    sender.datagrams()
}
