//! Data messages that are refused, and what is in them.

use std::time::Duration;

use wirewright_engine::{Event, Limits};

use super::{Seen, at_device, at_node_1, at_peer};
use crate::support::author::Author;
use crate::support::{Network, ipv4};

pub fn data_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut data = vec![0; 32];
    data[0] = 4;
    network.inject(0, "192.0.2.9:51820".parse().unwrap(), &data);
    at_device(&network, event)
}

pub fn data_that_came_three_minutes_late(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(1, 0, b"slow");
    let data = network.intercept().pop().unwrap();
    network.now += Duration::from_secs(180);
    network.inject(0, data.from, &data.bytes);
    at_node_1(&network, event)
}

pub fn data_with_a_flipped_bit(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(1, 0, b"torn");
    let mut data = network.intercept().pop().unwrap();
    data.bytes[20] ^= 1;
    network.inject(0, data.from, &data.bytes);
    at_node_1(&network, event)
}

pub fn data_from_behind_the_window(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::connected(&mut network, 0, 99);
    let late = author.seal(&[]);
    author.skip(8128);
    let newest = author.seal(&[]);
    network.inject(0, author.address, &newest);
    network.inject(0, author.address, &late);
    at_peer(&network, event, &author.key)
}

pub fn data_that_came_twice(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(1, 0, b"once");
    let data = network.intercept().pop().unwrap();
    for _ in 0..2 {
        network.inject(0, data.from, &data.bytes);
    }
    at_node_1(&network, event)
}

pub fn sealed(event: Event, shards: u8, text: &[u8]) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::connected(&mut network, 0, 99);
    let data = author.seal(text);
    network.inject(0, author.address, &data);
    assert!(network.nodes[0].inbox.is_empty());
    at_peer(&network, event, &author.key)
}

pub fn an_inner_source_of_somebody_else(event: Event, shards: u8) -> Seen {
    let packet = ipv4(
        "10.0.0.77".parse().unwrap(),
        "10.0.0.1".parse().unwrap(),
        b"spoofed",
    );
    sealed(event, shards, &packet)
}

pub fn a_datagram_when_no_job_may_be_out(event: Event, shards: u8) -> Seen {
    let limits = Limits {
        jobs_in_flight: 0,
        ..Limits::default()
    };
    let mut network = Network::with_limits(1, shards, &limits);
    network.inject(0, "192.0.2.9:51820".parse().unwrap(), &[4; 32]);
    at_device(&network, event)
}
