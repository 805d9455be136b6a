"""The words of `ww set`."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from wirewright.host.device import NO_KEY, DeviceChange, PeerChange, SocketAddress
from wirewright.keys import PresharedKey, SecretKey
from wirewright.tunnel.system.words import Sources, WordError, change_of

if TYPE_CHECKING:
    from wirewright.config import Endpoint

SECRET = SecretKey.generate()
PRESHARED = PresharedKey.generate()
KEY = SecretKey.generate().public_key
OTHER = SecretKey.generate().public_key


def read(*words: str) -> DeviceChange:
    def resolve(endpoint: Endpoint) -> SocketAddress:
        return SocketAddress(ip_address("192.0.2.1"), endpoint.port)

    sources = Sources(
        lambda path: None if path == "empty" else SECRET,
        lambda path: None if path == "empty" else PRESHARED,
        resolve,
    )
    return change_of(words, sources)


def of_peer(*words: str) -> PeerChange:
    (peer,) = read("peer", str(KEY), *words).peers
    return peer


def test_settings_of_the_interface() -> None:
    change = read("listen-port", "5", "fwmark", "0x2a", "private-key", "file")
    assert change == DeviceChange(SECRET, listen_port=5, fwmark=42)
    assert read("fwmark", "off") == DeviceChange(fwmark=0)
    assert read("private-key", "empty").private_key is NO_KEY


def test_a_peer_that_is_only_named_is_added() -> None:
    assert of_peer() == PeerChange(KEY)


def test_settings_of_peers() -> None:
    change = read(
        *(
            "peer",
            str(KEY),
            "preshared-key",
            "file",
            "endpoint",
            "vpn.example:7",
            "allowed-ips",
            "10.0.0.9/8",
        ),
        *("peer", str(OTHER), "persistent-keepalive", "off", "preshared-key", "empty"),
    )
    assert change.peers == (
        PeerChange(
            KEY,
            preshared_key=PRESHARED,
            endpoint=SocketAddress(ip_address("192.0.2.1"), 7),
            replace_allowed_ips=True,
            allowed_ips=(ip_network("10.0.0.0/8"),),
        ),
        PeerChange(OTHER, persistent_keepalive=0, preshared_key=NO_KEY),
    )
    assert of_peer("remove").remove


def test_no_allowed_ips_are_all_that_a_peer_has() -> None:
    assert of_peer("allowed-ips", "") == PeerChange(KEY, replace_allowed_ips=True)


def test_allowed_ips_with_a_sign_are_some_more_or_fewer() -> None:
    peer = of_peer("allowed-ips", "+10.0.0.0/8,-::/0,10.1.0.0/16")
    assert peer == PeerChange(
        KEY,
        allowed_ips=(ip_network("10.0.0.0/8"), ip_network("10.1.0.0/16")),
        removed_allowed_ips=(ip_network("::/0"),),
    )


def test_the_last_word_about_a_network_counts() -> None:
    assert of_peer("allowed-ips", "+10.0.0.0/8,-10.0.0.0/8").allowed_ips == ()
    assert of_peer("allowed-ips", "-10.0.0.0/8,+10.0.0.0/8").removed_allowed_ips == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to set"),
        (["listen-port"], "listen-port has no value"),
        (["listen-port", "70000"], "expected a port from 0 to 65535"),
        (["fwmark", "x"], "fwmark: found 'x'"),
        (["mtu", "1400"], "'mtu' cannot be set"),
        (["endpoint", "192.0.2.1:1"], "stands behind 'peer KEY'"),
        (["peer", "x"], "peer: a key has 44 characters"),
        (["peer", str(KEY), "listen-port", "1"], "before the first peer"),
        (["peer", str(KEY), "endpoint", "192.0.2.1"], "the port is missing"),
        (["peer", str(KEY), "persistent-keepalive", "65536"], "seconds from 1 to 65535"),
        (["peer", str(KEY), "allowed-ips", "10.0.0.0/33"], "at most 32"),
        (["peer", str(KEY), "allowed-ips", "10.0.0.0/8,"], "allowed-ips: found ''"),
    ],
)
def test_mistakes_are_named(words: list[str], said: str) -> None:
    with pytest.raises(WordError, match=said.replace("'", ".")):
        read(*words)


def test_a_word_that_is_no_public_key_is_not_repeated() -> None:
    with pytest.raises(WordError) as raised:
        read("peer", SECRET.expose()[:-1])
    assert SECRET.expose()[:8] not in str(raised.value)
