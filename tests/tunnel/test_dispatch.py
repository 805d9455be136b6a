"""Who is told that a tunnel is gone."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from wirewright.tunnel.dispatch import Dispatcher

pytestmark = pytest.mark.anyio


class Told:
    """A handler that notes its end."""

    def __init__(self) -> None:
        self.errors: list[OSError] = []

    def core_event(self, kind: str, detail: object) -> None:
        raise AssertionError(f"no event comes: {kind} {detail}")

    def tunnel_closed(self, error: OSError) -> None:
        self.errors.append(error)


async def test_who_comes_when_the_tunnel_is_gone_is_told_as_all_others_were() -> None:
    # A connection that was made while the tunnel was being closed: no event of the core will follow.
    dispatcher = Dispatcher(asyncio.get_running_loop(), cast("Any", None))
    early, late, gone = Told(), Told(), Told()
    error = OSError("closed")
    dispatcher.add(1, early)
    dispatcher.abandon(error)
    dispatcher.add(2, late)
    dispatcher.add(3, gone)
    dispatcher.remove(3)
    assert late.errors == [], "not before it has told its own protocol that it is there"
    await asyncio.sleep(0)
    assert (early.errors, late.errors, gone.errors) == ([error], [error], [])
    assert len(dispatcher) == 0
