"""What `ww save` writes of an interface's state."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from wirewright.config import Config, Document, Endpoint, Interface, Peer
from wirewright.host.device import DeviceState, PeerState, SocketAddress
from wirewright.keys import PresharedKey, SecretKey
from wirewright.tunnel.system.saving import is_at, saved

if TYPE_CHECKING:
    from wirewright.config.values import IPInterface

SECRET = SecretKey.generate()
KEY, OTHER = (SecretKey.generate().public_key for _ in range(2))
HERE = SocketAddress(ip_address("192.0.2.1"), 51820)
THERE = SocketAddress(ip_address("fd00::7"), 7)
ADDRESS = ip_interface("10.0.0.1/24")
CONFIG = Config(
    Interface(private_key=SECRET, addresses=(ADDRESS,), listen_port=51820),
    (Peer(KEY, allowed_ips=(ip_network("10.0.0.0/24"),), endpoint=Endpoint("vpn.example", 51820)),),
)
STATE = DeviceState(
    "wg0", SECRET, 51820, 0, (PeerState(KEY, endpoint=HERE, allowed_ips=(ip_network("10.0.0.0/24"),)),)
)


def save(
    config: Config = CONFIG, state: DeviceState = STATE, addresses: tuple[IPInterface, ...] = (ADDRESS,)
) -> Config:
    return saved(config, state, addresses, lambda endpoint, address: address == HERE)


def test_an_interface_that_nobody_changed_has_the_file_that_it_had() -> None:
    assert save() == CONFIG


def test_what_was_set_meanwhile_is_written() -> None:
    preshared = PresharedKey.generate()
    (peer,) = STATE.peers
    changed = replace(peer, preshared_key=preshared, endpoint=THERE, persistent_keepalive=25)
    state = replace(STATE, listen_port=7, fwmark=3, peers=(PeerState(OTHER), changed))
    config = save(state=state, addresses=(ADDRESS, ip_interface("fd00::1/64"), ip_interface("fe80::1/64")))
    assert config.interface.listen_port == 7
    assert config.interface.fwmark == 3
    assert config.interface.addresses == (ADDRESS, ip_interface("fd00::1/64"))
    # In the order of the file, new ones behind.
    assert config.peers == (
        Peer(
            KEY,
            preshared,
            (ip_network("10.0.0.0/24"),),
            Endpoint("fd00::7", 7),
            persistent_keepalive=25,
        ),
        Peer(OTHER),
    )


def test_a_peer_that_was_removed_leaves_the_file() -> None:
    assert save(state=replace(STATE, peers=())).peers == ()


def test_the_mark_that_a_full_tunnel_was_given_is_not_written() -> None:
    everything = (ip_network("0.0.0.0/0"),)
    config = replace(CONFIG, peers=(replace(CONFIG.peers[0], allowed_ips=everything),))
    peer = replace(STATE.peers[0], allowed_ips=everything)
    state = replace(STATE, fwmark=51820, peers=(peer,))
    assert save(config, state).interface.fwmark is None
    off = replace(config, interface=replace(config.interface, table="off"))
    assert save(off, state).interface.fwmark == 51820


def test_an_endpoint_that_was_never_known_stays_as_the_file_has_it() -> None:
    state = replace(STATE, peers=(replace(STATE.peers[0], endpoint=None),))
    assert save(state=state).peers[0].endpoint == Endpoint("vpn.example", 51820)


def test_comments_survive() -> None:
    text = (
        f"# the office\n[Interface]\nPrivateKey = {SECRET.expose()}\n"
        "Address = 10.0.0.1/24 # mine\nListenPort = 51820\n"
        f"\n# Ann\n[Peer]\nPublicKey = {KEY}\nAllowedIPs = 10.0.0.0/24\nEndpoint = vpn.example:51820\n"
    )
    document = Document.loads(text)
    assert document.edit(save).dumps(expose_keys=True) == text
    moved = document.edit(lambda config: save(config, replace(STATE, listen_port=7)))
    assert moved.dumps(expose_keys=True) == text.replace("ListenPort = 51820", "ListenPort = 7")


@pytest.mark.parametrize(
    ("host", "port", "answer"),
    [("127.0.0.1", 7, True), ("127.0.0.1", 8, False), ("nowhere.invalid", 7, False)],
)
def test_whether_an_endpoint_is_at_an_address(host: str, port: int, answer: bool) -> None:
    assert is_at(Endpoint(host, port), SocketAddress(ip_address("127.0.0.1"), 7)) is answer
