"""From the answers to GET_DEVICE to a state.

A dump comes in parts. The first tells of the interface; a peer whose allowed IPs did not fit goes on in the
next part, with nothing but its public key and more of them (``linux/wireguard.h``).
"""

from __future__ import annotations

import socket
import struct
import sys
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
                device["listen_port"] = number("=H", content)
            elif kind == DeviceAttribute.FWMARK:
                device["fwmark"] = number("=I", content)
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
            public = told[PeerAttribute.PUBLIC_KEY]
        except KeyError:
            raise ValueError("a peer has no public key") from None
        _check_key(public)
        key = PublicKey.from_hex(public.hex())
        if not self._peers or self._peers[-1].public_key != key:
            self._peers.append(_peer(key, told))
            self._networks.append([])
        if networks := told.get(PeerAttribute.ALLOWEDIPS):
            self._networks[-1].extend(_network(network) for _, network in attributes(networks))


def _peer(key: PublicKey, told: dict[int, memoryview]) -> PeerState:
    preshared = told.get(PeerAttribute.PRESHARED_KEY)
    endpoint = told.get(PeerAttribute.ENDPOINT)
    since = told.get(PeerAttribute.LAST_HANDSHAKE_TIME)
    return PeerState(
        public_key=key,
        preshared_key=PresharedKey.from_buffer(preshared) if preshared and _is_key(preshared) else None,
        endpoint=_endpoint(bytes(endpoint)) if endpoint else None,
        persistent_keepalive=_told("=H", told.get(PeerAttribute.PERSISTENT_KEEPALIVE_INTERVAL)),
        latest_handshake=_time(since) if since else 0,
        received=_told("=Q", told.get(PeerAttribute.RX_BYTES)),
        sent=_told("=Q", told.get(PeerAttribute.TX_BYTES)),
        protocol_version=_told("=I", told.get(PeerAttribute.PROTOCOL_VERSION)) or 1,
    )


def number(form: str, content: memoryview) -> int:
    """Read a number. Raises ValueError where it has another size."""
    if len(content) != struct.calcsize(form):
        raise ValueError("a number of a netlink message has an unknown size")
    return int(struct.unpack(form, content)[0])


def _told(form: str, content: memoryview | None) -> int:
    return 0 if content is None else number(form, content)


def _time(content: memoryview) -> int:
    # struct __kernel_timespec
    if len(content) != 16:
        raise ValueError("a time of a netlink message has an unknown size")
    seconds, nanoseconds = struct.unpack("=qq", content)
    return int(seconds * 1_000_000_000 + nanoseconds)


def _check_key(content: memoryview) -> None:
    if len(content) != KEY_LENGTH:
        raise ValueError("a key of a netlink message has not 32 bytes")


def _is_key(content: memoryview) -> bool:
    _check_key(content)
    return any(content)


def _endpoint(content: bytes) -> SocketAddress:
    # struct sockaddr_in or sockaddr_in6: the family in the machine's order, the port in the network's.
    family = int.from_bytes(content[:2], sys.byteorder)
    port = int.from_bytes(content[2:4], "big")
    if (family, len(content)) == (socket.AF_INET, 16):
        return SocketAddress(IPv4Address(content[4:8]), port)
    if (family, len(content)) == (socket.AF_INET6, 28):
        scope = int.from_bytes(content[24:28], sys.byteorder)
        address = IPv6Address(content[8:24])
        return SocketAddress(IPv6Address(f"{address}%{_interface(scope)}") if scope else address, port)
    raise ValueError(f"an endpoint has the unknown address family {family}, or a size not its own")


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
        length = number("=B", told[AllowedIPAttribute.CIDR_MASK])
    except KeyError:
        raise ValueError("an allowed IP lacks its address or its length") from None
    return ip_network((address, length))
