"""From the answers to GET_DEVICE to a state.

A dump comes in parts. The first tells of the interface; a peer whose allowed IPs did not fit goes on in the
next part, with nothing but its public key and more of them (``linux/wireguard.h``).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Any

from wirewright.host.device import DeviceState, PeerState, SocketAddress
from wirewright.host.kernel.attributes import attributes
from wirewright.host.kernel.numbers import AllowedIPAttribute, DeviceAttribute, PeerAttribute
from wirewright.host.wiped import KEY_LENGTH
from wirewright.keys import PresharedKey, PublicKey, SecretKey

if TYPE_CHECKING:
    from wirewright.config.values import IPNetwork


class Dump:
    """Takes the parts of a dump, and gives the whole."""

    def __init__(self, name: str) -> None:
        self._device = DeviceState(name)
        self._peers: list[PeerState] = []
        self._networks: list[list[IPNetwork]] = []

    def add(self, part: memoryview) -> None:
        """Take the attributes of a part; keys go from the buffer into handles. Raises ValueError."""
        device: dict[str, Any] = {}
        for kind, content in attributes(part):
            if kind == DeviceAttribute.IFNAME:
                device["name"] = bytes(content).rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif kind == DeviceAttribute.PRIVATE_KEY:
                device["private_key"] = SecretKey.from_buffer(content) if _is_key(content) else None
            elif kind == DeviceAttribute.LISTEN_PORT:
                (device["listen_port"],) = struct.unpack("=H", content)
            elif kind == DeviceAttribute.FWMARK:
                (device["fwmark"],) = struct.unpack("=I", content)
            elif kind == DeviceAttribute.PEERS:
                for _, peer in attributes(content):
                    self._add_peer(peer)
        self._device = replace(self._device, **device)

    def state(self) -> DeviceState:
        """Give what all parts told."""
        peers = (
            replace(peer, allowed_ips=tuple(networks))
            for peer, networks in zip(self._peers, self._networks, strict=True)
        )
        return replace(self._device, peers=tuple(peers))

    def _add_peer(self, part: memoryview) -> None:
        told = dict(attributes(part))
        try:
            key = PublicKey.from_hex(bytes(told[PeerAttribute.PUBLIC_KEY]).hex())
        except KeyError:
            raise ValueError("a peer has no public key") from None
        if not self._peers or self._peers[-1].public_key != key:
            self._peers.append(_peer(key, told))
            self._networks.append([])
        if networks := told.get(PeerAttribute.ALLOWEDIPS):
            self._networks[-1].extend(_network(network) for _, network in attributes(networks))


def _peer(key: PublicKey, told: dict[int, memoryview]) -> PeerState:
    preshared = told.get(PeerAttribute.PRESHARED_KEY)
    endpoint = told.get(PeerAttribute.ENDPOINT)
    seconds, nanoseconds = struct.unpack("=qq", told.get(PeerAttribute.LAST_HANDSHAKE_TIME, bytes(16)))
    return PeerState(
        public_key=key,
        preshared_key=PresharedKey.from_buffer(preshared) if preshared and _is_key(preshared) else None,
        endpoint=_endpoint(bytes(endpoint)) if endpoint else None,
        persistent_keepalive=_number("=H", told.get(PeerAttribute.PERSISTENT_KEEPALIVE_INTERVAL)),
        latest_handshake=seconds * 1_000_000_000 + nanoseconds,
        received=_number("=Q", told.get(PeerAttribute.RX_BYTES)),
        sent=_number("=Q", told.get(PeerAttribute.TX_BYTES)),
        protocol_version=_number("=I", told.get(PeerAttribute.PROTOCOL_VERSION)),
    )


def _number(form: str, content: memoryview | None) -> int:
    if content is None:
        return 0
    (number,) = struct.unpack(form, content)
    return int(number)


def _is_key(content: memoryview) -> bool:
    return len(content) == KEY_LENGTH and any(content)


def _endpoint(content: bytes) -> SocketAddress:
    family, port = struct.unpack_from("=H", content)[0], struct.unpack_from("!H", content, 2)[0]
    if family == socket.AF_INET:
        return SocketAddress(IPv4Address(content[4:8]), port)
    if family == socket.AF_INET6:
        (scope,) = struct.unpack_from("=I", content, 24)
        address = IPv6Address(content[8:24])
        return SocketAddress(IPv6Address(f"{address}%{_interface(scope)}") if scope else address, port)
    raise ValueError(f"an endpoint has the unknown address family {family}")


def _interface(number: int) -> str:
    """Give the name of an interface, or its number where it is gone."""
    try:
        return socket.if_indextoname(number)
    except OSError:
        return str(number)


def _network(part: memoryview) -> IPNetwork:
    told = dict(attributes(part))
    try:
        address = bytes(told[AllowedIPAttribute.IPADDR])
        length = told[AllowedIPAttribute.CIDR_MASK][0]
    except KeyError:
        raise ValueError("an allowed IP lacks its address or its length") from None
    return ip_network((address, length))
