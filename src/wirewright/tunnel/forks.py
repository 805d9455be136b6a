"""Tunnels do not survive ``os.fork`` in the child.

Two processes with the same session keys would encrypt different packets under the same nonce, which reveals
both; so the core wipes its keys in the child, and here the child's objects learn that they are closed. They
must not touch the event loop either: the child shares the loop's epoll instance with its parent, and what it
unregisters there is deaf in the parent too.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

FORKED = "this process was forked from the one that opened it. Open a tunnel of its own in the child"


class Forkable(Protocol):
    """Something that must know that it woke up in a forked child."""

    def _in_forked_child(self) -> None:
        """Consider itself closed, and touch nothing that is shared with the parent."""


_open: weakref.WeakSet[Forkable] = weakref.WeakSet()


def watch(thing: Forkable) -> None:
    """Call ``thing._in_forked_child()`` in every child forked from now on, as long as it lives."""
    _open.add(thing)


def unwatch(thing: Forkable) -> None:
    """Leave ``thing`` alone."""
    _open.discard(thing)


def _in_child() -> None:
    for thing in list(_open):
        thing._in_forked_child()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
