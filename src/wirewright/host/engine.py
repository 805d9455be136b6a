"""What is behind a system interface: the kernel's WireGuard, or a process of ours that serves a TUN device.

Both are told and tell the same (:mod:`wirewright.host.device`). All methods raise OSError with words for a
person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from wirewright.host.device import DeviceChange, DeviceState

EngineName: TypeAlias = Literal["kernel", "wirewright"]
EngineChoice: TypeAlias = Literal["auto", "kernel", "wirewright"]


class Engine(Protocol):
    """Makes, changes, tells of and deletes interfaces."""

    @property
    def name(self) -> EngineName:
        """What it is called on the command line."""
        ...

    def why_absent(self) -> str | None:
        """Say why it cannot make an interface on this host; None if it can."""
        ...

    def has(self, interface: str) -> bool:
        """Whether an interface of this name is one of its own."""
        ...

    def interfaces(self) -> list[str]:
        """Give the names of all its interfaces."""
        ...

    def create(self, interface: str) -> None:
        """Make an interface, which is down and has neither key nor peers.

        FileExistsError: the name is taken.
        """
        ...

    def delete(self, interface: str) -> None:
        """Delete an interface, and return when nothing of it is left."""
        ...

    def get(self, interface: str) -> DeviceState:
        """Tell its state."""
        ...

    def is_silent(self, interface: str) -> bool:
        """Whether it is up, and nothing comes or goes since another has its UDP port.

        Raises OSError also where the process behind it, which may be another's, does not know the question.
        """
        ...

    def set(self, interface: str, change: DeviceChange) -> None:
        """Change it, wholly or not at all, as far as the engine lets us."""
        ...
