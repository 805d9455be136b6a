"""Buffers of Python's that are zeroed when they are done with.

A ``bytearray`` can be overwritten in place, which ``bytes`` and ``str`` cannot. So what carries keys to an
engine and back lies in one, of the size that it will need: one that grows would leave a copy behind.
"""

from typing import Self

KEY_LENGTH = 32


class Wiped(bytearray):
    """A buffer that is zeroed when its block ends.

    It is never made longer: that would leave a copy behind.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        wipe(self)


def wipe(buffer: bytearray | memoryview) -> None:
    """Overwrite a buffer with zeros."""
    buffer[:] = bytes(len(buffer))
