//! Requests and answers as text.

use std::fmt::Write;

use wirewright_engine::uapi::{Changes, Request};

/// All that a request holds. No secret of anybody's is fuzzed.
pub(super) fn described(request: &Request) -> String {
    match request {
        Request::Get => "get".into(),
        Request::Counters => "counters".into(),
        Request::Filter => "filter".into(),
        Request::Set(changes) => described_changes(changes),
    }
}

fn described_changes(changes: &Changes) -> String {
    let key = |key: &Option<_>| {
        key.as_ref()
            .map(|key: &wirewright_protocol::SecretKey| *key.as_bytes())
    };
    let mut text = format!(
        "{:?} {:?} {:?} {} {:?}\n",
        changes.private_key.as_ref().map(key),
        changes.listen_port,
        changes.fwmark,
        changes.replace_peers,
        changes.filter
    );
    for peer in &changes.peers {
        let config = &peer.config;
        let _ = writeln!(
            text,
            "{} {} {} {:?} {:?} {:?} {} {:?} - {:?} {:?}",
            peer.public_key,
            peer.remove,
            peer.update_only,
            config.preshared_key.as_ref().map(|key| *key.as_bytes()),
            config.endpoint,
            config.allowed_ips,
            config.replace_allowed_ips,
            config.persistent_keepalive,
            peer.disallowed_ips,
            peer.rules
        );
    }
    text
}

/// The request that makes another interface what this answer tells of one.
pub(super) fn as_a_set(told: &[u8]) -> Vec<u8> {
    let measured = [
        "last_handshake_time_sec=",
        "last_handshake_time_nsec=",
        "tx_bytes=",
        "rx_bytes=",
        "errno=",
    ];
    let told = String::from_utf8_lossy(told);
    let lines = told
        .lines()
        .filter(|line| !line.is_empty() && !measured.iter().any(|key| line.starts_with(key)));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    // The keys of the device come first.
    let at = text.find("public_key=").unwrap_or(text.len());
    let (device, peers) = text.split_at(at);
    format!("set=1\n{device}replace_peers=true\n{peers}\n").into_bytes()
}
