"""The gateway in the coordinator's process: told by the storage itself, reporting to it, with no credential.

Of all processes that share a database one has it (:mod:`wirewright.coordinator.solitude`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.leasing import StoredLedger
from wirewright.coordinator.services import reports
from wirewright.coordinator.services.changes import StoredSource
from wirewright.dynamic import Settings as DynamicSettings
from wirewright.dynamic import Terms
from wirewright.dynamic.clocks import SystemClock
from wirewright.gateway import engines
from wirewright.gateway.lease_store import LedgerStore
from wirewright.gateway.leasing import Leases
from wirewright.gateway.running import running
from wirewright.tunnel import Forwarding

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage
    from wirewright.gateway.engine import GatewayEngine, Service
    from wirewright.gateway.reporting import DeviceReport
    from wirewright.gateway.running import RunningGateway
    from wirewright.host.engine import EngineChoice
    from wirewright.keys import SecretKey

PORT: Final = 51820
INTERFACE: Final = "ww0"
ROOTLESS: Final = "rootless"
SYSTEM: Final[dict[str, EngineChoice]] = {"auto": "auto", "kernel": "kernel", "wirewright": "wirewright"}
"""Engines on an interface of the system."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """What carries the gateway's packets."""

    engine: str = "auto"
    """One of `SYSTEM`, which take root, or `ROOTLESS`; ``auto`` is the latter for who is not root."""
    interface: str = INTERFACE
    listen_port: int = PORT
    listen_address: str | None = None
    """For the rootless one: the outer address of its socket; ``None`` for all."""
    forwarding: Forwarding | None = None
    """What devices may reach through it, if it is not everything outside of the host; for the rootless one
    also how much it carries."""
    mtu: int = 1420
    """Bytes of the longest packet inside."""
    masquerade: bool = True
    """For the system's interface: whether what devices send to the outside leaves from the host's address."""
    lease_time: int | None = None
    """Seconds that leases last; without it none are served."""
    register_keys: bool = False
    """Whether a device that asks for leases may take another key for itself."""

    @property
    def is_rootless(self) -> bool:
        """Whether it takes no root."""
        return self.engine == ROOTLESS or (self.engine == "auto" and os.geteuid() != 0)


@asynccontextmanager
async def embedded(
    storage: Storage, gateway_id: str, key: SecretKey, carriage: Carriage, tell: Callable[[str], None]
) -> AsyncIterator[RunningGateway]:
    """Run the gateway; it has been what it shall be once before the block begins.

    To be called inside of `alone`. ``tell`` hears of what goes wrong while it runs. Raises `OSError` if the
    engine cannot begin.
    """

    async def report(devices: Sequence[DeviceReport]) -> None:
        found = [
            reports.DeviceReport(
                each.device_id, each.received, each.sent, each.latest_handshake, each.endpoint
            )
            for each in devices
        ]
        try:
            await storage.write(reports.record, gateway_id, found)
        except CoordinatorError as error:
            raise OSError(str(error)) from None

    gateway = running(
        StoredSource(storage, gateway_id),
        _engine(key, carriage, tell),
        report=report,
        tell=tell,
        services=_services(storage, gateway_id, carriage, tell),
        identities=carriage.lease_time is not None,
    )
    async with gateway as run:
        await run.ready()
        yield run


def _services(
    storage: Storage, gateway_id: str, carriage: Carriage, tell: Callable[[str], None]
) -> list[Service]:
    if carriage.lease_time is None:
        return []
    clock = SystemClock()
    terms = DynamicSettings(Terms(lease_time=carriage.lease_time), registration=carriage.register_keys)
    store = LedgerStore(StoredLedger(storage, gateway_id, clock.wall))
    return [Leases(store, terms, tell, clock)]


def _engine(key: SecretKey, carriage: Carriage, tell: Callable[[str], None]) -> GatewayEngine:
    if carriage.is_rootless:
        return engines.rootless(
            key,
            listen_port=carriage.listen_port,
            listen_address=carriage.listen_address,
            mtu=carriage.mtu,
            forwarding=carriage.forwarding,
        )
    reached = carriage.forwarding or Forwarding()
    return engines.system(
        carriage.interface,
        key,
        engine=SYSTEM[carriage.engine],
        listen_port=carriage.listen_port,
        mtu=carriage.mtu,
        masquerade=carriage.masquerade,
        reach=tuple(map(ip_network, reached.reach)),
        reach_host=reached.host,
        tell=tell,
    )
