"""The engine of the kernel."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Literal

from wirewright.host.device import DeviceChange
from wirewright.host.kernel.family import WireGuardFamily
from wirewright.host.kernel.removals import any_left, own_removals, without_removals
from wirewright.host.kernel.restoring import back
from wirewright.host.network import Network

if TYPE_CHECKING:
    from wirewright.host.device import DeviceState

KIND: Final = "wireguard"


class KernelEngine:
    """WireGuard in the kernel. An :class:`~wirewright.host.engine.Engine`."""

    name: Final[Literal["kernel"]] = "kernel"

    def __init__(self) -> None:
        # Whether the kernel removes single allowed IPs; None until it was asked to.
        self._removes: bool | None = None

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
        """Delete an interface; one of another kind is left alone."""
        with Network() as network:
            link = network.link(interface)
            if link is not None and link.kind != KIND:
                raise OSError(errno.EOPNOTSUPP, "this interface is not the kernel's WireGuard", interface)
            network.delete_link(interface)

    def get(self, interface: str) -> DeviceState:
        """Tell its state."""
        with WireGuardFamily() as family:
            return family.get(interface)

    def is_silent(self, interface: str) -> bool:
        """Never: the kernel does not set an interface up without its port."""
        return False

    def set(self, interface: str, change: DeviceChange) -> None:
        """Change it; what was done of a change that is refused on the way is taken back."""
        with WireGuardFamily() as family:
            before = family.get(interface)
            try:
                if not any(peer.removed_allowed_ips for peer in change.peers):
                    family.set(interface, change)
                else:
                    self._set_with_removals(family, interface, change, before)
            except OSError as error:
                _take_back(family, interface, change, before, error)
                raise

    def set_blindly(self, interface: str, change: DeviceChange) -> None:
        """Change it without a look at its peers, of which there may be thousands.

        What was done of a change before it was refused stays done: for who begins anew after a refusal.
        Single allowed IPs cannot be taken away like this.
        """
        if any(peer.removed_allowed_ips for peer in change.peers):
            raise ValueError("to take single allowed IPs away, one must know what else there is")
        with WireGuardFamily() as family:
            family.set(interface, change)

    def _set_with_removals(
        self, family: WireGuardFamily, interface: str, change: DeviceChange, before: DeviceState
    ) -> None:
        change, gone = own_removals(change, before)
        # Where nothing is gone in the end, nothing would be learnt.
        if self._removes or (self._removes is None and gone):
            try:
                family.set(interface, change)
            except OSError as error:
                # What came before the refused part is done; doing all of it again does no harm.
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
            else:
                if self._removes or not any_left(gone, family.get(interface)):
                    self._removes = True
                    return
        family.set(interface, without_removals(change))
        if gone:
            self._removes = False


def _take_back(
    family: WireGuardFamily, interface: str, change: DeviceChange, before: DeviceState, error: OSError
) -> None:
    """Restore what was before an error. Raises OSError: that could not be."""
    try:
        remedy = back(change, before, family.get(interface))
        if remedy != DeviceChange():
            family.set(interface, remedy)
    except OSError as another:
        words = (
            f"{error.strerror or error}; the change is done in part, which could not be taken back: "
            f"{another.strerror or another}"
        )
        raise OSError(error.errno or errno.EIO, words, interface) from error
