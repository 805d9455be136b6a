"""What Prometheus is told: requests, refusals, streams, the database, pools, and each device's traffic.

The names of the devices' series are those of the exporters that people have dashboards for
(``wireguard_sent_bytes_total`` and its family, labels ``interface, public_key, allowed_ips,
friendly_name``), seen from the gateway: sent is to the device.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.services import addresses, changes, networks
from wirewright.coordinator.storage.tables import Device, Gateway, Pool, Report
from wirewright.gateway.metrics import asked

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from wirewright.coordinator.storage import Storage, Transaction
    from wirewright.gateway.running import RunningGateway

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("interface", "public_key", "allowed_ips", "friendly_name")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


@dataclass(slots=True)
class Metrics:
    """What one process counts. Labels come from routes and statuses only, so that they are bounded."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    enrolments: Counter = field(init=False)
    streams: Gauge = field(init=False)
    repeated: Gauge = field(init=False)
    kept: Counter = field(init=False)

    def __post_init__(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "wirewright_requests",
            "Requests, by route and status",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "wirewright_request_seconds",
            "Seconds to the head of an answer",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.enrolments = Counter(
            "wirewright_enrolments", "Enrolments, by how they ended", ("outcome",), registry=registry
        )
        self.streams = Gauge("wirewright_streams", "Streams to gateways that are open", registry=registry)
        self.repeated = Gauge(
            "wirewright_repeated_transactions",
            "Transactions that were run anew since the start",
            registry=registry,
        )
        self.kept = Counter(
            "wirewright_keeping_failures", "Times that what expires could not be looked at", registry=registry
        )

    async def text(self, storage: Storage, gateway: RunningGateway | None = None) -> bytes:
        """Return all of it, as Prometheus reads it; with what the gateway of this process tells."""
        self.repeated.set(storage.repeated)
        found = await storage.read(_families)
        if gateway is not None:
            # Of series that both have, the coordinator's say which gateway they are of.
            names = {family.name for family in found}
            found += [family for family in await asked(gateway) if family.name not in names]
        stored = CollectorRegistry()
        stored.register(_Read(found))
        return generate_latest(self.registry) + generate_latest(stored)


class Counting:
    """Middleware that counts requests and their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(method, route, str(message["status"])).inc()
                self._metrics.seconds.observe(monotonic() - began)
            await send(message)

        await self._app(scope, receive, counted)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Read(Collector):
    """Families that were made before, since a registry cannot wait for a database."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _families(tx: Transaction) -> list[Metric]:
    return [*await _counts(tx), *await _traffic(tx)]


async def _counts(tx: Transaction) -> list[Metric]:
    devices = GaugeMetricFamily("wirewright_devices", "Devices", labels=("gateway", "active"))
    query = select(Gateway.name, Device.active, func.count()).join(Device, Device.gateway_id == Gateway.id)
    for name, active, number in await tx.session.execute(query.group_by(Gateway.name, Device.active)):
        devices.add_metric((name, str(active).lower()), number)
    held = GaugeMetricFamily("wirewright_pool_addresses", "Addresses of a pool", labels=("pool", "state"))
    usage = await addresses.usage(tx)
    for pool in await tx.session.scalars(select(Pool)):
        network = str(networks.network(pool.first, pool.prefix_length))
        for state, number in zip(("held", "quarantined"), usage.get(pool.id, (0, 0)), strict=True):
            held.add_metric((network, state), number)
    seen = GaugeMetricFamily(
        "wirewright_gateway_seen_seconds", "When a gateway reported last, since 1970", labels=("gateway",)
    )
    revision = GaugeMetricFamily("wirewright_gateway_revision", "The newest change", labels=("gateway",))
    for gateway in await tx.session.scalars(select(Gateway)):
        revision.add_metric((gateway.name,), gateway.revision)
        if gateway.seen_at is not None:
            seen.add_metric((gateway.name,), gateway.seen_at / SECOND)
    return [devices, held, seen, revision]


async def _traffic(tx: Transaction) -> list[Metric]:
    sent = CounterMetricFamily("wireguard_sent_bytes", "Bytes sent to the peer", labels=_LABELS)
    received = CounterMetricFamily("wireguard_received_bytes", "Bytes received from the peer", labels=_LABELS)
    handshake = GaugeMetricFamily(
        "wireguard_latest_handshake_seconds", "When the latest handshake was, since 1970", labels=_LABELS
    )
    query = select(Device, Report, Gateway.name).join(Report, Report.device_id == Device.id)
    rows = list(await tx.session.execute(query.join(Gateway, Gateway.id == Device.gateway_id)))
    held = await changes.all_held_addresses(tx)
    for device, report, gateway in rows:
        allowed = ",".join(str(networks.single(value)) for value in held.get(device.id, []))
        labels = (gateway, b64encode(device.public_key).decode(), allowed, device.name)
        sent.add_metric(labels, report.sent)
        received.add_metric(labels, report.received)
        handshake.add_metric(labels, (report.latest_handshake or 0) / SECOND)
    return [sent, received, handshake]
