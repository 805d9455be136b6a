"""The process of a gateway that lives away from its coordinator: from its files to its end."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from wirewright.config.values import host_and_port
from wirewright.gateway import engines
from wirewright.gateway.http_source import HttpSource, read_credential
from wirewright.gateway.key import read_or_make_key
from wirewright.gateway.running import running
from wirewright.gateway.special import EVERYWHERE
from wirewright.tunnel import Forwarding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wirewright.config.values import IPNetwork
    from wirewright.gateway.engine import GatewayEngine, Service
    from wirewright.gateway.running import RunningGateway
    from wirewright.host.service import ServiceManager
    from wirewright.keys import SecretKey

Way: TypeAlias = Literal["auto", "kernel", "wirewright", "rootless"]
KEY, STATE, LOCK = "gateway.key", "gateway.state", "gateway.lock"
"""Files of the state directory."""
PERIOD: Final = 5.0
"""Seconds between two looks, where no watchdog asks for more."""
LOOKS: Final = 3
"""Looks in the time that a watchdog grants."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a gateway is started with."""

    coordinator: str
    """Its URL."""
    credential_file: Path
    state_directory: Path
    engine: Way = "auto"
    """``auto`` is a system interface for root, and a rootless tunnel for others."""
    interface: str = "ww0"
    """The name of a system interface."""
    listen_port: int = 51820
    mtu: int = 1420
    masquerade: bool = True
    pools: tuple[IPNetwork, ...] = ()
    """For a system interface: where pools must lie; without any, they may be no networks of the host's."""
    reach: tuple[IPNetwork, ...] = EVERYWHERE
    """What devices reach at most, whatever their policies."""
    reach_host: bool = False
    """Whether that means the host's addresses outside of the tunnel, too."""
    ca_file: Path | None = None
    metrics: tuple[str, int] | None = None
    """Where they are served: an address and a port."""
    lease_time: int | None = None
    """Seconds that leases last; without it none are served."""
    register_keys: bool = False
    """Whether a device may take another key for itself."""

    @property
    def way(self) -> Way:
        """The engine, once it is chosen."""
        if self.engine != "auto" or os.geteuid() == 0:
            return self.engine
        return "rootless"


async def serve(
    options: Options,
    stop: asyncio.Event,
    manager: ServiceManager,
    tell: Callable[[str], None],
    began: Callable[[RunningGateway], None],
) -> dict[str, int]:
    """Be a gateway until ``stop`` is set; give its counters. ``began`` is called when it serves.

    Raises OSError, with words for a person, where it cannot begin; ValueError: the coordinator's URL is none.
    """
    with _alone(options.state_directory):
        # Later it is waited for, as it may be written anew; in the beginning it is to be there.
        await asyncio.to_thread(read_credential, options.credential_file)
        key = await asyncio.to_thread(read_or_make_key, options.state_directory / KEY)
        source = HttpSource(
            options.coordinator, options.credential_file, key.public_key, ca_file=options.ca_file
        )
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(
                running(
                    source,
                    _engine(options, key, tell),
                    state_file=options.state_directory / STATE,
                    report=source.report,
                    tell=tell,
                    services=_services(options, source, tell),
                    identities=options.lease_time is not None,
                )
            )
            if options.metrics is not None:
                from wirewright.gateway.metrics import served  # noqa: PLC0415 - where they are wanted

                port = await stack.enter_async_context(served(gateway, *options.metrics))
                tell(f"metrics are at http://{host_and_port(options.metrics[0], port)}/metrics")
            await _stay(gateway, stop, manager, began)
            return gateway.counters


def _services(options: Options, source: HttpSource, tell: Callable[[str], None]) -> list[Service]:
    if options.lease_time is None:
        return []
    from wirewright.dynamic import Settings, Terms  # noqa: PLC0415 - where it is wanted
    from wirewright.dynamic.clocks import SystemClock  # noqa: PLC0415
    from wirewright.gateway.lease_store import ApiLedger, LedgerStore  # noqa: PLC0415
    from wirewright.gateway.leasing import Leases  # noqa: PLC0415

    clock = SystemClock()
    settings = Settings(Terms(lease_time=options.lease_time), registration=options.register_keys)
    return [Leases(LedgerStore(ApiLedger(source.client, clock.wall)), settings, tell, clock)]


async def _stay(
    gateway: RunningGateway,
    stop: asyncio.Event,
    manager: ServiceManager,
    began: Callable[[RunningGateway], None],
) -> None:
    """Stay until ``stop`` is set. Raises what ends the gateway."""
    period = min(PERIOD, (manager.watchdog or PERIOD * LOOKS) / LOOKS)
    ready, stopped, ended = (
        asyncio.ensure_future(each) for each in (gateway.ready(), stop.wait(), gateway.ended())
    )
    try:
        waited = {ready, stopped, ended}
        while not (stopped.done() or ended.done()):
            await asyncio.wait(waited, timeout=period, return_when=asyncio.FIRST_COMPLETED)
            if ready in waited and ready.done() and not ready.exception():
                waited.discard(ready)
                began(gateway)
                manager.ready(f"{gateway.engine.description}, devices: {gateway.devices}")
            manager.alive()
        if ended.done():
            ended.result()
        manager.stopping("taking the interface away")
    finally:
        for each in (ready, stopped, ended):
            each.cancel()
        await asyncio.gather(ready, stopped, ended, return_exceptions=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Have a state directory for one gateway. Raises OSError: another one has it."""
    # The one above may become that of ww serve, which is its owner's alone.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = "another gateway has its state there: stop it, or name another by --state-directory"
            raise OSError(errno.EBUSY, words, str(folder)) from None
        yield
    finally:
        os.close(lock)


def _engine(options: Options, key: SecretKey, tell: Callable[[str], None]) -> GatewayEngine:
    if (way := options.way) == "rootless":
        forwarding = Forwarding(options.reach, options.reach_host)
        return engines.rootless(key, listen_port=options.listen_port, mtu=options.mtu, forwarding=forwarding)
    return engines.system(
        options.interface,
        key,
        engine=way,
        listen_port=options.listen_port,
        mtu=options.mtu,
        masquerade=options.masquerade,
        pools=options.pools,
        reach=options.reach,
        reach_host=options.reach_host,
        tell=tell,
    )
