"""Looks at interfaces, one behind the other: what `top` shows, and the same as data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wirewright.tunnel.system.rates import Told, View, advanced
from wirewright.tunnel.system.showing import as_data, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def look(name: str | None) -> list[Told]:
    """Ask one interface, or all; of all, those that went away meanwhile are left out. Raises OSError."""
    told = []
    for interface in named(name):
        try:
            told.append(Told(interface.state(), interface.engine().name, interface.counters()))
        except OSError:
            if name not in (None, "all"):
                raise
    return told


def views(
    look: Callable[[], Sequence[Told]],
    interval: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[View, float]]:
    """Give what is known at once, and again every so many seconds, with the seconds since the last look."""
    view, last = advanced(View(), look(), 0), clock()
    yield view, 0.0
    while True:
        sleep(interval)
        told, now = look(), clock()
        view, last, passed = advanced(view, told, now - last), now, now - last
        yield view, passed


def view_as_data(view: View, now: float, seconds: float) -> dict[str, object]:
    """Give a view as data for JSON, without secrets; rates are in bytes a second."""
    interfaces = []
    for interface in view.interfaces:
        told = interface.told
        data = as_data(told.state, told.engine, told.counters)
        data["dropped"] = dict(interface.dropped)
        peers = data["peers"]
        assert isinstance(peers, list)
        for peer, known in zip(peers, interface.peers, strict=True):
            peer["received_per_second"] = round(known.rate.received, 1)
            peer["sent_per_second"] = round(known.rate.sent, 1)
        interfaces.append(data)
    return {"time": now, "seconds": seconds, "interfaces": interfaces}
