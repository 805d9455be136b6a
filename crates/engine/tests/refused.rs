//! Datagrams that the operating system refused are told of the peers that they were for.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::author::Author;
use support::{Network, datagram, ipv4};
use wirewright_engine::{Event, Limits};

with_one_and_four_shards! {
    fn whatever_is_refused_is_counted_for_the_peer_that_it_was_for(shards) {
        let mut network = Network::new(1, shards);
        let mut authors: Vec<Author> = (0..4).map(|number| Author::connected(&mut network, 0, 90 + number)).collect();
        let (at, inner) = (network.moment(), network.nodes[0].inner);
        let packets: Vec<Vec<u8>> = authors.iter_mut().enumerate().flat_map(|(more, author)| {
            let confirmation = author.seal(&[]);
            network.inject(0, author.address, &confirmation);
            vec![ipv4(inner, author.inner, b"data"); 1 + more]
        }).collect();
        // Data, a batch for all of them; then a response for each.
        let node = &mut network.nodes[0];
        let mut batch = node.engine.batch().unwrap();
        for packet in &packets {
            assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)));
        }
        node.engine.send(at, batch, &mut node.output);
        node.refuse(Event::SendUnreachable);
        network.now += Duration::from_secs(1);
        let at = network.moment();
        for author in &mut authors {
            let initiation = author.initiation(at);
            let node = &mut network.nodes[0];
            node.engine.receive(at, datagram(author.address, &initiation), &mut node.output);
            node.engine.handshakes(at, false, &mut node.output);
            node.refuse(Event::SendForbidden);
        }
        for (more, author) in (0..).zip(&authors) {
            let counters = network.status(0, &author.key).counters;
            assert_eq!((counters.get(Event::SendUnreachable), counters.get(Event::SendForbidden)), (1 + more, 1));
        }
        assert_eq!(network.counter(0, Event::SendUnreachable), 1 + 2 + 3 + 4);
    }

    fn what_is_refused_of_nobody_or_of_a_peer_that_is_gone_is_counted_for_the_device(shards) {
        let busy = Limits { under_load: 0, ..Limits::default() };
        let mut network = Network::with_limits(1, shards, &busy);
        let mut author = Author::new(99, network.nodes[0].key);
        let at = network.moment();
        let initiation = author.initiation(at);
        let node = &mut network.nodes[0];
        node.engine.receive(at, datagram(author.address, &initiation), &mut node.output);
        node.refuse(Event::SendError);
        assert_eq!(network.counter(0, Event::SendError), 1, "a cookie reply");

        let mut network = Network::pair(shards);
        let (at, peer) = (network.moment(), network.nodes[1].key);
        let node = &mut network.nodes[0];
        node.engine.initiate(at, &peer, &mut node.output);
        let sent = std::mem::take(&mut node.output.datagrams);
        node.engine.remove_peer(at, &peer, &mut node.output);
        // It is added again, and has the same slot; but that is not the peer that the datagram was for.
        network.introduce(0, 1, false);
        let node = &mut network.nodes[0];
        node.output.datagrams = sent;
        node.refuse(Event::SendError);
        assert_eq!(network.counter(0, Event::SendError), 1);
        assert_eq!(network.peer_counter(0, 1, Event::SendError), 0);
    }
}
