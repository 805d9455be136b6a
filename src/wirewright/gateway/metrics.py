"""What Prometheus is told of a gateway: a page that is made when it is asked for.

Series of single devices are the coordinator's, which knows their names; here are those of the gateway.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wirewright.gateway.metrics_server import MetricsServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.gateway.running import RunningGateway

_COUNTERS = {
    "connections": "Times that the coordinator was reached",
    "changes": "Changes of the engine",
    "failed_changes": "Changes that the engine could not do at first",
    "expired_devices": "Devices that expired by the gateway's own clock",
    "left_out_addresses": "Addresses of devices that were left out, since they lie in no pool",
    "reported_devices": "Devices in reports that the coordinator took",
    "failed_writes": "Times that what was told could not be kept in the state file",
}


def families(gateway: RunningGateway, dropped: Mapping[str, int]) -> Iterator[Metric]:
    """Give all series; ``dropped`` is what the engine counts, by its cause."""
    gauges = {
        "devices": ("Devices that have a place on the interface", gateway.devices),
        "connected": ("Whether the coordinator is there", int(gateway.connected)),
        "revision": ("The newest revision that was told", gateway.revision or 0),
        "applied_revision": ("The newest revision that the engine has", gateway.applied or 0),
    }
    for name, (words, value) in gauges.items():
        yield GaugeMetricFamily(f"wirewright_gateway_{name}", words, value)
    for name, value in gateway.counters.items():
        yield CounterMetricFamily(f"wirewright_gateway_{name}", _COUNTERS[name], value)
    traffic = CounterMetricFamily(
        "wirewright_gateway_bytes", "Bytes of datagrams, from devices and to them", labels=("direction",)
    )
    traffic.add_metric(("received",), sum(peer.received for peer in gateway.observed))
    traffic.add_metric(("sent",), sum(peer.sent for peer in gateway.observed))
    yield traffic
    events = CounterMetricFamily(
        "wirewright_gateway_events", "What the engine dropped or refused, by its cause", labels=("event",)
    )
    for name, count in sorted(dropped.items()):
        events.add_metric((name,), count)
    yield events


async def asked(gateway: RunningGateway) -> list[Metric]:
    """Ask a gateway for all its series."""
    try:
        dropped = await gateway.engine.counters()
    except OSError:
        # The engine is being set up anew.
        dropped = {}
    return list(families(gateway, dropped))


@asynccontextmanager
async def served(gateway: RunningGateway, address: str, port: int) -> AsyncIterator[int]:
    """Serve the page over HTTP while the block runs; give the port. Raises OSError: it is taken."""
    registry = CollectorRegistry()
    registry.register(_Asking(gateway, asyncio.get_running_loop()))
    server = await asyncio.to_thread(MetricsServer, address, port, registry)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        await asyncio.to_thread(thread.join)
        server.server_close()


class _Asking(Collector):
    """Asks the gateway, which lives in an event loop, from the server's threads."""

    def __init__(self, gateway: RunningGateway, loop: asyncio.AbstractEventLoop) -> None:
        self._gateway, self._loop = gateway, loop

    def collect(self) -> Iterator[Metric]:
        found = asyncio.run_coroutine_threadsafe(asked(self._gateway), self._loop)
        yield from found.result(10)

    def describe(self) -> list[Metric]:
        return []
