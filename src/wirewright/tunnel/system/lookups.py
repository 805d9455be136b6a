"""Names that are asked for without making a signal wait.

The C library's resolver goes on waiting when a signal comes, and Python hears of the signal only when it has
returned, which takes tens of seconds if no server answers. So it is asked on a thread of its own; who waits
for the thread can be interrupted, and an answer that comes too late is nobody's.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from wirewright.config.values import Endpoint

Found: TypeAlias = list[tuple[Any, ...]]
"""What `socket.getaddrinfo` gives."""


def look_up(endpoint: Endpoint) -> Found:
    """Find the addresses of an endpoint. Raises OSError, and what a handler of a signal raises meanwhile."""
    found: Found = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM))
        except BaseException as error:
            failed.append(error)

    # A daemon: the process does not wait for it at its end.
    asking = threading.Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join()
    if failed:
        raise failed[0]
    return found
