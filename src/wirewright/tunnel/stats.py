"""What a tunnel counts, in types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wirewright.keys import PublicKey


@dataclass(frozen=True, slots=True)
class PeerStats:
    """One peer at one moment.

    ``last_handshake`` is in Unix seconds; traffic is in bytes of all messages, as ``wg`` counts it.
    """

    public_key: PublicKey
    endpoint: tuple[str, int] | None
    last_handshake: float | None
    rx_bytes: int
    tx_bytes: int
    allowed_ips: tuple[str, ...]
    persistent_keepalive: int | None
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TunnelStats:
    """A tunnel at one moment: a counter for every event of the device, its peers, and the TCP/IP stack.

    ``netstack`` holds what exists now (``connections``, ``listeners``, ``datagrams``, ``pings``) and the
    stack's own counters. ``forwarding`` is empty unless the tunnel forwards; it has what its peers have open
    (``connections``, ``flows``), and a counter for each thing that was carried, refused or dropped.
    """

    counters: Mapping[str, int]
    peers: tuple[PeerStats, ...]
    netstack: Mapping[str, int]
    forwarding: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_core(cls, raw: Mapping[str, Any]) -> TunnelStats:
        """Give types to what the core returned."""
        return cls(
            counters=dict(raw["counters"]),
            peers=tuple(_peer(peer) for peer in raw["peers"]),
            netstack=dict(raw["netstack"]),
            forwarding=dict(raw.get("forwarding", {})),
        )


def _peer(raw: Mapping[str, Any]) -> PeerStats:
    return PeerStats(
        public_key=raw["public_key"],
        endpoint=raw["endpoint"],
        last_handshake=raw["last_handshake"],
        rx_bytes=raw["rx_bytes"],
        tx_bytes=raw["tx_bytes"],
        allowed_ips=tuple(raw["allowed_ips"]),
        persistent_keepalive=raw["persistent_keepalive"],
        counters=dict(raw.get("counters", {})),
    )
