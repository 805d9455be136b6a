"""A UDP port that another program has, told with what to do about it."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def listening_on(port: int) -> Iterator[None]:
    """Raise OSError in words for who started the gateway where ``port`` is in use."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        words = f"UDP port {port} is in use by another program: end that, or choose another by --listen-port"
        raise OSError(errno.EADDRINUSE, words) from None
