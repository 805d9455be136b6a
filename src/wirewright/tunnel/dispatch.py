"""From the core's events to the objects they concern.

Each wake drains the core's events once and hands each to the handler registered under its id. Ids are unique
within a tunnel over connections, listeners, datagram sockets and pings, so an event that comes late, for an
id given up already, finds nobody and is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wirewright.tunnel.waker import Waker, wake

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from wirewright._core import RootlessTunnel

_TUNNEL_KINDS = frozenset({"handshake", "gave_up", "stopped"})


class Handler(Protocol):
    """Something with an id in the core."""

    def core_event(self, kind: str, detail: object) -> None:
        """Take one event of the core."""

    def tunnel_closed(self, error: OSError) -> None:
        """End with ``error``: the core is gone, and no event will follow."""


class Dispatcher:
    """One tunnel's events, and who waits for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: RootlessTunnel) -> None:
        self._loop = loop
        self._core = core
        self._handlers: dict[int, Handler] = {}
        self._waker: Waker | None = None
        self._gone: OSError | None = None
        self._tunnel_event: Callable[[str, object], None]

    def start(self, tunnel_event: Callable[[str, object], None]) -> None:
        """Listen to the core; ``tunnel_event`` takes the events that concern the tunnel as a whole."""
        self._tunnel_event = tunnel_event
        self._waker = wake(self._loop, self._core.fileno(), self._drain)

    def add(self, ident: int, handler: Handler) -> None:
        """Give the events of ``ident`` to ``handler`` from now on; it is soon told if the tunnel is gone."""
        self._handlers[ident] = handler
        if self._gone is not None:
            # It was on its way here when all others were told, and the core may not be closed yet.
            self._loop.call_soon(self.abandon, self._gone)

    def remove(self, ident: int) -> None:
        """Forget ``ident``; unknown ids are fine."""
        self._handlers.pop(ident, None)

    def __len__(self) -> int:
        return len(self._handlers)

    def stop(self) -> None:
        """Listen no more; the core may be closed afterwards."""
        if self._waker is not None:
            self._waker.stop()
            self._waker = None

    def abandon(self, error: OSError) -> None:
        """Tell every handler that the tunnel is gone, and forget them all."""
        self._gone = error
        while self._handlers:
            _, handler = self._handlers.popitem()
            try:
                handler.tunnel_closed(error)
            except Exception as fault:  # one handler's fault must not keep the others open
                self._report(fault)

    def _drain(self) -> None:
        for kind, ident, detail in self._core.events():
            if kind in _TUNNEL_KINDS:
                self._tunnel_event(kind, detail)
            elif (handler := self._handlers.get(ident)) is not None:
                try:
                    handler.core_event(kind, detail)
                except Exception as error:  # one handler's fault must not starve the others
                    self._report(error)

    def _report(self, error: Exception) -> None:
        context = {"message": "A handler of tunnel events failed", "exception": error}
        self._loop.call_exception_handler(context)
