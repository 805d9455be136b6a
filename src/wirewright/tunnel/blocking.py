"""`BlockingTunnel`: the same tunnel for scripts that have no event loop.

A loop of its own runs in a thread; calls are handed to it and waited for. So it works anywhere, in a notebook
or a thread beside a running loop too. A call that is interrupted is cancelled in the loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from wirewright.config import Config
from wirewright.tunnel import forks
from wirewright.tunnel.connection import BlockingConnection
from wirewright.tunnel.errors import TunnelClosed
from wirewright.tunnel.forward import CONNECTIONS, LOOPBACK
from wirewright.tunnel.tunnel import Tunnel

if TYPE_CHECKING:
    import os
    import ssl as ssl_module
    from collections.abc import Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from wirewright.host.filtering import PacketFilter
    from wirewright.keys import PublicKey
    from wirewright.tunnel.arguments import Address, Endpoint
    from wirewright.tunnel.context import TunnelOptions
    from wirewright.tunnel.forward import LocalAddress
    from wirewright.tunnel.membership import PeerChanges
    from wirewright.tunnel.stats import TunnelStats

ResultT = TypeVar("ResultT")


class BlockingTunnel:
    r"""A WireGuard tunnel in user space, for scripts.

        with BlockingTunnel.from_file("office.conf") as tunnel:
            with tunnel.connect("intranet.example", 80) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")

    Callable from any thread but that of its own event loop.
    """

    def __init__(self, config: Config, **options: Unpack[TunnelOptions]) -> None:
        """Prepare a tunnel, with the options of ``Tunnel``; it opens with ``with`` or ``open()``."""
        self._tunnel = Tunnel(config, **options)
        self._thread: threading.Thread | None = None
        self._forked = False
        # Guards what follows: a call is handed over only to a loop that will run it, and a request to stop
        # that comes before the loop exists is not lost.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Unpack[TunnelOptions]) -> Self:
        """Prepare a tunnel from a wg-quick configuration file, with the options of ``Tunnel``."""
        return cls(Config.from_file(path), **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._tunnel!r}>"

    def open(self) -> None:
        """Start the loop's thread and open the tunnel in it."""
        if self._thread is not None:
            raise RuntimeError("This tunnel was opened before: make another from the configuration.")
        opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="wirewright-tunnel", daemon=True
        )
        self._thread.start()
        forks.watch(self)
        try:
            opened.result()
        except BaseException:
            # Interrupted, or the tunnel could not open; in both cases the thread has nothing more to do.
            self.close()
            raise

    def close(self) -> None:
        """Let closed connections deliver their last bytes, reset the open ones, stop and wipe the keys."""
        if self._thread is None or self._forked:
            return
        forks.unwatch(self)
        with self._lock:
            self._stopping = True
            if self._loop is not None and self._stop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_forked_child(self) -> None:
        """Be closed: this is a forked child, where neither the thread nor the keys exist."""
        self._forked = True

    @property
    def tunnel(self) -> Tunnel:
        """The tunnel under it, for coroutines that ``call`` runs."""
        return self._tunnel

    @property
    def closed(self) -> bool:
        """Whether the tunnel was closed or has ended by itself."""
        return self._forked or self._tunnel.closed

    @property
    def addresses(self) -> tuple[str, ...]:
        """The tunnel's own IP addresses."""
        return self._tunnel.addresses

    @property
    def listen_port(self) -> int:
        """The outer UDP port."""
        return self._tunnel.listen_port

    def connect(
        self,
        host: str,
        port: int,
        *,
        ssl: ssl_module.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        local_port: int = 0,
        timeout: float | None = None,
    ) -> BlockingConnection:
        """Connect to ``host`` inside the tunnel; ``timeout`` in seconds also becomes the connection's."""

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            async with asyncio.timeout(timeout):
                return await self._tunnel.open_connection(
                    host, port, ssl=ssl, server_hostname=server_hostname, local_port=local_port
                )

        return BlockingConnection(self.call, *self.call(connect()), timeout)

    @contextmanager
    def forward(
        self, remote: Endpoint, *, host: str = LOOPBACK, port: int = 0, connections: int = CONNECTIONS
    ) -> Iterator[LocalAddress]:
        """Listen on the loopback for who cannot speak through the tunnel; see ``Tunnel.forward``."""

        async def enter() -> tuple[AbstractAsyncContextManager[LocalAddress], LocalAddress]:
            forward = self._tunnel.forward(remote, host=host, port=port, connections=connections)
            return forward, await forward.__aenter__()

        forward, address = self.call(enter())
        try:
            yield address
        finally:
            # Closing the tunnel has ended the forward already.
            with suppress(TunnelClosed):
                self.call(forward.__aexit__(None, None, None))

    def ping(self, host: str, *, timeout: float | None = None) -> float:
        """Return the round trip to ``host`` in seconds."""
        return self.call(self._tunnel.ping(host, timeout=timeout))

    def resolve(self, host: str) -> list[Address]:
        """Return the IP addresses of ``host``, as seen inside the tunnel, those to try first in front."""
        return self.call(self._tunnel.resolve(host))

    def stats(self) -> TunnelStats:
        """Return every counter as it is now."""
        return self._tunnel.stats()

    def add_peer(self, public_key: PublicKey, **settings: Unpack[PeerChanges]) -> None:
        """Add a peer, with the settings of ``Tunnel.add_peer``."""
        self.call(self._tunnel.add_peer(public_key, **settings))

    def set_filter(self, settings: PacketFilter | None) -> None:
        """Let peers start only what their rules allow, as ``Tunnel.set_filter`` does."""
        self.call(self._tunnel.set_filter(settings))

    def update_peer(self, public_key: PublicKey, **settings: Unpack[PeerChanges]) -> None:
        """Change what is given of a peer; ``allowed_ips`` replaces those it has."""
        self.call(self._tunnel.update_peer(public_key, **settings))

    def remove_peer(self, public_key: PublicKey) -> bool:
        """Remove a peer with its routes and sessions; false if it was not there."""
        return self.call(self._tunnel.remove_peer(public_key))

    def wait_for_handshake(
        self, public_key: PublicKey | None = None, *, timeout: float | None = None
    ) -> None:
        """Return when there is a session with the peer, asking for a handshake if there is none."""
        self.call(self._tunnel.wait_for_handshake(public_key, timeout=timeout))

    def call(self, operation: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine in the tunnel's loop and wait for its result."""
        try:
            if self._forked:
                raise TunnelClosed(f"The tunnel is closed: {forks.FORKED}.")
            if self._thread is None:
                raise RuntimeError("The tunnel is not open: use it inside 'with tunnel:'.")
            if threading.current_thread() is self._thread:
                raise RuntimeError("A BlockingTunnel used in its own loop would wait for itself.")
            with self._lock:
                if self._loop is None:
                    raise TunnelClosed("The tunnel is closed.")
                future = asyncio.run_coroutine_threadsafe(operation, self._loop)
        except BaseException:
            operation.close()
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise TunnelClosed("The tunnel was closed meanwhile.") from None
        except BaseException:
            future.cancel()
            raise

    def _run(self, opened: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._main(opened))
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    async def _main(self, opened: concurrent.futures.Future[None]) -> None:
        stop = asyncio.Event()
        with self._lock:
            self._stop, self._loop = stop, asyncio.get_running_loop()
            if self._stopping:
                stop.set()
        stopped = asyncio.ensure_future(stop.wait())
        opening = asyncio.ensure_future(self._tunnel.open())
        await asyncio.wait([stopped, opening], return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
        try:
            await opening
            opened.set_result(None)
            await stopped
        finally:
            stopped.cancel()
            with self._lock:
                self._loop = None
            # Calls handed over before this begin now, and end with the tunnel.
            await asyncio.sleep(0)
            await self._tunnel.close()
