"""How a child tells its parent why it ends."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Final

from wirewright.confine.errors import FAILED, ConfineError

_LONGEST: Final = 4096
"""Characters of a reason; as text of JSON it fits a pipe at once."""


class Complaint:
    """A pipe for the one sentence. A program that the child executes does not have it."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._said = b""
        self._is_over = False

    # In the child.

    def write(self, error: ConfineError | None) -> None:
        """Say why this process ends; None: because the other child does."""
        text, status = (str(error), error.status) if error else ("", FAILED)
        with suppress(OSError):
            os.write(self.writing, json.dumps([text[:_LONGEST], status]).encode())

    # In the parent.

    def close_writing(self) -> None:
        """Leave the child's end to the child."""
        os.close(self.writing)

    def is_over(self) -> bool:
        """Whether the child has nothing to say any more: it executed a program, or ended."""
        self._look()
        return self._is_over

    def error(self) -> ConfineError | None:
        """Give what a child said that ended, and said first; None if it said nothing."""
        self._look()
        if not self._said:
            return None
        # Two of its threads may have failed at once.
        said, _ = json.JSONDecoder().raw_decode(self._said.decode())
        return ConfineError(*said)

    def _look(self) -> None:
        with suppress(BlockingIOError):
            while not self._is_over:
                said = os.read(self._reading, 1 << 16)
                self._said += said
                self._is_over = not said
