"""What became of a listener's connections and datagrams."""

from __future__ import annotations

from dataclasses import dataclass

from wirewright.tunnel.crowd import Counters


@dataclass(slots=True)
class ProxyCounters(Counters):
    """Every connection and datagram that was not served is counted here, by cause."""

    # No whole request came in time.
    late: int = 0
    malformed: int = 0
    unauthorised: int = 0
    # UDP associations beyond their limit, or that could not be made.
    associations_refused: int = 0
    datagrams_out: int = 0
    datagrams_in: int = 0
    # Of datagrams: parts of one, no SOCKS datagrams, from others than the client, to names without an
    # address, and for which there was no room or no route.
    fragments_dropped: int = 0
    malformed_dropped: int = 0
    foreign_dropped: int = 0
    unresolved_dropped: int = 0
    unsendable_dropped: int = 0
