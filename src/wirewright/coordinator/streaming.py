"""Server-sent events of what devices do, for pages and for programs.

Who listens has a place at the hub before the answer begins, so that one too many is refused with a status
and not with a stream that ends. It is asked whether they still may once something of their user changes
(`wirewright.coordinator.storage.bulletin.powers`), and now and then besides, since sessions and tokens end by
time as well.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import StreamingResponse

from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.services import live
from wirewright.coordinator.storage.bulletin import powers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from wirewright.coordinator.context import Coordinator
    from wirewright.coordinator.live import Listener
    from wirewright.coordinator.services.access import Caller

KEEPALIVE: Final = 5.0
"""Seconds after which whoever listens is asked anew whether they still may."""


class Following(StreamingResponse):
    """Events ``device``: first each device that is shown, with its last rates, then what changes.

    ``still`` returns whoever listens as they are now, or raises `CoordinatorError` once they may no more.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        caller: Caller,
        shown: frozenset[str],
        still: Callable[[], Awaitable[Caller]],
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__((), media_type="text/event-stream", headers=headers)
        self._coordinator, self._caller, self._shown, self._still = coordinator, caller, shown, still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raise `TooManyError` before anything is sent if there is no place."""
        coordinator = self._coordinator
        with (
            coordinator.hub.listening(self._caller, self._shown) as listener,
            coordinator.streams.opened(f"live {id(listener)}") as end,
            coordinator.storage.bulletin.subscribe(powers(self._caller.user_id)) as changed,
        ):
            self.body_iterator = self._events(listener, end, changed)
            await super().__call__(scope, receive, send)

    async def _events(
        self, listener: Listener, end: asyncio.Event, changed: asyncio.Event
    ) -> AsyncIterator[bytes]:
        try:
            yield b"retry: 2000\n\n"
            for event in await self._present():
                yield event
            asked = asyncio.get_running_loop().time()
            while not end.is_set():
                waiting = [asyncio.ensure_future(each.wait()) for each in (listener.news, end, changed)]
                try:
                    await asyncio.wait(waiting, timeout=KEEPALIVE, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in waiting:
                        each.cancel()
                now = asyncio.get_running_loop().time()
                if changed.is_set() or now - asked >= KEEPALIVE:
                    changed.clear()
                    asked = now
                    if await self._still() != self._caller:
                        # They may something else now: the client asks again, and gets that.
                        return
                    yield b": still here\n\n"
                for sight in listener.take():
                    yield _event(sight)
        except CoordinatorError:
            # Whoever listens may no more, or the database is away: the client asks again, and is told.
            return

    async def _present(self) -> list[bytes]:
        """Return the devices as they are now, those that whoever listens may see."""
        hub, storage, caller = self._coordinator.hub, self._coordinator.storage, self._caller
        found = []
        for details in await storage.read(live.these, sorted(self._shown)):
            if caller.only_own and details.device.user_id != caller.user_id:
                continue
            rates = [
                [each.at // 1000, round(each.received), round(each.sent)]
                for each in hub.rates(details.device.id)
            ]
            found.append(_event({**hub.sight(details, storage.clock()), "rates": rates}))
        return found


def _event(sight: dict[str, Any]) -> bytes:
    return f"event: device\ndata: {json.dumps(sight, separators=(',', ':'))}\n\n".encode()
