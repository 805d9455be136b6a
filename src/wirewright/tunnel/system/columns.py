"""What ``show`` writes for scripts: values between tabs, a line for the interface and one for each peer.

The format is that of ``wg show``, byte for byte. Keys that are secret are placeholders in the text.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, TypeAlias

from wirewright.config.parts import RedactedText, placeholder
from wirewright.config.values import host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright._core import HiddenText
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.host.device import DeviceState, PeerState, SocketAddress
    from wirewright.keys import PresharedKey, SecretKey

NONE: Final = "(none)"
OFF: Final = "off"

Secrets: TypeAlias = "list[HiddenText]"


def columns(state: DeviceState, what: str, *, with_name: bool = False) -> RedactedText:
    """Write one thing that can be asked for, or all (``dump``); each line may begin with the name.

    KeyError: it cannot be asked for.
    """
    secrets: Secrets = []
    prefix = [state.name] if with_name else []
    rows = WHAT[what](state, secrets)
    return RedactedText("".join("\t".join(prefix + row) + "\n" for row in rows), tuple(secrets))


def _dump(state: DeviceState, secrets: Secrets) -> list[list[str]]:
    device = [
        _key(state.private_key, secrets),
        str(state.public_key or NONE),
        str(state.listen_port),
        mark(state.fwmark),
    ]
    return [device, *(_peer(peer, secrets) for peer in state.peers)]


def _peer(peer: PeerState, secrets: Secrets) -> list[str]:
    return [
        str(peer.public_key),
        _key(peer.preshared_key, secrets),
        endpoint(peer.endpoint),
        ",".join(map(network, peer.allowed_ips)) or NONE,
        _handshake(peer),
        str(peer.received),
        str(peer.sent),
        _keepalive(peer),
    ]


def _of_peers(write: Callable[[PeerState], str]) -> Callable[[DeviceState, Secrets], list[list[str]]]:
    return lambda state, _: [[str(peer.public_key), write(peer)] for peer in state.peers]


def mark(number: int) -> str:
    """Write a mark of outer packets."""
    return hex(number) if number else OFF


def endpoint(address: SocketAddress | None) -> str:
    """Write where a peer is."""
    if address is None:
        return NONE
    scope = getattr(address.address, "scope_id", None)
    text = host(address.address) + (f"%{scope}" if scope else "")
    return host_and_port(text, address.port)


def network(network: IPNetwork) -> str:
    """Write a network."""
    return f"{host(network.network_address)}/{network.prefixlen}"


def host(address: IPAddress) -> str:
    """Write an address as the C library does, which writes one of IPv4 within IPv6 with dots."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.inet_ntop(family, address.packed)


def _key(key: SecretKey | PresharedKey | None, secrets: Secrets) -> str:
    return NONE if key is None else placeholder(key, secrets)


def _handshake(peer: PeerState) -> str:
    return str(peer.latest_handshake // 1_000_000_000)


def _keepalive(peer: PeerState) -> str:
    return str(peer.persistent_keepalive or OFF)


WHAT: Final[dict[str, Callable[[DeviceState, Secrets], list[list[str]]]]] = {
    "public-key": lambda state, _: [[str(state.public_key or NONE)]],
    "private-key": lambda state, secrets: [[_key(state.private_key, secrets)]],
    "listen-port": lambda state, _: [[str(state.listen_port)]],
    "fwmark": lambda state, _: [[mark(state.fwmark)]],
    "peers": lambda state, _: [[str(peer.public_key)] for peer in state.peers],
    "preshared-keys": lambda state, secrets: [
        [str(peer.public_key), _key(peer.preshared_key, secrets)] for peer in state.peers
    ],
    "endpoints": _of_peers(lambda peer: endpoint(peer.endpoint)),
    "allowed-ips": _of_peers(lambda peer: " ".join(map(network, peer.allowed_ips)) or NONE),
    "latest-handshakes": _of_peers(_handshake),
    "persistent-keepalive": _of_peers(_keepalive),
    "transfer": _of_peers(lambda peer: f"{peer.received}\t{peer.sent}"),
    "dump": _dump,
}
"""What can be asked for."""
