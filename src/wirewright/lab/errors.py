"""What can go wrong with a lab."""

from collections.abc import Sequence


class LabError(Exception):
    """A lab cannot be built; the text says why, and what to do about it."""


class RunError(LabError):
    """A command in a host failed."""

    def __init__(self, host: str, command: Sequence[str], how: str, said: str) -> None:
        """Tell what failed, how, and what it said."""
        self.host = host
        self.command = tuple(command)
        self.said = said.strip()
        super().__init__(f"{host}: {' '.join(command)}: {how}" + (f"\n{self.said}" if self.said else ""))
