"""The text of ``wg show INTERFACE dump``: a line for the interface and one a peer, fields between tabs."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.host.device import DeviceState, PeerState, SocketAddress
    from wirewright.keys import PresharedKey, PublicKey, SecretKey


def dump(state: DeviceState) -> str:
    """Write a state as ``wg`` does, its private key and preshared keys included.

    The text is Python's, which cannot be wiped.
    """
    first = (
        _secret(state.private_key),
        _public(state.public_key),
        str(state.listen_port),
        f"{state.fwmark:#x}" if state.fwmark else "off",
    )
    return "".join("\t".join(fields) + "\n" for fields in (first, *map(_peer, state.peers)))


def _peer(peer: PeerState) -> tuple[str, ...]:
    networks = (f"{_address(network.network_address)}/{network.prefixlen}" for network in peer.allowed_ips)
    return (
        str(peer.public_key),
        _secret(peer.preshared_key),
        _endpoint(peer.endpoint),
        ",".join(networks) or "(none)",
        str(peer.latest_handshake // 1_000_000_000),
        str(peer.received),
        str(peer.sent),
        str(peer.persistent_keepalive or "off"),
    )


def _secret(key: SecretKey | PresharedKey | None) -> str:
    return "(none)" if key is None else key.expose()


def _public(key: PublicKey | None) -> str:
    return "(none)" if key is None else str(key)


def _endpoint(endpoint: SocketAddress | None) -> str:
    if endpoint is None:
        return "(none)"
    address, port = endpoint.address, endpoint.port
    if address.version == 4:
        return f"{address}:{port}"
    scope = f"%{address.scope_id}" if address.scope_id else ""
    return f"[{_address(address)}{scope}]:{port}"


def _address(address: IPAddress) -> str:
    # The system's way, which shows IPv4 within IPv6 with dots; Python's differs by its version.
    if address.version == 4:
        return str(address)
    return socket.inet_ntop(socket.AF_INET6, address.packed)
