//! The packet filter of an interface: what devices may start, and who may reach them.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "filter/model.rs"]
mod model;
#[path = "filter/packets.rs"]
mod packets;
mod support;
#[path = "filter/world.rs"]
mod world;

use std::time::Duration;

use packets::{
    ACK, FIN, ICMPV6, RST, SYN, TCP, UDP, cut_v4, cut_v6, echo, ip, packet, tcp, tcp_body, udp, udp_body,
    unreachable,
};
use wirewright_engine::filter::Protocol;
use wirewright_engine::{Event, Limits};
use world::{World, anything, rule, to_ports};

const D1: &str = "10.0.0.2";
const D2: &str = "10.0.0.3";
const HOST: &str = "10.0.0.1";
const OUTSIDE: &str = "198.51.100.7";
const D1_6: &str = "fd00::2";
const D2_6: &str = "fd00::3";
const OUTSIDE_6: &str = "2001:db8::7";

const SECOND: Duration = Duration::from_secs(1);

with_one_and_four_shards! {
    fn a_device_without_rules_starts_nothing_and_is_reached_by_nobody(shards) {
        let mut world = World::new(shards);
        assert!(!world.leaves(1, &udp(D1, 1000, OUTSIDE, 53)));
        assert!(!world.leaves(1, &udp(D1, 1000, HOST, 53)));
        assert!(!world.leaves(1, &echo(D1_6, OUTSIDE_6, true, 7)));
        assert!(!world.reaches(1, &udp(OUTSIDE, 53, D1, 1000)));
        assert!(!world.reaches(1, &tcp(OUTSIDE, 53, D1, 1000, SYN | ACK)));
        assert_eq!(world.dropped(), [3, 2, 0, 0, 0]);
        assert_eq!(world.flows(1), 0);
    }

    fn without_a_filter_everything_passes_and_nothing_is_remembered(shards) {
        let mut world = World::new(shards);
        world.guard(None);
        assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, 53)));
        assert!(world.reaches(1, &udp(OUTSIDE, 5, D1, 1000)));
        assert_eq!((world.flows(1), world.dropped()), (0, [0; 5]));
    }

    fn what_a_device_starts_is_answered_and_nothing_else_comes(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        for (device, outside) in [(D1, OUTSIDE), (D1_6, OUTSIDE_6)] {
            assert!(world.leaves(1, &udp(device, 1000, outside, 53)));
            assert!(world.reaches(1, &udp(outside, 53, device, 1000)));
            assert!(!world.reaches(1, &udp(outside, 54, device, 1000)));
            assert!(!world.reaches(1, &udp(outside, 53, device, 1001)));
            assert!(!world.reaches(1, &tcp(outside, 53, device, 1000, SYN)));
            assert!(world.leaves(1, &tcp(device, 1000, outside, 80, SYN)));
            assert!(world.reaches(1, &tcp(outside, 80, device, 1000, SYN | ACK)));
            assert!(world.leaves(1, &echo(device, outside, true, 9)));
            assert!(world.reaches(1, &echo(outside, device, false, 9)));
            assert!(!world.reaches(1, &echo(outside, device, false, 8)));
            assert!(!world.reaches(1, &echo(outside, device, true, 9)));
            assert!(world.leaves(1, &packet(ip(device), ip(outside), 47, b"generic routing")));
            assert!(world.reaches(1, &packet(ip(outside), ip(device), 47, b"generic routing")));
        }
        assert_eq!(world.flows(1), 8);
    }

    fn only_protocols_and_ports_that_a_rule_names_are_open(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[
            to_ports(Protocol::Tcp, "198.51.100.0/24", 80, 81),
            to_ports(Protocol::Udp, "198.51.100.7/32", 53, 53),
            rule(Protocol::Icmp, "0.0.0.0/0"),
        ]);
        assert!(world.leaves(1, &tcp(D1, 1, OUTSIDE, 80, SYN)));
        assert!(world.leaves(1, &tcp(D1, 1, OUTSIDE, 81, SYN)));
        assert!(!world.leaves(1, &tcp(D1, 1, OUTSIDE, 82, SYN)));
        assert!(!world.leaves(1, &tcp(D1, 1, OUTSIDE, 79, SYN)));
        assert!(!world.leaves(1, &tcp(D1, 1, "198.51.101.1", 80, SYN)));
        assert!(world.leaves(1, &udp(D1, 1, OUTSIDE, 53)));
        assert!(!world.leaves(1, &udp(D1, 1, "198.51.100.8", 53)));
        assert!(!world.leaves(1, &udp(D1, 1, OUTSIDE, 80)));
        assert!(world.leaves(1, &echo(D1, OUTSIDE, true, 1)));
        assert!(!world.leaves(1, &echo(D1_6, OUTSIDE_6, true, 1)));
        assert!(!world.leaves(1, &packet(ip(D1), ip(OUTSIDE), 47, b"generic routing")));
    }

    fn devices_are_kept_apart_unless_a_rule_lies_inside_the_pool(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[anything()[0], anything()[1], rule(Protocol::Any, "10.0.0.0/8")]);
        world.allow(2, &anything());
        for (one, two) in [(D1, D2), (D1_6, D2_6)] {
            assert!(!world.leaves(1, &udp(one, 1000, two, 53)));
            assert!(!world.reaches(2, &udp(one, 1000, two, 53)));
        }
        world.allow(1, &[to_ports(Protocol::Udp, "10.0.0.3/32", 53, 53), rule(Protocol::Any, "fd00::/64")]);
        for (one, two) in [(D1, D2), (D1_6, D2_6)] {
            assert!(world.crosses(1, 2, &udp(one, 1000, two, 53)));
            assert!(world.crosses(2, 1, &udp(two, 53, one, 1000)));
            assert!(!world.leaves(2, &udp(two, 53, one, 1001)));
            assert!(!world.reaches(1, &udp(two, 53, one, 1001)));
        }
        assert!(!world.leaves(1, &udp(D1, 1000, D2, 54)));
    }

    fn the_host_reaches_every_device_from_its_own_address_and_is_answered(shards) {
        let mut world = World::new(shards);
        assert!(world.reaches(1, &tcp(HOST, 5000, D1, 22, SYN)));
        assert!(world.leaves(1, &tcp(D1, 22, HOST, 5000, SYN | ACK)));
        assert!(world.reaches(1, &echo(HOST, D1, true, 3)));
        assert!(world.leaves(1, &echo(D1, HOST, false, 3)));
        assert!(!world.leaves(1, &tcp(D1, 23, HOST, 5000, SYN | ACK)));
        assert!(!world.leaves(1, &tcp(D1, 1000, HOST, 22, SYN)));
        // What it says of itself needs no flow.
        assert!(world.reaches(1, &unreachable(HOST, &udp(D1, 1, OUTSIDE, 2))));
        // An address of the host's that is not inside the tunnel is anybody's.
        assert!(!world.reaches(1, &tcp("192.0.2.1", 5000, D1, 22, SYN)));
    }

    fn errors_about_a_flow_pass_both_ways_and_others_do_not(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        for (device, outside, router) in [(D1, OUTSIDE, "203.0.113.1"), (D1_6, OUTSIDE_6, "2001:db8:1::1")] {
            let out = udp(device, 1000, outside, 53);
            assert!(!world.reaches(1, &unreachable(router, &out)), "before the flow");
            assert!(world.leaves(1, &out));
            assert!(world.reaches(1, &unreachable(router, &out)));
            assert!(!world.reaches(1, &unreachable(router, &udp(device, 1001, outside, 53))));
            let back = udp(outside, 53, device, 1000);
            assert!(world.reaches(1, &back));
            assert!(world.leaves(1, &unreachable(device, &back)));
            assert!(!world.leaves(1, &unreachable(device, &udp(outside, 53, device, 1))));
            let ping = echo(device, outside, true, 5);
            assert!(world.leaves(1, &ping));
            assert!(world.reaches(1, &unreachable(router, &ping)));
            assert!(!world.reaches(1, &unreachable(router, &echo(device, outside, true, 6))));
            assert!(!world.reaches(1, &unreachable(router, &echo(device, outside, false, 5))));
        }
    }

    fn an_error_to_somebody_else_than_who_sent_what_it_is_about_is_dropped(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        world.allow(2, &anything());
        let out = udp(D1, 1000, OUTSIDE, 53);
        assert!(world.leaves(1, &out));
        let mut astray = unreachable("203.0.113.1", &out);
        astray[16..20].copy_from_slice(&[10, 0, 0, 3]);
        assert!(!world.reaches(2, &astray));
        let back = udp(OUTSIDE, 53, D1, 1000);
        let mut astray = unreachable(D1, &back);
        astray[16..20].copy_from_slice(&[198, 51, 100, 8]);
        assert!(!world.leaves(1, &astray));
    }

    fn fragments_follow_their_first_one(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[to_ports(Protocol::Udp, "0.0.0.0/0", 53, 53), to_ports(Protocol::Udp, "::/0", 53, 53)]);
        let cut = |source: &str, destination: &str, ports: (u16, u16), id: u16| {
            let whole = packet(ip(source), ip(destination), UDP, &udp_body(ports.0, ports.1, &[7; 100]));
            match ip(source).is_ipv4() {
                true => cut_v4(&whole, id, &[40, 80]),
                false => cut_v6(&whole, id.into(), &[40, 80]),
            }
        };
        for (device, outside) in [(D1, OUTSIDE), (D1_6, OUTSIDE_6)] {
            let out = cut(device, outside, (1000, 53), 1);
            assert!(!world.leaves(1, &out[1]), "before the first");
            for fragment in [&out[0], &out[2], &out[1]] {
                assert!(world.leaves(1, fragment));
            }
            // Of another packet, and of one that was denied.
            assert!(!world.leaves(1, &cut(device, outside, (1000, 53), 2)[1]));
            for fragment in cut(device, outside, (1000, 54), 3) {
                assert!(!world.leaves(1, &fragment));
            }
            for fragment in cut(outside, device, (53, 1000), 1) {
                assert!(world.reaches(1, &fragment), "the answer");
            }
            // With the identification of one that passed, which may be chosen.
            for fragment in cut(outside, device, (54, 1000), 1) {
                assert!(!world.reaches(1, &fragment));
            }
            world.wait(31 * SECOND);
            assert!(!world.leaves(1, &out[1]), "long after the first");
        }
    }

    fn a_fragment_that_could_rewrite_the_header_is_dropped(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[to_ports(Protocol::Tcp, "0.0.0.0/0", 80, 80), to_ports(Protocol::Tcp, "::/0", 80, 80)]);
        for (device, outside) in [(D1, OUTSIDE), (D1_6, OUTSIDE_6)] {
            let body = [tcp_body(1000, 80, SYN), vec![7; 60]].concat();
            let whole = packet(ip(device), ip(outside), TCP, &body);
            let cut = |at: &[usize]| if ip(device).is_ipv4() { cut_v4(&whole, 1, at) } else { cut_v6(&whole, 1, at) };
            assert!(!world.leaves(1, &cut(&[16])[0]), "a first one that is too short");
            assert!(world.leaves(1, &cut(&[24])[0]));
            assert!(!world.leaves(1, &cut(&[8])[1]));
            assert!(!world.leaves(1, &cut(&[16])[1]));
            assert!(world.leaves(1, &cut(&[24])[1]));
        }
        assert_eq!(world.dropped(), [0, 0, 4, 2, 0]);
    }

    fn an_error_in_fragments_is_dropped(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        let out = udp(D1, 1000, OUTSIDE, 53);
        assert!(world.leaves(1, &out));
        let mut error = unreachable("203.0.113.1", &out);
        assert!(world.reaches(1, &error));
        error[6] = 0x20;
        assert!(!world.reaches(1, &error));
    }

    fn extension_headers_hide_nothing(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[to_ports(Protocol::Udp, "::/0", 53, 53)]);
        let with = |chain: &[u8], port: u16| {
            let body = [chain, &udp_body(1000, port, b"hidden")].concat();
            packet(ip(D1_6), ip(OUTSIDE_6), 0, &body)
        };
        // Hop-by-hop options, destination options of 16 bytes, a routing header that leads nowhere, an atomic fragment.
        let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
        let destination = [43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let routing = [44, 0, 0, 0, 0, 0, 0, 0];
        let fragment = [UDP, 0, 0, 0, 0, 0, 0, 9];
        let chain = [&hop_by_hop[..], &destination, &routing, &fragment].concat();
        assert!(world.leaves(1, &with(&chain, 53)));
        assert!(!world.leaves(1, &with(&chain, 54)));
        assert_eq!(world.dropped(), [1, 0, 0, 0, 0]);
        let mut elsewhere = chain.clone();
        elsewhere[8 + 16 + 3] = 1;
        assert!(!world.leaves(1, &with(&elsewhere, 53)));
        let mut endless: Vec<u8> = [0, 0, 1, 4, 0, 0, 0, 0].repeat(9);
        endless[8 * 8] = UDP;
        assert!(!world.leaves(1, &with(&endless, 53)));
        endless.truncate(8 * 8);
        endless[8 * 7] = UDP;
        assert!(world.leaves(1, &with(&endless, 53)));
        assert!(!world.leaves(1, &packet(ip(D1_6), ip(OUTSIDE_6), 0, &hop_by_hop[..4])));
        assert_eq!(world.dropped(), [1, 0, 0, 3, 0]);
    }

    fn a_fragment_behind_extension_headers_cannot_rewrite_them(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[to_ports(Protocol::Udp, "::/0", 53, 53)]);
        let options = [UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let whole = packet(ip(D1_6), ip(OUTSIDE_6), 60, &[&options, &udp_body(1000, 53, &[7; 60])[..]].concat());
        assert!(world.leaves(1, &cut_v6(&whole, 1, &[32])[0]));
        assert!(!world.leaves(1, &cut_v6(&whole, 1, &[16])[1]));
        assert!(world.leaves(1, &cut_v6(&whole, 1, &[24])[1]));
    }

    fn a_source_route_is_dropped(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        let with = |options: &[u8]| {
            let plain = udp(D1, 1000, OUTSIDE, 53);
            let mut packet = [&plain[..20], options, &plain[20..]].concat();
            packet[0] = 0x45 + (options.len() / 4) as u8;
            packet[3] += options.len() as u8;
            packet
        };
        assert!(world.leaves(1, &with(&[148, 4, 0, 0])), "a router alert");
        assert!(world.leaves(1, &with(&[1, 1, 1, 0])));
        assert!(!world.leaves(1, &with(&[1, 131, 7, 4, 10, 0, 0, 3])));
        assert!(!world.leaves(1, &with(&[137, 7, 4, 10, 0, 0, 3, 0])));
        assert!(!world.leaves(1, &with(&[7, 1, 0, 0])));
        assert!(!world.leaves(1, &with(&[7, 9, 0, 0])));
        assert_eq!(world.dropped(), [0, 0, 0, 4, 0]);
    }

    fn flows_that_are_allowed_no_longer_end_at_once_and_others_go_on(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        for port in [53, 54] {
            assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, port)));
        }
        assert!(world.reaches(1, &udp(HOST, 7, D1, 1000)));
        world.allow(1, &[to_ports(Protocol::Udp, "0.0.0.0/0", 54, 54)]);
        assert!(!world.reaches(1, &udp(OUTSIDE, 53, D1, 1000)));
        assert!(!world.leaves(1, &udp(D1, 1000, OUTSIDE, 53)));
        assert!(world.reaches(1, &udp(OUTSIDE, 54, D1, 1000)));
        assert!(world.leaves(1, &udp(D1, 1000, HOST, 7)), "an answer to the host");
        assert_eq!(world.flows(1), 2);
    }

    fn a_flow_between_devices_ends_both_ways_with_its_permission(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[rule(Protocol::Any, "10.0.0.0/24")]);
        assert!(world.crosses(1, 2, &udp(D1, 1000, D2, 53)));
        assert!(world.crosses(2, 1, &udp(D2, 53, D1, 1000)));
        world.allow(1, &[]);
        assert!(!world.crosses(1, 2, &udp(D1, 1000, D2, 53)));
        assert!(!world.crosses(2, 1, &udp(D2, 53, D1, 1000)));
    }

    fn flows_end_when_the_guard_changes_what_is_protected(shards) {
        let mut world = World::new(shards);
        world.guard(Some(wirewright_engine::filter::Guard::default()));
        world.allow(1, &anything());
        assert!(world.crosses(1, 2, &udp(D1, 1000, D2, 53)));
        world.guard(Some(world::guard()));
        assert!(!world.leaves(1, &udp(D1, 1000, D2, 53)));
        assert!(!world.reaches(1, &udp(D2, 53, D1, 1000)));
    }

    fn a_flow_lasts_as_long_as_its_protocol_needs(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        let out = |port| udp(D1, 1000, OUTSIDE, port);
        let back = |port| udp(OUTSIDE, port, D1, 1000);
        let answered = |world: &mut World, port| world.leaves(1, &out(port)) && world.reaches(1, &back(port));
        assert!(world.leaves(1, &out(1)));
        world.wait(31 * SECOND);
        assert!(!world.reaches(1, &back(1)), "30 s without an answer");
        assert!(answered(&mut world, 2));
        world.wait(179 * SECOND);
        assert!(world.reaches(1, &back(2)), "each packet counts");
        world.wait(179 * SECOND);
        assert!(world.reaches(1, &back(2)));
        world.wait(181 * SECOND);
        assert!(!world.reaches(1, &back(2)));
        assert!(world.leaves(1, &echo(D1, OUTSIDE, true, 1)));
        world.wait(29 * SECOND);
        assert!(world.reaches(1, &echo(OUTSIDE, D1, false, 1)));
        world.wait(31 * SECOND);
        assert!(!world.reaches(1, &echo(OUTSIDE, D1, false, 1)));
    }

    fn a_connection_lasts_by_its_state(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        let out = |port, flags| tcp(D1, 1000, OUTSIDE, port, flags);
        let back = |port, flags| tcp(OUTSIDE, port, D1, 1000, flags);
        assert!(world.leaves(1, &out(1, SYN)));
        world.wait(241 * SECOND);
        assert!(!world.reaches(1, &back(1, SYN | ACK)), "opening");
        for port in [2, 3, 4] {
            assert!(world.leaves(1, &out(port, SYN)));
            assert!(world.reaches(1, &back(port, SYN | ACK)));
        }
        world.wait(7430 * SECOND);
        assert!(world.reaches(1, &back(2, ACK)), "established");
        assert!(world.reaches(1, &back(2, FIN | ACK)));
        world.wait(241 * SECOND);
        assert!(!world.reaches(1, &back(2, ACK)), "closing");
        assert!(!world.reaches(1, &back(3, ACK)), "two hours and four minutes");
        assert!(world.leaves(1, &out(4, SYN)));
        assert!(world.reaches(1, &back(4, SYN | ACK)));
        assert!(world.leaves(1, &out(4, RST)));
        assert!(world.leaves(1, &out(4, SYN)), "again between the same ports");
        assert!(world.reaches(1, &back(4, SYN | ACK)));
        world.wait(3600 * SECOND);
        assert!(world.reaches(1, &back(4, ACK)));
    }

    fn nobody_opens_a_connection_backwards_through_a_flow(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        assert!(world.leaves(1, &tcp(D1, 1000, OUTSIDE, 80, SYN)));
        assert!(world.reaches(1, &tcp(OUTSIDE, 80, D1, 1000, SYN)), "both at once");
        assert!(world.leaves(1, &tcp(D1, 1000, OUTSIDE, 80, ACK)));
        assert!(world.leaves(1, &tcp(D1, 1000, OUTSIDE, 80, FIN | ACK)));
        assert!(!world.reaches(1, &tcp(OUTSIDE, 80, D1, 1000, SYN)));
        assert!(!world.leaves(2, &tcp(D2, 1000, OUTSIDE, 80, SYN)));
    }

    fn a_connection_under_way_is_taken_up_by_who_may_start_it(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        assert!(!world.reaches(1, &tcp(OUTSIDE, 80, D1, 1000, ACK)));
        assert!(world.leaves(1, &tcp(D1, 1000, OUTSIDE, 80, ACK)));
        assert!(world.reaches(1, &tcp(OUTSIDE, 80, D1, 1000, ACK)));
        // What ends one begins none.
        assert!(world.leaves(1, &tcp(D1, 1001, OUTSIDE, 80, RST)));
        assert!(!world.reaches(1, &tcp(OUTSIDE, 80, D1, 1001, ACK)));
    }

    fn a_device_has_so_many_flows_and_no_more(shards) {
        let limits = Limits { flows_per_peer: 3, ..Limits::default() };
        let mut world = World::with_limits(shards, &limits);
        world.allow(1, &anything());
        world.allow(2, &anything());
        for port in 1..=3 {
            assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, port)));
        }
        assert!(!world.leaves(1, &udp(D1, 1000, OUTSIDE, 4)));
        assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, 1)));
        assert!(world.leaves(2, &udp(D2, 1000, OUTSIDE, 4)), "another device has its own");
        assert_eq!(world.dropped(), [0, 0, 0, 0, 1]);
        world.wait(31 * SECOND);
        assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, 4)), "those that are gone make room");
    }

    fn who_may_reach_a_device_takes_half_of_its_flows_and_no_more(shards) {
        let limits = Limits { flows_per_peer: 4, ..Limits::default() };
        let mut world = World::with_limits(shards, &limits);
        world.allow(1, &anything());
        for port in 1..=2 {
            assert!(world.reaches(1, &udp(HOST, 1000, D1, port)));
        }
        assert!(!world.reaches(1, &udp(HOST, 1000, D1, 3)));
        assert!(world.reaches(1, &udp(HOST, 1000, D1, 1)), "what is known goes on");
        assert!(world.leaves(1, &udp(D1, 1, HOST, 1000)), "and is answered");
        for port in 1..=2 {
            assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, port)));
        }
        assert!(!world.leaves(1, &udp(D1, 1000, OUTSIDE, 3)));
        world.wait(200 * SECOND);
        for port in 3..=4 {
            assert!(world.reaches(1, &udp(HOST, 1000, D1, port)), "those that are gone make room");
        }
        assert!(!world.reaches(1, &udp(HOST, 1000, D1, 5)));
    }

    fn all_devices_together_have_so_many_flows_and_no_more(shards) {
        let limits = Limits { flows: 2, ..Limits::default() };
        let mut world = World::with_limits(shards, &limits);
        world.allow(1, &anything());
        for port in 1..=2 {
            assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, port)));
        }
        assert!(!world.leaves(1, &udp(D1, 1000, OUTSIDE, 4)));
        assert_eq!(world.dropped(), [0, 0, 0, 0, 1]);
        world.wait(60 * SECOND);
        assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, 4)));
    }

    fn what_is_gone_is_forgotten_and_then_nothing_wakes_the_shard(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        for port in 0..100 {
            assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, port)));
        }
        assert!(world.leaves(1, &cut_v4(&udp(D1, 1000, OUTSIDE, 53), 1, &[8])[0]));
        assert_eq!(world.flows(1), 100);
        world.wait(45 * SECOND);
        assert_eq!(world.flows(1), 0);
        // The last timer is that which wipes idle sessions.
        world.wait(2000 * SECOND);
        assert_eq!(world.network.nodes[0].engine.deadline(), None);
    }

    fn an_interface_that_was_down_remembers_no_flow(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        assert!(world.leaves(1, &udp(D1, 1000, OUTSIDE, 53)));
        let at = world.network.moment();
        world.network.nodes[0].engine.stop();
        assert_eq!(world.flows(1), 0);
        world.network.nodes[0].engine.resume(at);
    }

    fn a_peer_that_is_removed_leaves_no_flow_and_no_permission(shards) {
        let mut world = World::new(shards);
        world.allow(1, &[rule(Protocol::Any, "10.0.0.0/24")]);
        assert!(world.crosses(1, 2, &udp(D1, 1000, D2, 53)));
        let (at, key) = (world.network.moment(), world.network.nodes[1].key);
        let gateway = &mut world.network.nodes[0];
        assert!(gateway.engine.remove_peer(at, &key, &mut gateway.output));
        world.network.introduce(0, 1, true);
        world.wait(20 * SECOND);
        assert!(!world.leaves(1, &udp(D1, 1000, D2, 53)));
        assert!(!world.reaches(2, &udp(D1, 1000, D2, 54)));
        assert_eq!(world.flows(1), 0);
    }

    fn packets_that_wait_for_a_session_are_judged_once_more_and_leave(shards) {
        let mut world = World::new(shards);
        // The device's session is gone; the host begins another.
        world.wait(600 * SECOND);
        world.network.nodes[1].inbox.clear();
        world.network.send_packets(0, &[udp(HOST, 7, D1, 1000)]);
        world.wait(2 * SECOND);
        assert_eq!(world.network.nodes[1].inbox, [udp(HOST, 7, D1, 1000)]);
        assert_eq!(world.flows(1), 1);
    }

    fn a_packet_that_is_cut_short_is_dropped_and_counted(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        for (protocol, len) in [(TCP, 19), (UDP, 7), (1, 7)] {
            assert!(!world.leaves(1, &packet(ip(D1), ip(OUTSIDE), protocol, &vec![0; len])));
            assert!(!world.reaches(1, &packet(ip(OUTSIDE), ip(D1), protocol, &vec![0; len])));
        }
        let mut options = udp(D1, 1000, OUTSIDE, 53);
        options[0] = 0x4f;
        assert!(!world.leaves(1, &options));
        options[0] = 0x44;
        assert!(!world.leaves(1, &options));
        assert_eq!(world.dropped(), [0, 0, 0, 8, 0]);
    }

    fn of_icmp_only_echo_and_errors_pass(shards) {
        let mut world = World::new(shards);
        world.allow(1, &anything());
        for kind in [5, 9, 10, 13, 17] {
            assert!(!world.leaves(1, &packet(ip(D1), ip(OUTSIDE), 1, &[kind, 0, 0, 0, 0, 0, 0, 0])));
        }
        for kind in [130, 133, 135, 136, 137] {
            assert!(!world.leaves(1, &packet(ip(D1_6), ip(OUTSIDE_6), ICMPV6, &[kind, 0, 0, 0, 0, 0, 0, 0])));
        }
        assert_eq!(world.dropped(), [10, 0, 0, 0, 0]);
    }

    fn a_device_is_blamed_for_what_it_sent_and_for_what_was_sent_to_it(shards) {
        let mut world = World::new(shards);
        assert!(!world.leaves(1, &udp(D1, 1000, OUTSIDE, 53)));
        assert!(!world.reaches(2, &udp(OUTSIDE, 53, D2, 1000)));
        assert_eq!(world.network.peer_counter(0, 1, Event::FilterDenied), 1);
        assert_eq!(world.network.peer_counter(0, 2, Event::FilterUnasked), 1);
        assert_eq!(world.network.peer_counter(0, 2, Event::FilterDenied), 0);
    }
}
