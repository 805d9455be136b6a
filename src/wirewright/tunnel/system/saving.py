"""From an interface as it is to its file: what ``save`` writes, and ``down`` where the file says so.

The file keeps its comments, its hooks and what else is not of the interface itself; only lines change whose
value does (:class:`wirewright.config.Document`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wirewright.config import Document, Endpoint
from wirewright.config.model import Peer
from wirewright.tunnel.system import steps
from wirewright.tunnel.system.columns import host as written
from wirewright.tunnel.system.facts import is_full
from wirewright.tunnel.system.lookups import look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from wirewright.config import Config
    from wirewright.config.values import IPInterface
    from wirewright.host.device import DeviceState, PeerState, SocketAddress
    from wirewright.tunnel.system.host import Host


@dataclass(frozen=True)
class Save(steps.Step):
    """Write the state of the interface into its file."""

    interface: str
    file: Path

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"ww save {self.interface} (into {self.file})"

    def do(self, host: Host) -> None:
        """Write it, wholly or not at all."""
        document = Document.from_file(self.file)
        state = host.engine.get(self.interface)
        addresses = host.network.addresses(self.interface)
        document.updated(saved(document.config, state, addresses, is_at)).write(self.file)


def saved(
    config: Config,
    state: DeviceState,
    addresses: Iterable[IPInterface],
    is_at: Callable[[Endpoint, SocketAddress], bool],
) -> Config:
    """Give the configuration that would make the interface as it is.

    An endpoint keeps its name where the name still means (``is_at``) the address that the peer is at. What
    the kernel or `up` chose is not written: an address of the link, and the mark of a full tunnel.
    """
    interface = config.interface
    own = [each for each in addresses if each in interface.addresses or not each.ip.is_link_local]
    if set(own) == set(interface.addresses):
        own = list(interface.addresses)
    chosen = interface.fwmark is None and is_full(config)
    before = {peer.public_key: peer for peer in config.effective_peers()}
    return replace(
        config,
        interface=replace(
            interface,
            private_key=state.private_key,
            addresses=tuple(own),
            listen_port=state.listen_port or interface.listen_port,
            fwmark=interface.fwmark if chosen or state.fwmark == (interface.fwmark or 0) else state.fwmark,
        ),
        peers=tuple(_peer(before.get(peer.public_key), peer, is_at) for peer in _ordered(before, state)),
    )


def is_at(endpoint: Endpoint, address: SocketAddress) -> bool:
    """Whether an endpoint is at an address, as far as can be told now."""
    try:
        found = look_up(endpoint)
    except OSError:
        return False
    return (str(address.address), address.port) in {(entry[4][0], entry[4][1]) for entry in found}


def _ordered(before: Iterable[object], state: DeviceState) -> list[PeerState]:
    """Put the peers in the order of the file, new ones behind."""
    order = {key: number for number, key in enumerate(before)}
    return sorted(state.peers, key=lambda peer: order.get(peer.public_key, len(order)))


def _peer(before: Peer | None, peer: PeerState, is_at: Callable[[Endpoint, SocketAddress], bool]) -> Peer:
    networks = peer.allowed_ips
    if before is not None and set(before.allowed_ips) == set(networks):
        networks = before.allowed_ips
    off = 0 if before is not None and before.persistent_keepalive == 0 else None
    return Peer(
        peer.public_key,
        preshared_key=peer.preshared_key,
        allowed_ips=networks,
        endpoint=_endpoint(before.endpoint if before else None, peer.endpoint, is_at),
        persistent_keepalive=peer.persistent_keepalive or off,
    )


def _endpoint(
    before: Endpoint | None,
    now: SocketAddress | None,
    is_at: Callable[[Endpoint, SocketAddress], bool],
) -> Endpoint | None:
    if now is None or not now.port or (before is not None and is_at(before, now)):
        return before
    scope = getattr(now.address, "scope_id", None)
    return Endpoint(written(now.address) + (f"%{scope}" if scope else ""), now.port)
