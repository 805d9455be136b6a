"""Server-sent events of what devices do, for pages and for programs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import StreamingResponse

from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.services import live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from wirewright.coordinator.context import Coordinator
    from wirewright.coordinator.services.access import Caller

KEEPALIVE: Final = 5.0
"""Seconds after which whoever listens is asked anew whether they still may."""


def stream(
    coordinator: Coordinator, caller: Caller, shown: frozenset[str], still: Callable[[], Awaitable[object]]
) -> StreamingResponse:
    """Answer with events ``device``; first each device that is shown, with its last rates.

    ``still`` raises `CoordinatorError` once whoever listens may no more.
    """
    events = _events(coordinator, caller, shown, still)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _events(
    coordinator: Coordinator, caller: Caller, shown: frozenset[str], still: Callable[[], Awaitable[object]]
) -> AsyncIterator[bytes]:
    hub, storage = coordinator.hub, coordinator.storage
    try:
        with (
            hub.listening(caller, shown) as listener,
            coordinator.streams.opened(f"live {id(listener)}") as end,
        ):
            yield b"retry: 2000\n\n"
            for details in await storage.read(live.these, sorted(shown)):
                if caller.only_own and details.device.user_id != caller.user_id:
                    continue
                rates = [
                    [each.at // 1000, round(each.received), round(each.sent)]
                    for each in hub.rates(details.device.id)
                ]
                yield _event({**hub.sight(details, storage.clock()), "rates": rates})
            asked = asyncio.get_running_loop().time()
            while not end.is_set():
                waiting = [asyncio.ensure_future(listener.news.wait()), asyncio.ensure_future(end.wait())]
                try:
                    await asyncio.wait(waiting, timeout=KEEPALIVE, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in waiting:
                        each.cancel()
                now = asyncio.get_running_loop().time()
                if now - asked >= KEEPALIVE:
                    asked = now
                    await still()
                    yield b": still here\n\n"
                for sight in listener.take():
                    yield _event(sight)
    except CoordinatorError:
        # Whoever listens may no more, or the database is away: the client asks again, and is told.
        return


def _event(sight: dict[str, Any]) -> bytes:
    return f"event: device\ndata: {json.dumps(sight, separators=(',', ':'))}\n\n".encode()
