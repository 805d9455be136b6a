"""The engine of the kernel."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from wirewright.host.device import DeviceChange, PeerChange
from wirewright.host.kernel.family import WireGuardFamily
from wirewright.host.network import Network
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from wirewright.host.device import DeviceState

KIND: Final = "wireguard"


class KernelEngine:
    """WireGuard in the kernel. An :class:`~wirewright.host.engine.Engine`."""

    name: Final[Literal["kernel"]] = "kernel"

    def why_absent(self) -> str | None:
        """Say why it cannot make an interface on this host; None if it can."""
        try:
            # Whoever may makes the kernel load its module by asking for the family.
            WireGuardFamily().close()
        except FileNotFoundError:
            return "this kernel has no WireGuard (since Linux 5.6 there is a module called wireguard)"
        except OSError as error:
            return f"the kernel's WireGuard does not answer: {error.strerror or error}"
        return None

    def has(self, interface: str) -> bool:
        """Whether an interface of this name is one of its own."""
        with Network() as network:
            link = network.link(interface)
        return link is not None and link.kind == KIND

    def interfaces(self) -> list[str]:
        """Give the names of all its interfaces."""
        with Network() as network:
            return [link.name for link in network.links() if link.kind == KIND]

    def create(self, interface: str) -> None:
        """Make an interface."""
        with Network() as network:
            network.create_link(interface, KIND)

    def delete(self, interface: str) -> None:
        """Delete an interface."""
        with Network() as network:
            network.delete_link(interface)

    def get(self, interface: str) -> DeviceState:
        """Tell its state."""
        with WireGuardFamily() as family:
            return family.get(interface)

    def set(self, interface: str, change: DeviceChange) -> None:
        """Change it."""
        with WireGuardFamily() as family:
            if not any(peer.removed_allowed_ips for peer in change.peers):
                family.set(interface, change)
                return
            try:
                family.set(interface, change)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                family.set(interface, without_removals(change, family.get(interface)))


def without_removals(change: DeviceChange, state: DeviceState) -> DeviceChange:
    """Say the same to a kernel that removes no single allowed IP (before Linux 6.16).

    There an allowed IP leaves its peer by being given to another. So those that are to go are given to a
    peer that is made for it and removed with them, in the same request.
    """
    have = {peer.public_key: frozenset(peer.allowed_ips) for peer in state.peers}
    peers: list[PeerChange] = []
    for peer in change.peers:
        peers.append(replace(peer, removed_allowed_ips=()))
        going = frozenset(peer.removed_allowed_ips) & (
            frozenset(peer.allowed_ips)
            | (frozenset() if peer.replace_allowed_ips else have.get(peer.public_key, frozenset()))
        )
        if going and not peer.remove:
            nobody = SecretKey.generate().public_key
            peers += [
                PeerChange(nobody, allowed_ips=tuple(sorted(going, key=str))),
                PeerChange(nobody, remove=True),
            ]
    return replace(change, peers=tuple(peers))
