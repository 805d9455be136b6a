"""Waiting for one answer of the core: a connection made, an echo, with a reason when it does not come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wirewright.tunnel.peers import no_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.tunnel.context import Context
    from wirewright.tunnel.peers import Peer


class Pending:
    """A future as handler of events: ``judge`` turns the awaited events into a result or an exception.

    Its owner waits by ``answer``, and removes it from the dispatcher in the end.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, judge: Callable[[str, object], float | OSError | None]
    ) -> None:
        self._judge = judge
        self._future: asyncio.Future[float] = loop.create_future()

    def core_event(self, kind: str, detail: object) -> None:
        """Take an event of the core."""
        if self._future.done():
            return
        match self._judge(kind, detail):
            case OSError() as error:
                self._future.set_exception(error)
            case float(result):
                self._future.set_result(result)

    def tunnel_closed(self, error: OSError) -> None:
        """End with ``error``."""
        if not self._future.done():
            self._future.set_exception(error)

    async def answer(self, context: Context, peer: Peer, limit: float, late: Callable[[], OSError]) -> float:
        """Wait for the answer that must come through ``peer``.

        If the peer has no session yet, it gets the handshake's time first, and its silence is the error; then
        the answer itself gets ``limit`` seconds, and ``late`` makes the error when they have passed.
        """
        try:
            if not context.peers.has_session(peer):
                await self._handshake(context, peer)
            async with asyncio.timeout(limit):
                return await self._future
        except TimeoutError as error:
            # A timeout that is somebody's result is an answer; the deadline's has no words.
            if error.args:
                raise
            raise late() from None
        finally:
            self._future.cancel()

    async def _handshake(self, context: Context, peer: Peer) -> None:
        handshake = context.peers.next_handshake(peer)
        limit = context.timeouts.handshake
        either: list[asyncio.Future[Any]] = [self._future, handshake]
        done, _ = await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise no_answer(peer, limit)
        if handshake in done and self._future not in done:
            handshake.result()
