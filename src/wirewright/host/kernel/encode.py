"""From a change to SET_DEVICE messages.

One message holds so many bytes; what does not fit goes into the next (``linux/wireguard.h``, "a
continuation"). Only the first part tells of the interface itself and replaces peers, and only the first
part of a peer replaces its allowed IPs and tells its settings; a part that goes on names the peer and adds
allowed IPs.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from wirewright.host.device import Nothing
from wirewright.host.kernel.attributes import ATTRIBUTE, NESTED, Writer
from wirewright.host.kernel.numbers import AllowedIPAttribute, Command, DeviceAttribute, Flag, PeerAttribute
from wirewright.host.wiped import Wiped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.config.values import IPNetwork
    from wirewright.host.device import DeviceChange, PeerChange, SocketAddress

VERSION: Final = 1
PART: Final = 32_768
"""Bytes of a message. An attribute's length has 16 bits, and all peers are one attribute."""

LEAST_PART: Final = 512
"""Bytes that the interface's settings and a peer's with an allowed IP fit in."""

# An allowed IP of IPv6 with its flags, and what ends up around it at most.
_ALLOWED_IP_ROOM = 64
_ALLOWED_IPV4: Final = struct.Struct("=HH HHHxx HH4s HHBxxx")
_ALLOWED_IPV6: Final = struct.Struct("=HH HHHxx HH16s HHBxxx")
_REMOVED: Final = struct.pack("=HHI", 8, AllowedIPAttribute.FLAGS, Flag.REMOVE_ALLOWEDIP)
# A peer with all its settings, before the first allowed IP.
_PEER_ROOM = 256


def set_messages(
    name: str, change: DeviceChange, family: int, flags: int, *, part: int = PART
) -> Iterator[memoryview]:
    """Give the messages of a change one by one, each in a buffer that is wiped when the next is asked for.

    Raises OSError before the first if an endpoint is on an interface that is not there, or if a packet
    filter is asked for, which only our engine has.
    """
    if part < LEAST_PART:
        raise ValueError(f"a message has at least {LEAST_PART} bytes")
    if change.filter or any(peer.rules for peer in change.peers):
        words = "the kernel's WireGuard has no packet filter of its own: nftables is there for that"
        raise OSError(errno.EOPNOTSUPP, words, name)
    for peer in change.peers:
        if peer.endpoint is not None:
            _sockaddr(peer.endpoint)
    waiting = [(peer, _networks(peer)) for peer in change.peers]
    first = True
    position = 0
    taken = 0
    while first or position < len(waiting):
        with Wiped(part) as buffer:
            writer = Writer(buffer)
            writer.begin(Command.SET_DEVICE, VERSION)
            writer.attribute(DeviceAttribute.IFNAME, name.encode("utf-8", "surrogateescape") + b"\0")
            if first:
                _interface(writer, change)
            if position < len(waiting):
                with writer.nest(DeviceAttribute.PEERS):
                    while position < len(waiting) and writer.room() >= _PEER_ROOM:
                        peer, networks = waiting[position]
                        taken = _peer(writer, peer, networks, taken)
                        if taken < len(networks):
                            break
                        position, taken = position + 1, 0
            first = False
            message = writer.finish(family, flags)
            try:
                yield message
            finally:
                message.release()


def _interface(writer: Writer, change: DeviceChange) -> None:
    if change.private_key is not None:
        key = change.private_key
        writer.key(DeviceAttribute.PRIVATE_KEY, None if isinstance(key, Nothing) else key)
    if change.listen_port is not None:
        writer.attribute(DeviceAttribute.LISTEN_PORT, struct.pack("=H", change.listen_port))
    if change.fwmark is not None:
        writer.attribute(DeviceAttribute.FWMARK, struct.pack("=I", change.fwmark))
    if change.replace_peers:
        writer.attribute(DeviceAttribute.FLAGS, struct.pack("=I", Flag.REPLACE_PEERS))


def _networks(peer: PeerChange) -> list[tuple[IPNetwork, bool]]:
    """Give the networks of a peer, each with whether it is to be removed."""
    added = [(network, False) for network in peer.allowed_ips]
    return [*added, *((network, True) for network in peer.removed_allowed_ips)]


def _peer(writer: Writer, peer: PeerChange, networks: list[tuple[IPNetwork, bool]], taken: int) -> int:
    """Write a peer from its allowed IP `taken` on; return how many of them are written by now."""
    # The place in the list, which the kernel does not look at: as `wg` writes it.
    with writer.nest(0):
        writer.attribute(PeerAttribute.PUBLIC_KEY, bytes(peer.public_key))
        if flags := _peer_flags(peer, goes_on=taken > 0):
            writer.attribute(PeerAttribute.FLAGS, struct.pack("=I", flags))
        if taken == 0:
            _settings(writer, peer)
        if not networks:
            return 0
        with writer.nest(PeerAttribute.ALLOWEDIPS):
            while taken < len(networks) and writer.room() >= _ALLOWED_IP_ROOM:
                network, removed = networks[taken]
                writer.put(_allowed_ip(network, removed=removed))
                taken += 1
    return taken


def _peer_flags(peer: PeerChange, *, goes_on: bool) -> int:
    flags = 0
    if peer.remove:
        flags |= Flag.REMOVE_ME
    if peer.replace_allowed_ips and not goes_on:
        flags |= Flag.REPLACE_ALLOWEDIPS
    if peer.update_only:
        # In every part: without it a later one would make the peer that the first passed over.
        flags |= Flag.UPDATE_ONLY
    return flags


def _settings(writer: Writer, peer: PeerChange) -> None:
    if peer.preshared_key is not None:
        key = peer.preshared_key
        writer.key(PeerAttribute.PRESHARED_KEY, None if isinstance(key, Nothing) else key)
    if peer.endpoint is not None:
        writer.attribute(PeerAttribute.ENDPOINT, _sockaddr(peer.endpoint))
    if peer.persistent_keepalive is not None:
        interval = struct.pack("=H", peer.persistent_keepalive)
        writer.attribute(PeerAttribute.PERSISTENT_KEEPALIVE_INTERVAL, interval)


def _allowed_ip(network: IPNetwork, *, removed: bool) -> bytes:
    """Write an attribute of attributes at once: there may be a hundred thousand."""
    flags = _REMOVED if removed else b""
    if network.version == 4:
        layout, family, size = _ALLOWED_IPV4, socket.AF_INET, 4
    else:
        layout, family, size = _ALLOWED_IPV6, socket.AF_INET6, 16
    return (
        layout.pack(
            *(layout.size + len(flags), NESTED),
            *(6, AllowedIPAttribute.FAMILY, family),
            *(ATTRIBUTE.size + size, AllowedIPAttribute.IPADDR, network.network_address.packed),
            *(5, AllowedIPAttribute.CIDR_MASK, network.prefixlen),
        )
        + flags
    )


def _sockaddr(endpoint: SocketAddress) -> bytes:
    address = endpoint.address
    if address.version == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", endpoint.port, address.packed)
    scope = _scope(address.scope_id)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", endpoint.port, 0, address.packed)
    return head + struct.pack("=I", scope)


def _scope(scope: str | None) -> int:
    """Give the number of an interface that an address is on; raises OSError if there is no such interface."""
    if scope is None:
        return 0
    return int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
