"""A gateway on a system interface: the kernel's WireGuard or ours, and the host that forwards."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from wirewright.gateway.engine import Observed
from wirewright.gateway.engines.interface import GatewayInterface, Options
from wirewright.gateway.firewall import Reach
from wirewright.gateway.special import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wirewright.config.values import IPNetwork
    from wirewright.gateway.members import EngineChange
    from wirewright.host.device import PeerState
    from wirewright.host.engine import Engine, EngineChoice
    from wirewright.keys import SecretKey
    from wirewright.tunnel.system import Interface

T = TypeVar("T")

_WAYS = {
    "kernel": "the kernel's WireGuard",
    "wirewright": "our engine",
}


def _silent(_: str) -> None:
    pass


def system(
    interface: str,
    key: SecretKey,
    *,
    engine: EngineChoice = "auto",
    listen_port: int = 51820,
    mtu: int = 1420,
    masquerade: bool = True,
    pools: Iterable[IPNetwork] = (),
    reach: Iterable[IPNetwork] = EVERYWHERE,
    reach_host: bool = False,
    tell: Callable[[str], None] = _silent,
) -> SystemEngine:
    """Make an engine on an interface of the system, which takes root.

    ``engine`` is as for :class:`~wirewright.tunnel.system.Interface`. Without ``masquerade`` what devices
    send to the outside keeps their addresses, and the networks there must have routes back. ``tell`` hears,
    in words for a person, of what in the host keeps packets from passing.

    A coordinator may name pools that lie in one of ``pools``; without any, those that are no networks of the
    host's. Devices reach what both their policies and ``reach`` contain. What is special
    (:mod:`wirewright.gateway.special`) is reached only if a network of ``reach`` lies inside it, and the
    host's addresses outside of the tunnel with ``reach_host``, or each that ``reach`` names alone. Raises
    InterfaceError: this is no name of an interface.
    """
    options = Options(engine, listen_port, mtu, masquerade, tuple(pools), Reach(tuple(reach), reach_host))
    return SystemEngine(GatewayInterface(interface, key, options), tell)


async def clear(interface: str) -> bool:
    """Take away what a gateway left on the host that was killed; false if there is nothing.

    Raises InterfaceError: a gateway serves the interface, or this is no name of one.
    """
    held = GatewayInterface(interface, None, Options())
    return await asyncio.to_thread(held.clear)


class SystemEngine:
    """Has an interface. A :class:`~wirewright.gateway.engine.GatewayEngine`."""

    def __init__(self, interface: GatewayInterface, tell: Callable[[str], None]) -> None:
        self._held = interface
        self._tell = tell
        self._closed_by: list[str] = []
        self._is_bounded = True
        # One thread: whoever gives up waiting leaves a call that goes on, and the next must wait for it.
        self._thread = ThreadPoolExecutor(1, "gateway")

    @property
    def interface(self) -> Interface:
        """The interface, which is there once something was applied."""
        return self._held.interface

    @property
    def name(self) -> str:
        """Its name."""
        return self._held.interface.name

    @property
    def host_engine(self) -> Engine | None:
        """What serves the interface, once it is there."""
        return self._held.engine

    @property
    def description(self) -> str:
        """What it is, for a person."""
        engine = self._held.engine
        return f"{self.name}, {_WAYS[engine.name]}" if engine else self.name

    async def apply(self, change: EngineChange) -> None:
        """Be as a change says."""
        if not change.whole:
            await self._call(lambda: self._held.change(change))
            return
        await self._call(lambda: self._held.be(change))
        is_bounded = await self._call(self._held.is_bounded)
        if self._is_bounded and not is_bounded:
            self._tell(
                "this kernel's nf_tables cannot bound how many connections a device has (nft_connlimit), so "
                "that one can fill the host's table of them"
            )
        self._is_bounded = is_bounded
        closed_by = await self._call(self._held.closed_by)
        if closed_by != self._closed_by:
            self._closed_by = closed_by
            for chain in closed_by:
                self._tell(_advice(chain, self.name))

    async def observe(self) -> list[Observed]:
        """Tell of the peers."""
        return await self._call(lambda: [_observed(peer) for peer in self._held.state().peers])

    async def counters(self) -> Mapping[str, int]:
        """Tell what was dropped, by its cause, if the engine is ours."""
        return await self._call(self._held.counters)

    async def close(self) -> None:
        """Take away what was made."""
        try:
            for chain in await self._call(self._held.end):
                self._tell(
                    f"the kernel goes on forwarding, which the chain {chain}, which came later, may need"
                )
        finally:
            self._thread.shutdown(wait=False)

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _observed(peer: PeerState) -> Observed:
    return Observed(
        peer.public_key,
        peer.received,
        peer.sent,
        peer.latest_handshake // 1000 or None,
        None if peer.endpoint is None else str(peer.endpoint),
    )


def _advice(chain: str, interface: str) -> str:
    """Say what to do about a chain of others that lets nothing pass."""
    return (
        f"the chain {chain} drops what is forwarded unless it has a rule for it, so that devices may reach "
        f"nothing beyond this host. With Docker: iptables -I DOCKER-USER -i {interface} -j ACCEPT, and the "
        f"same with -o {interface}; with ufw: ufw route allow in on {interface}, and ufw route allow out on "
        f"{interface}; else add such rules to it"
    )
