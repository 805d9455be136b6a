"""What can be told of interfaces besides what ``wg`` tells: counters in words, and all of it as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wirewright.tunnel.system.columns import network
from wirewright.tunnel.system.interface import Interface, interfaces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.host.device import DeviceState, PeerState

WORDS: Final = {
    "bad_length": "datagrams came whose length fits no message",
    "bad_type": "datagrams came that are no messages of WireGuard",
    "bad_mac1": "handshake messages came that were not made for our public key",
    "missing_mac2": "handshake messages came without a cookie while there were too many",
    "cookie_sent": "cookies were sent, since there were too many handshake messages",
    "cookie_withheld": "cookies were not sent, since there were too many handshake messages",
    "cookie_received": "peers asked us to prove our address",
    "bad_cookie": "cookies came that we did not ask for",
    "rate_limited": "handshake messages were refused: too many from one source",
    "handshake_queue_full": "handshake messages were dropped: too many waited",
    "handshake_unread": "handshake messages were dropped unread: too many, or the interface was set down",
    "no_identity": "handshake messages came while there is no private key",
    "initiation_invalid": "initiations came that do not decrypt",
    "unknown_peer": "initiations came from a public key that is no peer",
    "timestamp_replay": "initiations came that are older than one seen before",
    "initiation_flood": "initiations came too soon after another",
    "response_unexpected": "responses came that answer nothing",
    "response_invalid": "responses came that do not authenticate: do the preshared keys differ?",
    "handshake_impossible": "handshakes could not begin: the peer's public key is not one that can be used",
    "handshake_gave_up": "handshakes were given up: no answer came",
    "no_session": "data came for a session that is not there",
    "session_expired": "data came for a session that is too old",
    "authentication_failed": "data came that does not authenticate",
    "replay_old": "data came too late to be told from a replay",
    "replay_duplicate": "data came twice",
    "inner_version": "packets came through the tunnel that are neither IPv4 nor IPv6",
    "inner_length": "packets came through the tunnel that are shorter than they say",
    "source_not_allowed": "packets came from an address that is not among the peer's allowed IPs",
    "filter_denied": "packets came that the firewall does not let the peer send",
    "filter_unasked": "packets were for a peer that did not ask for them",
    "filter_fragment": "fragments were dropped whose first one the firewall had not seen",
    "filter_unreadable": "packets were dropped whose headers the firewall cannot read",
    "filter_full": "peers had as many connections as the firewall remembers",
    "malformed_packet": "packets of this machine are neither IPv4 nor IPv6, or are cut short",
    "no_peer": "packets of this machine are for an address that is among no peer's allowed IPs",
    "no_endpoint": "packets of this machine are for a peer whose endpoint is not known yet",
    "staged_overflow": "packets that waited for a handshake gave way to newer ones",
    "staged_dropped": "packets that waited for a handshake were dropped, since none came about",
    "routing_loop": "our own datagrams were routed back into the tunnel",
    "oversize": "packets did not fit their batch",
    "jobs_full": "packets were dropped: too many were being encrypted",
    "handover_stale": "packets were handed over for a peer that is gone",
    "nonce_exhausted": "packets waited for the next session",
    "handover_refused": "packets were handed over to a thread that had no room",
    "send_error": "datagrams were refused by the system",
    "send_too_long": "datagrams were longer than their way takes: is the MTU too large?",
    "send_unreachable": "datagrams have no route to their destination",
    "send_forbidden": "datagrams were forbidden by a firewall of this machine",
    "send_no_room": "datagrams were dropped: the system had no room",
    "receive_error": "receiving failed for a while",
    "interface_refused": "packets were refused by the interface: is it down?",
    "interface_unjoined": "packets that were joined had to be taken one by one",
    "interface_unread": "reading the interface failed for a while",
    "handed_over_datagrams": "datagrams came to another thread than their peer's (no error)",
    "handed_over_packets": "packets came to another thread than their peer's (no error)",
}
"""What an event of the engine means; its names are those of ``Event`` in the engine."""


def named(name: str | None) -> list[Interface]:
    """Give the interface of a name, or all there are for ``all`` or no name."""
    names = interfaces() if name in (None, "all") else [name or ""]
    return [Interface(each) for each in names]


def counters_text(counters: Mapping[str, int] | None) -> str:
    """Write counters for people: those that are not zero, with what they mean."""
    if counters is None:
        return "  counters: this engine has none\n"
    rows = [(name, count) for name, count in counters.items() if count]
    if not rows:
        return "  counters: nothing was dropped or refused\n"
    width = max(len(str(count)) for _, count in rows)
    lines = (f"    {count:>{width}}  {WORDS.get(name, name)} ({name})\n" for name, count in rows)
    return "  counters:\n" + "".join(lines)


def silence(state: DeviceState) -> str:
    """Say of an interface that is up without its port what is amiss, and what to do."""
    return (
        f"{state.name} is up, but silent: another program has UDP port {state.listen_port}. End that, then "
        f"set the interface down and up; or choose another port: ww set {state.name} listen-port PORT"
    )


def as_data(
    state: DeviceState, engine: str, counters: Mapping[str, int] | None = None, *, is_silent: bool = False
) -> dict[str, object]:
    """Give an interface as data for JSON; keys that are secret are not in it."""
    data: dict[str, object] = {
        "name": state.name,
        "engine": engine,
        "public_key": str(state.public_key) if state.public_key else None,
        "listen_port": state.listen_port,
        "silent": is_silent,
        "fwmark": state.fwmark,
        "peers": [_peer(peer) for peer in state.peers],
    }
    if counters is not None:
        data["counters"] = dict(counters)
    return data


def _peer(peer: PeerState) -> dict[str, object]:
    return {
        "public_key": str(peer.public_key),
        "has_preshared_key": peer.preshared_key is not None,
        "endpoint": str(peer.endpoint) if peer.endpoint else None,
        "allowed_ips": [network(each) for each in peer.allowed_ips],
        "latest_handshake": peer.latest_handshake / 1e9 if peer.latest_handshake else None,
        "received": peer.received,
        "sent": peer.sent,
        "persistent_keepalive": peer.persistent_keepalive or None,
    }
