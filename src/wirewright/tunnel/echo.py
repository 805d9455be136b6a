"""One echo request through the tunnel."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from wirewright.tunnel.errors import AddressError, PingTimeoutError, UnreachableError, connect_error
from wirewright.tunnel.peers import silence
from wirewright.tunnel.pending import Pending

if TYPE_CHECKING:
    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.context import Context

PAYLOAD = 56


async def ping(context: Context, address: Address, limit: float, payload: int = PAYLOAD) -> float:
    """Return the round trip to ``address`` in seconds."""
    if str(address) in context.tunnel.addresses:
        raise AddressError(
            f"{address} is this tunnel's own address: nothing to measure there.", errno=errno.EADDRNOTAVAIL
        )
    peer = context.peers.owner(address, str(address))
    heard = context.peers.listen(peer)
    try:
        ident = context.core.ping(str(address), payload)
    except OSError as error:
        raise connect_error(error, str(address)) from None

    def judge(kind: str, detail: object) -> float | OSError | None:
        if kind == "pong" and isinstance(detail, float):
            return detail
        if kind == "unreachable":
            return UnreachableError(f"{address} is unreachable: {detail}")
        return None

    def late() -> OSError:
        return PingTimeoutError(
            f"{address} did not answer the ping within {limit:g} s, "
            + silence(peer, heard(), "does it answer pings")
        )

    pending = Pending(context.loop, judge)
    context.dispatcher.add(ident, pending)
    try:
        return await pending.answer(context, peer, limit, late)
    finally:
        context.dispatcher.remove(ident)
        # RuntimeError: the tunnel was closed meanwhile, and the ping with it.
        with suppress(RuntimeError):
            context.core.cancel_ping(ident)
