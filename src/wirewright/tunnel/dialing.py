"""Opening one connection through the tunnel, and the race among several addresses of one host."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from wirewright.tunnel.errors import ConnectTimeoutError, connect_error
from wirewright.tunnel.peers import silence
from wirewright.tunnel.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright._core import Connection
    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.context import Context

# RFC 8305 section 5: Connection Attempt Delay.
ATTEMPT_DELAY = 0.25


async def dial(context: Context, address: Address, port: int, local_port: int = 0) -> Connection:
    """Connect to one address; the caller owns the connection, and ``cancel`` leaves nothing behind."""
    destination = f"{address} port {port}"
    peer = context.peers.owner(address, destination)
    heard = context.peers.listen(peer)
    try:
        connection = context.core.connect(str(address), port, local_port)
    except OSError as error:
        raise connect_error(error, destination) from None

    def judge(kind: str, detail: object) -> float | OSError | None:
        if kind == "connected":
            return 0.0
        if kind in {"failed", "closed"}:
            code = detail if isinstance(detail, int) else None
            return connect_error(OSError(code, ""), destination)
        return None

    def late() -> OSError:
        return ConnectTimeoutError(
            f"{destination} did not answer within {context.timeouts.connect:g} s, "
            + silence(peer, heard(), "does it (or a firewall before it) let this tunnel's address in")
        )

    pending = Pending(context.loop, judge)
    context.dispatcher.add(connection.id, pending)
    try:
        await pending.answer(context, peer, context.timeouts.connect, late)
    except BaseException:
        release(context, connection)
        raise
    return connection


def release(context: Context, connection: Connection) -> None:
    """Give up a connection that no transport owns."""
    context.dispatcher.remove(connection.id)
    # RuntimeError: the tunnel was closed meanwhile, and the connection with it.
    with suppress(OSError, RuntimeError):
        connection.abort()


async def race(context: Context, addresses: Sequence[Address], port: int, local_port: int = 0) -> Connection:
    """Connect to the first address that answers: each next one starts a moment later (RFC 8305).

    Raises the first address's error if all fail, with the others' as notes.
    """
    reachable = [address for address in addresses if context.peers.find(address)] or addresses[:1]
    if len(reachable) == 1:
        return await dial(context, reachable[0], port, local_port)
    attempts: list[asyncio.Task[Connection]] = []
    try:
        winner = await _winner(context, attempts, reachable, port, local_port)
        await _give_up(context, [attempt for attempt in attempts if attempt is not winner])
    except BaseException:
        await _give_up(context, attempts)
        raise
    return winner.result()


async def _winner(
    context: Context,
    attempts: list[asyncio.Task[Connection]],
    addresses: Sequence[Address],
    port: int,
    local_port: int,
) -> asyncio.Task[Connection]:
    waiting = list(addresses)
    while waiting or not all(attempt.done() for attempt in attempts):
        if waiting:
            attempts.append(context.loop.create_task(dial(context, waiting.pop(0), port, local_port)))
        running = [attempt for attempt in attempts if not attempt.done()]
        # The next attempt starts after the delay, or at once when one has failed.
        await asyncio.wait(
            running, timeout=ATTEMPT_DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED
        )
        for attempt in attempts:
            if attempt.done() and not attempt.cancelled() and attempt.exception() is None:
                return attempt
    errors = [error for attempt in attempts if (error := attempt.exception()) is not None]
    for other in errors[1:]:
        errors[0].add_note(f"Also tried: {other}")
    raise errors[0]


async def _give_up(context: Context, attempts: list[asyncio.Task[Connection]]) -> None:
    """Cancel the attempts, and reset the connections of those that succeeded all the same."""
    running = [attempt for attempt in attempts if attempt.cancel()]
    # By callback, so that it happens even if our own waiting is cancelled.
    for attempt in attempts:
        attempt.add_done_callback(lambda done: _release_result(context, done))
    if running:
        await asyncio.wait(running)
    await asyncio.sleep(0)


def _release_result(context: Context, attempt: asyncio.Task[Connection]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        release(context, attempt.result())
