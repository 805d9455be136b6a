"""The table of a full tunnel: a number that is unused, and that nobody else chooses meanwhile.

A number is in use once its table has a route, which comes late in a plan: before it there are names to be
resolved and commands of the file. Until then the number is claimed, by a name of an abstract socket. Such
names belong to the network namespace, as tables do, and go with the process that took them.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from wirewright.tunnel.system.errors import InterfaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.host.network import Route

FIRST_TABLE: Final = 51820
"""The first table for the default route of a tunnel; its number is the mark of outer packets, too."""
MOST: Final = 4096
"""Numbers that are tried: more tunnels than a host has."""


class Routes(Protocol):
    """What is asked for the routes of a table."""

    def routes(self, version: int, *, table: int | None = None) -> list[Route]:
        """Give them, of one IP version."""
        ...


@contextmanager
def free_table(network: Routes) -> Iterator[int]:
    """Choose a number, which nobody else chooses as long as the block runs.

    Raises OSError and InterfaceError.
    """
    with ExitStack() as claim:
        for table in range(FIRST_TABLE, FIRST_TABLE + MOST):
            # In this order: whoever gave it up meanwhile has its routes by now.
            if claim.enter_context(claimed(table)) and not _is_used(network, table):
                yield table
                return
            claim.close()
    raise InterfaceError(f"the routing tables from {FIRST_TABLE} to {FIRST_TABLE + MOST - 1} are all in use")


@contextmanager
def claimed(table: int) -> Iterator[bool]:
    """Claim a number as long as the block runs; False if another has done so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as name:
        try:
            name.bind(f"\0wirewright/table/{table}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            yield False
        else:
            yield True


def _is_used(network: Routes, table: int) -> bool:
    return any(network.routes(version, table=table) for version in (4, 6))
