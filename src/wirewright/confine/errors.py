"""What keeps a command from being run in a tunnel."""

from typing import Final

FAILED: Final = 125
"""Exit status where not the command failed but what runs it, as env(1) and timeout(1) have it."""
CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127


class ConfineError(Exception):
    """A sentence for the person at the terminal, and the exit status."""

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status
