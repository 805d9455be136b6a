"""A gateway's interface on the host: made or taken over, changed, and taken away with all that belongs to it.

What a device may do is judged by our engine, or else by nftables. Either is in force before the interface is
up. All methods block; they are called one at a time, and raise OSError.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wirewright.gateway.engines import neighbours
from wirewright.gateway.engines.claim import Claim
from wirewright.gateway.engines.ports import listening_on
from wirewright.gateway.firewall import NOT_THE_HOST, Firewall, Reach, Surroundings
from wirewright.gateway.members import device_change, firewall_change, without_key
from wirewright.host.addresses import delete_address
from wirewright.host.device import DeviceChange
from wirewright.host.filtering import PacketFilter
from wirewright.host.kernel.engine import KernelEngine
from wirewright.host.network import Network
from wirewright.tunnel.system import Interface, InterfaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPInterface, IPNetwork
    from wirewright.gateway.members import EngineChange
    from wirewright.host.device import DeviceState, PeerChange
    from wirewright.host.engine import Engine, EngineChoice
    from wirewright.keys import SecretKey


@dataclass(frozen=True, slots=True)
class Options:
    """How the interface shall be, whatever a coordinator says."""

    engine: EngineChoice = "auto"
    listen_port: int = 51820
    mtu: int = 1420
    """Bytes."""
    masquerade: bool = True
    """Whether what devices send to the outside leaves from an address of the host."""
    pools: tuple[IPNetwork, ...] = ()
    """Networks that pools must lie in; without any, they may be no networks of the host's."""
    reach: Reach = NOT_THE_HOST
    """What devices may reach at most, whatever their policies."""


class GatewayInterface:
    """The interface of one gateway."""

    def __init__(self, name: str, key: SecretKey | None, options: Options) -> None:
        """Take the gateway's key; none will do to take something away."""
        self.interface = Interface(name, engine=options.engine)
        self._name, self._key, self._options = name, key, options
        self._claim = Claim(name)
        self._firewall: Firewall | None = None
        self.engine: Engine | None = None
        """What serves it, once it is there."""

    def be(self, change: EngineChange) -> None:
        """Make it, or take it over, and have all of it be as a whole change says."""
        self._claim.take()
        change = self._fit(change)
        engine = self.engine = self._made()
        pools = [pool for pool in change.filter.protected if not pool.is_link_local]
        neighbours.check(self._name, change.addresses, pools, self._options.pools)
        filtered = _is_filtered(engine)
        surroundings = Surroundings(
            keep_apart=not filtered, masquerade=self._options.masquerade, reach=self._options.reach
        )
        self._firewall = Firewall(self._name, change.filter, surroundings)
        self._firewall.up(firewall_change(change)[0])
        state = engine.get(self._name)
        present = [peer.public_key for peer in state.peers]
        whole = self._own(state, device_change(change, filtered=filtered, present=present))
        with listening_on(self._options.listen_port), Network() as network:
            engine.set(self._name, whole)
            self._have_addresses(network, change.addresses)
            self._bring_up(network, engine)

    def change(self, change: EngineChange) -> None:
        """Have what differs be so, at a cost that does not depend on what else there is."""
        if self.engine is None or self._firewall is None:
            raise InterfaceError(f"{self._name} is not set up")
        change = self._fit(change)
        put, removed = firewall_change(change)
        told = device_change(change, filtered=_is_filtered(self.engine))
        # The firewall first: where it knows a device not yet, nothing of it passes.
        try:
            self._firewall.change(put, removed)
        except OSError:
            # Who is to go, goes all the same; the rest is done again, as a whole.
            self._set(self.engine, [peer for peer in told.peers if peer.remove])
            raise
        self._set(self.engine, told.peers)

    def state(self) -> DeviceState:
        """Tell of the peers."""
        if self.engine is None:
            raise InterfaceError(f"{self._name} is not set up")
        return self.engine.get(self._name)

    def counters(self) -> dict[str, int]:
        """Tell what was dropped, by its cause, if the engine is ours."""
        return self.interface.counters() or {}

    def closed_by(self) -> list[str]:
        """Name the chains of others that drop what is forwarded unless they have a rule for it."""
        return self._firewall.closed_by() if self._firewall else []

    def is_bounded(self) -> bool:
        """Whether no device can have more than its part of the kernel's table of connections."""
        return self._firewall is None or self._firewall.is_bounded

    def end(self) -> list[str]:
        """Take away what this gateway made, or one of before that was killed.

        The kernel goes on forwarding if others came meanwhile who need that: their chains are named.
        """
        if not self._claim.is_held:
            return []
        try:
            self._delete()
        finally:
            firewall = self._firewall or Firewall(self._name, PacketFilter())
            newer = firewall.down()
        self.engine = self._firewall = None
        self._claim.release()
        return newer

    def clear(self) -> bool:
        """Take away what one of before left; false if there is nothing. Raises InterfaceError: it serves."""
        self._claim.take()
        if self._claim.was_left:
            self.end()
            return True
        self._claim.release()
        return False

    def _fit(self, change: EngineChange) -> EngineChange:
        return change if self._key is None else without_key(change, self._key.public_key)

    def _made(self) -> Engine:
        """Make the interface, unless it is there and one of ours."""
        found = self.interface.exists
        if found and not (self._claim.was_left or self.engine):
            self._claim.release()
            raise InterfaceError(
                f"an interface called {self._name} exists already, and no gateway made it: "
                f"ww down {self._name}, or choose another name by --interface"
            )
        if found and self._options.engine not in {"auto", Interface(self._name).engine().name}:
            # One of before had another engine.
            self._delete()
            found = False
        engine = self.interface.engine()
        if not found:
            engine.create(self._name)
        return engine

    def _set(self, engine: Engine, peers: Sequence[PeerChange]) -> None:
        if not peers:
            return
        change = DeviceChange(peers=tuple(peers))
        if isinstance(engine, KernelEngine):
            engine.set_blindly(self._name, change)
        else:
            engine.set(self._name, change)

    def _delete(self) -> None:
        try:
            if (interface := Interface(self._name)).exists:
                interface.engine().delete(self._name)
        except OSError as error:
            # Somebody was faster.
            if error.errno != errno.ENODEV:
                raise

    def _own(self, state: DeviceState, change: DeviceChange) -> DeviceChange:
        """Add to a change what differs of the interface itself."""
        port, key = self._options.listen_port, self._key
        return replace(
            change,
            private_key=None if key is None or state.public_key == key.public_key else key,
            listen_port=port if port and port != state.listen_port else None,
        )

    def _have_addresses(self, network: Network, wanted: tuple[IPInterface, ...]) -> None:
        # Link-local ones are the kernel's, or those of a server of leases.
        found = [address for address in network.addresses(self._name) if not address.ip.is_link_local]
        for address in found:
            if address not in wanted:
                delete_address(self._name, address)
        for address in wanted:
            if address not in found:
                network.add_address(self._name, address)

    def _bring_up(self, network: Network, engine: Engine) -> None:
        link = network.link(self._name)
        if link is None or not link.is_up or link.mtu != self._options.mtu:
            network.bring_up(self._name, self._options.mtu)
        if engine.is_silent(self._name):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), self._name)


def _is_filtered(engine: Engine) -> bool:
    """Whether an engine has a packet filter itself."""
    return engine.name == "wirewright"
