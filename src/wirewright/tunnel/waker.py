"""How a loop learns that the core has events: the only place that knows descriptors and loops.

The core's descriptor is level-triggered: readable from the first waiting event until they are drained. Loops
that can watch descriptors (every Unix loop, uvloop) do so; where they cannot (the Proactor loop of Windows)
a thread waits in their stead. Neither runs per packet: one wake drains all that has gathered.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Waker(Protocol):
    """Calls back in the loop's thread while a descriptor is readable, until it is stopped."""

    def stop(self) -> None:
        """Stop calling back and let go of the descriptor; it may be closed afterwards."""


def wake(loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], None]) -> Waker:
    """Call ``callback`` in ``loop`` whenever ``descriptor`` is readable, by the best means it offers."""
    try:
        return ReaderWaker(loop, descriptor, callback)
    except NotImplementedError:
        return ThreadWaker(loop, descriptor, callback)


class ReaderWaker:
    """The loop watches the descriptor itself."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        loop.add_reader(descriptor, callback)

    def stop(self) -> None:
        """Let the loop forget the descriptor."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)


class ThreadWaker:
    """A thread watches the descriptor and posts the callback to the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._callback = callback
        # The descriptor stays readable until the callback has run, so the thread waits for that, or it would
        # post the same wake a million times a second.
        self._drained = threading.Event()
        self._stopping = False
        self._quit_receiver, self._quit_sender = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="wirewright-waker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it holds the descriptor no more when this returns."""
        if self._stopping:
            return
        self._stopping = True
        self._quit_sender.send(b"q")
        self._drained.set()
        self._thread.join()
        self._quit_sender.close()
        self._quit_receiver.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            selector.register(self._quit_receiver, selectors.EVENT_READ)
            # A RuntimeError means that the loop was closed under the tunnel: nobody is left to wake.
            with contextlib.suppress(RuntimeError):
                while True:
                    ready = {key.fd for key, _ in selector.select()}
                    if self._stopping or self._quit_receiver.fileno() in ready:
                        return
                    self._loop.call_soon_threadsafe(self._run)
                    self._drained.wait()
                    self._drained.clear()

    def _run(self) -> None:
        try:
            if not self._stopping:
                self._callback()
        finally:
            self._drained.set()
