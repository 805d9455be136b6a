//! What provokes events where the other of device and peer counts: some are known to be a peer's only at times.

use super::*;

pub(super) fn a_packet_to_a_peer_without_a_private_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.set_private_key(at, None, &mut node.output);
    network.send(0, 1, b"as whom");
    at_node_1(&network, event)
}

pub(super) fn a_peers_initiation_with_a_forged_timestamp(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let mut initiation = author.initiation(network.moment());
    initiation[100] ^= 1;
    sign(&mut initiation, &network.nodes[0].key);
    network.inject(0, author.address, &initiation);
    at_peer(&network, event, &author.key)
}

pub(super) fn a_cookie_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let mut reply = vec![0; 64];
    reply[0] = 3;
    network.inject(0, network.nodes[1].address, &reply);
    at_device(&network, event)
}

pub(super) fn a_response_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let mut response = vec![0; 92];
    response[0] = 2;
    sign(&mut response, &network.nodes[0].key);
    network.inject(0, network.nodes[1].address, &response);
    at_device(&network, event)
}

pub(super) fn a_datagram_when_no_job_may_be_out(event: Event, shards: u8) -> Seen {
    let limits = Limits {
        jobs_in_flight: 0,
        ..Limits::default()
    };
    let mut network = Network::with_limits(1, shards, &limits);
    network.inject(0, "192.0.2.9:51820".parse().unwrap(), &[4; 32]);
    at_device(&network, event)
}

pub(super) fn a_handshake_with_a_peer_that_was_never_heard(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(2, shards);
    network.introduce(0, 1, false);
    let (at, key, node) = (network.moment(), network.nodes[1].key, &mut network.nodes[0]);
    node.engine.initiate(at, &key, &mut node.output);
    at_node_1(&network, event)
}
