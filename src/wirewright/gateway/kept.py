"""What a gateway keeps of what it was told, so that it serves after a restart while the coordinator is away.

A file of lines, each a JSON object with the moment in which it was written and an instruction: a state, then
the changes after it. A change costs a line; once there are as many as devices, the file is written anew as
one state. A line that was cut off in the end, by a crash or a full disk, is no line. No secret is in the
file, but who has which address and key: it is for its owner alone (0600).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wirewright.gateway.instructions import (
    GatewayState,
    Instruction,
    InstructionError,
    instruction_from_json,
    instruction_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LEAST_CHANGES: Final = 256
"""Changes that a file has before it is written anew, however few the devices."""
LONGEST_FILE: Final = 1 << 30
"""Bytes that are read: a million devices have less than half of it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file has."""

    instructions: tuple[Instruction, ...]
    """A state and the changes after it."""
    at: int
    """When the last of it was written, in microseconds since 1970."""


class StateFile:
    """The file of one gateway. Its methods block, and raise OSError; they are called one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changes: int | None = None
        """That the file has after its state; None where it must be written anew before one is added."""

    def load(self) -> Kept | None:
        """Read it; None if there is none, or nothing that can be understood."""
        try:
            with self.path.open("rb") as file:
                # All of what is asked for is allocated first.
                text = file.read(min(LONGEST_FILE, os.fstat(file.fileno()).st_size))
        except FileNotFoundError:
            return None
        instructions, at = [], 0
        for moment, told in _understood(text):
            at = max(at, moment)
            instructions.append(told)
        if not instructions:
            return None
        return Kept(tuple(instructions), at)

    def takes(self, changes: Sequence[Instruction], devices: int) -> bool:
        """Whether changes can be added, rather than all be written anew; there are so many devices."""
        if self._changes is None or any(isinstance(told, GatewayState) for told in changes):
            return False
        return self._changes + len(changes) <= max(LEAST_CHANGES, devices)

    def add(self, changes: Sequence[Instruction], at: int) -> None:
        """Add changes, and return when they are on the disk."""
        assert self._changes is not None
        count, self._changes = self._changes, None
        with open(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), "wb") as file:  # noqa: PTH123
            file.write(b"".join(_line(told, at) for told in changes))
            file.flush()
            os.fsync(file.fileno())
        self._changes = count + len(changes)

    def write(self, state: GatewayState, at: int) -> None:
        """Write a state in the place of all that is there, wholly or not at all."""
        self._changes = None
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o600), "wb") as file:  # noqa: PTH123
            os.fchmod(file.fileno(), 0o600)
            file.write(_line(state, at))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._changes = 0


def _line(told: Instruction, at: int) -> bytes:
    name, value = instruction_to_json(told)
    return json.dumps({"at": at, "name": name, "value": value}, separators=(",", ":")).encode() + b"\n"


def _understood(text: bytes) -> Iterator[tuple[int, Instruction]]:
    """Give what lines say, up to the first that says nothing."""
    for line in text.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            data: dict[str, Any] = json.loads(line)
            yield int(data["at"]), instruction_from_json(data["name"], data["value"])
        except (InstructionError, KeyError, TypeError, ValueError):
            return
