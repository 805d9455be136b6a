//! Requests as `wg(8)` writes them, and as nobody should.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::counters::{Counters, Event};
use crate::limits::Limits;
use crate::output::HandedOver;

const A: &str = "0100000000000000000000000000000000000000000000000000000000000000";
const B: &str = "0200000000000000000000000000000000000000000000000000000000000000";

/// The machine's interfaces.
fn interfaces(name: &str) -> Option<u32> {
    match name {
        "eth0" => Some(2),
        "a]b%c" => Some(3),
        "7" => Some(4),
        _ => None,
    }
}

fn read(text: &str) -> Result<Option<Request>, Mistake> {
    Parser::new(&Limits::default()).read(&mut text.as_bytes(), &interfaces)
}

fn set(text: &str) -> Changes {
    match read(&format!("set=1\n{text}\n")).unwrap() {
        Some(Request::Set(changes)) => changes,
        other => panic!("{other:?}"),
    }
}

fn problem(text: &str) -> (u32, Problem) {
    let mistake = read(text).unwrap_err();
    (mistake.line, mistake.problem)
}

#[test]
fn a_get_is_two_lines() {
    assert!(matches!(read("get=1\n\n"), Ok(Some(Request::Get))));
    assert!(matches!(read("get=1\n"), Ok(None)));
    assert_eq!(problem("get=1\nlisten_port=1\n"), (2, Problem::GetWithContent));
}

#[test]
fn a_filter_is_set_with_what_it_must_know_and_a_peer_with_what_it_may_start() {
    let changes = set(&format!(
        "filter=true\nfilter_own=10.0.0.1\nfilter_own=fd00::1\nfilter_protected=10.0.0.0/24\n\
         public_key={A}\nreplace_rules=true\nallow=any 0.0.0.0/0\nallow=tcp 10.0.0.7/32 22-23\n\
         public_key={B}\nreplace_rules=true\n"
    ));
    let guard = changes.filter.unwrap().unwrap();
    assert_eq!(format!("{:?}", guard.own()), "[10.0.0.1, fd00::1]");
    assert_eq!(guard.protected().len(), 1);
    let rules: Vec<Vec<String>> = changes
        .peers
        .iter()
        .map(|peer| {
            peer.rules
                .as_ref()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect()
        })
        .collect();
    assert_eq!(rules[0], ["any 0.0.0.0/0", "tcp 10.0.0.7/32 22-23"]);
    assert!(rules[1].is_empty());
    assert!(set("filter=false\n").filter.unwrap().is_none());
    let untouched = set(&format!("public_key={A}\n"));
    assert!(untouched.filter.is_none() && untouched.peers[0].rules.is_none());
}

#[test]
fn keys_of_the_filter_stand_behind_what_they_belong_to() {
    let bad = |text: &str| problem(&format!("set=1\n{text}\n"));
    for key in ["filter_own", "filter_protected"] {
        assert_eq!(bad(&format!("{key}=10.0.0.1")), (2, Problem::BadValue(key)));
        assert_eq!(
            bad(&format!("filter=false\n{key}=10.0.0.1")),
            (3, Problem::BadValue(key))
        );
    }
    assert_eq!(bad("filter=1"), (2, Problem::BadValue("filter")));
    assert_eq!(
        bad("filter=true\nfilter_own=10.0.0.0/8"),
        (3, Problem::BadValue("filter_own"))
    );
    let peer = format!("public_key={A}\n");
    assert_eq!(
        bad(&format!("{peer}allow=any ::/0")),
        (3, Problem::BadValue("allow"))
    );
    assert_eq!(
        bad(&format!("{peer}replace_rules=true\nallow=any all")),
        (4, Problem::BadValue("allow"))
    );
    assert_eq!(
        bad(&format!("{peer}filter=true")),
        (3, Problem::DeviceKeyAfterPeer("filter"))
    );
}

#[test]
fn more_of_a_filter_than_an_interface_may_have_is_refused() {
    let own = "filter_own=10.0.0.1\n".repeat(65);
    assert_eq!(
        problem(&format!("set=1\nfilter=true\n{own}")),
        (67, Problem::BadValue("filter_own"))
    );
    let limits = Limits {
        rules: 2,
        ..Limits::default()
    };
    let rules = format!(
        "set=1\npublic_key={A}\nreplace_rules=true\n{}",
        "allow=any ::/0\n".repeat(3)
    );
    let mistake = Parser::new(&limits)
        .read(&mut rules.as_bytes(), &interfaces)
        .unwrap_err();
    assert_eq!((mistake.line, mistake.problem), (6, Problem::TooManyRules));
    assert_eq!(mistake.errno(), Errno::ENOMEM);
}

#[test]
fn the_filter_is_told_only_to_who_asks_for_it() {
    assert!(matches!(read("filter=1\n\n"), Ok(Some(Request::Filter))));
    assert_eq!(problem("filter=true\n"), (1, Problem::NoOperation));
    assert_eq!(problem("filter=1\nfwmark=1\n"), (2, Problem::GetWithContent));
    let mut reply = Reply::new();
    reply.filter(None);
    let guard = set("filter=true\nfilter_own=10.0.0.1\nfilter_protected=fd00::/64\n")
        .filter
        .unwrap();
    reply.filter(guard.as_ref());
    reply.end(Errno::NONE, false);
    assert_eq!(
        String::from_utf8(reply.bytes().to_vec()).unwrap(),
        "filter=false\nfilter=true\nfilter_own=10.0.0.1\nfilter_protected=fd00::/64\nerrno=0\n\n"
    );
}

#[test]
fn counters_are_asked_for_as_everything_is_and_told_by_name() {
    assert!(matches!(read("counters=1\n\n"), Ok(Some(Request::Counters))));
    assert_eq!(problem("counters=2\n"), (1, Problem::NoOperation));
    assert_eq!(problem("counters=1\nfwmark=1\n"), (2, Problem::GetWithContent));
    let (mut counters, mut reply) = (Counters::default(), Reply::new());
    counters.add(Event::RoutingLoop, 7);
    let handed_over = HandedOver {
        datagrams: 2,
        packets: 3,
    };
    reply.counters(&counters, handed_over, 5);
    reply.silence(true);
    reply.end(Errno::NONE, false);
    let text = String::from_utf8(reply.bytes().to_vec()).unwrap();
    assert!(text.contains("\nrouting_loop=7\n") && text.starts_with("bad_length=0\n"));
    assert!(text.ends_with(
        "\nhanded_over_datagrams=2\nhanded_over_packets=3\nstaged_bytes=5\nsilent=1\nerrno=0\n\n"
    ));
    assert_eq!(text.lines().count(), Event::ALL.len() + 6);
}

#[test]
fn a_request_may_come_byte_by_byte_and_another_may_follow() {
    let text = format!("set=1\nlisten_port=7\npublic_key={A}\n\nget=1\n\n");
    let mut parser = Parser::new(&Limits::default());
    let mut found = Vec::new();
    for byte in text.as_bytes() {
        found.extend(
            parser
                .read(&mut core::slice::from_ref(byte), &interfaces)
                .unwrap(),
        );
    }
    assert!(matches!(found[..], [Request::Set(_), Request::Get]));
    assert!(parser.is_idle());
}

#[test]
fn what_a_half_sent_request_takes_grows_with_its_peers_and_prefixes_and_is_nothing_in_the_end() {
    let mut parser = Parser::new(&Limits::default());
    let mut last = 0;
    for text in [
        format!("set=1\npublic_key={A}\n"),
        "allowed_ip=10.0.0.1/32\n".into(),
        "allowed_ip=-10.0.0.2/32\n".into(),
        format!("public_key={B}\n").repeat(100),
    ] {
        parser.read(&mut text.as_bytes(), &interfaces).unwrap();
        assert!(parser.held() > last, "{text}");
        last = parser.held();
    }
    assert!(parser.read(&mut &b"\n"[..], &interfaces).unwrap().is_some());
    assert_eq!(parser.held(), 0);
}

#[test]
fn device_and_peers_are_read() {
    let changes = set(&format!(
        "private_key={A}\nlisten_port=51820\nfwmark=51820\nreplace_peers=true\n\
         public_key={A}\npreshared_key={B}\nendpoint=192.0.2.1:1\npersistent_keepalive_interval=25\n\
         replace_allowed_ips=true\nallowed_ip=10.0.0.0/8\nallowed_ip=fd00::/64\nprotocol_version=1\n\
         public_key={B}\nremove=true\nupdate_only=true\nendpoint=[2001:db8::1]:2\n"
    ));
    assert_eq!(changes.private_key.unwrap().unwrap().as_bytes()[0], 1);
    assert_eq!((changes.listen_port, changes.fwmark), (Some(51820), Some(51820)));
    assert!(changes.replace_peers);
    let [first, second] = &changes.peers[..] else {
        panic!("two peers")
    };
    assert_eq!(first.public_key.as_bytes()[0], 1);
    assert_eq!(first.config.preshared_key.as_ref().unwrap().as_bytes()[0], 2);
    assert_eq!(first.config.endpoint.unwrap().to_string(), "192.0.2.1:1");
    assert_eq!(first.config.persistent_keepalive.unwrap().unwrap().as_secs(), 25);
    assert!(first.config.replace_allowed_ips && !first.remove && !first.update_only);
    let prefixes: Vec<String> = first.config.allowed_ips.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["10.0.0.0/8", "fd00::/64"]);
    assert!(second.remove && second.update_only);
    assert_eq!(second.config.endpoint.unwrap().to_string(), "[2001:db8::1]:2");
}

#[test]
fn the_scope_of_an_endpoint_is_an_interface_or_a_number() {
    let endpoint = |text: &str| {
        let changes = read(&format!("set=1\npublic_key={A}\nendpoint={text}\n\n"));
        match changes.map_err(|mistake| (mistake.line, mistake.problem, mistake.errno())) {
            Ok(Some(Request::Set(changes))) => Ok(changes.peers[0].config.endpoint.unwrap().to_string()),
            Ok(_) => panic!("no set"),
            Err(mistake) => Err(mistake),
        }
    };
    for (text, expected) in [
        ("[fe80::1%eth0]:1", "[fe80::1%2]:1"),
        ("[fe80::1%9]:1", "[fe80::1%9]:1"),
        ("[fe80::1%a]b%c]:1", "[fe80::1%3]:1"),
        // A name before a number.
        ("[fe80::1%7]:1", "[fe80::1%4]:1"),
        ("[2001:db8::1%7]:1", "[2001:db8::1%7]:1"),
        ("[fe80::1%0]:1", "[fe80::1]:1"),
    ] {
        assert_eq!(endpoint(text).unwrap(), expected);
    }
    let unknown = (3, Problem::UnknownInterface, Errno::ENODEV);
    for text in [
        "[fe80::1%eth9]:1",
        "[fe80::1%]:1",
        "[fe80::1%+1]:1",
        "[fe80::1%4294967296]:1",
        "[2001:db8::1%eth0]:1",
    ] {
        assert_eq!(endpoint(text).unwrap_err(), unknown, "{text}");
    }
    let bad = (3, Problem::BadValue("endpoint"), Errno::EINVAL);
    for text in [
        "[fe80::1%eth0]",
        "[fe80::1%eth0]:0",
        "[fe80::1%eth0]:+1",
        "fe80::1%eth0:1",
        "[192.0.2.1%eth0]:1",
    ] {
        assert_eq!(endpoint(text).unwrap_err(), bad, "{text}");
    }
}

#[test]
fn zeros_mean_none() {
    let zeros = "0".repeat(64);
    let changes = set(&format!(
        "private_key={zeros}\nfwmark=0\npublic_key={A}\npreshared_key={zeros}\npersistent_keepalive_interval=0\n"
    ));
    assert!(matches!(changes.private_key, Some(None)));
    assert_eq!(changes.fwmark, Some(0));
    assert!(changes.peers[0].config.preshared_key.as_ref().unwrap().is_none());
    assert_eq!(changes.peers[0].config.persistent_keepalive, Some(None));
}

#[test]
fn additions_and_removals_of_prefixes_keep_their_order() {
    let changes = set(&format!(
        "public_key={A}\nallowed_ip=10.0.0.1/32\nallowed_ip=-10.0.0.1/32\nallowed_ip=+10.0.0.2/32\n"
    ));
    assert_eq!(changes.peers.len(), 2);
    assert_eq!(changes.peers[0].config.allowed_ips.len(), 1);
    assert_eq!(changes.peers[0].disallowed_ips.len(), 1);
    assert_eq!(changes.peers[1].config.allowed_ips.len(), 1);
}

#[test]
fn what_concerns_a_peer_concerns_all_its_changes_wherever_it_stands() {
    let changes = set(&format!(
        "public_key={A}\nallowed_ip=10.0.0.1/32\nallowed_ip=-10.0.0.2/32\nallowed_ip=10.0.0.3/32\n\
         replace_allowed_ips=true\nupdate_only=true\nremove=true\npreshared_key={B}\n"
    ));
    let [first, second] = &changes.peers[..] else {
        panic!("two changes")
    };
    assert!(first.update_only && first.remove && first.config.replace_allowed_ips);
    assert!(first.config.preshared_key.is_some());
    assert!(second.update_only && !second.remove && !second.config.replace_allowed_ips);
}

#[test]
fn mistakes_name_their_line_and_never_the_value() {
    assert_eq!(problem("hello\n"), (1, Problem::NotAssignment));
    assert_eq!(problem("\n"), (1, Problem::NoOperation));
    assert_eq!(problem("set=2\n"), (1, Problem::NoOperation));
    let told = read("set=2\n").unwrap_err().to_string();
    assert!(
        ["get=1", "set=1", "counters=1"]
            .iter()
            .all(|operation| told.contains(operation))
    );
    assert_eq!(problem("set=1\nunknown=1\n"), (2, Problem::UnknownKey));
    assert_eq!(
        problem("set=1\nendpoint=1.2.3.4:1\n"),
        (2, Problem::PeerKeyBeforePeer("endpoint"))
    );
    assert_eq!(
        problem(&format!("set=1\npublic_key={A}\nlisten_port=1\n")),
        (3, Problem::DeviceKeyAfterPeer("listen_port"))
    );
    let values = [
        ("private_key", "12"),
        ("listen_port", "65536"),
        ("listen_port", "+1"),
        ("fwmark", "0x1"),
        ("replace_peers", "false"),
    ];
    for (key, value) in values {
        assert_eq!(
            problem(&format!("set=1\n{key}={value}\n")),
            (2, Problem::BadValue(key))
        );
    }
    let values = [
        ("remove", "false"),
        ("preshared_key", "zz"),
        ("endpoint", "example.com:1"),
        ("endpoint", "192.0.2.1:0"),
        ("persistent_keepalive_interval", "off"),
        ("allowed_ip", "10.0.0.0/33"),
        ("protocol_version", "2"),
    ];
    for (key, value) in values {
        let text = format!("set=1\npublic_key={A}\n{key}={value}\n");
        assert_eq!(problem(&text), (3, Problem::BadValue(key)));
        let shown = read(&text).unwrap_err().to_string();
        assert!(!shown.contains(value) && shown.contains(key), "{shown}");
    }
}

#[test]
fn what_a_client_may_send_is_bounded() {
    let line = "a".repeat(100_000);
    assert_eq!(problem(&line), (1, Problem::TooLong));
    let limits = Limits {
        peers: 2,
        allowed_ips: 3,
        ..Limits::default()
    };
    let refused = |text: String| {
        Parser::new(&limits)
            .read(&mut text.as_bytes(), &interfaces)
            .unwrap_err()
            .problem
    };
    let peer = format!("public_key={A}\n");
    assert_eq!(
        refused(format!("set=1\n{}", peer.repeat(5))),
        Problem::TooManyPeers
    );
    assert_eq!(
        refused(format!("set=1\n{peer}{}", "allowed_ip=10.0.0.1/32\n".repeat(4))),
        Problem::TooManyAllowedIps
    );
}
