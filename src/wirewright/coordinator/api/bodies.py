"""Bodies are bounded, in bytes and in time, before anything reads them."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wirewright.coordinator.api.problems import problem

LARGEST: Final = 256 * 1024
"""Bytes of a body."""
PATIENCE: Final = 30.0
"""Seconds in which a body must be there."""


class BoundedBodies:
    """Middleware that reads a body whole and passes it on; too long is 413, too slow 408."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST, patience: float = PATIENCE) -> None:
        self._app, self._largest, self._patience = app, largest, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._patience):
                body = await self._read(scope, receive)
        except TimeoutError:
            detail = f"The body was not there within {self._patience:g} seconds."
            answer = problem(408, "too-slow", "The request took too long", detail, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        if body is None:
            detail = f"A body has at most {self._largest} bytes."
            answer = problem(413, "too-large", "The request is too large", detail, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        first = True

        async def replay() -> Message:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body; ``None`` if it is too long, without waiting for the rest of it."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (
                not value.isdigit() or len(value) > 9 or int(value) > self._largest
            ):
                return None
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(pieces)
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._largest:
                return None
            if not message.get("more_body", False):
                return b"".join(pieces)
