"""`Tunnel`: a private network, reached from one Python program without root and without a daemon."""

from __future__ import annotations

import asyncio
import errno
from importlib import import_module
from typing import TYPE_CHECKING, Self, TypeVar, cast

from wirewright.config import Config
from wirewright.tunnel import datagrams, echo, forks, forward, lifecycle, server, streams, tls
from wirewright.tunnel.arguments import check_number, check_port, literal
from wirewright.tunnel.context import Context, Timeouts
from wirewright.tunnel.errors import AddressError
from wirewright.tunnel.peers import check_key, no_answer
from wirewright.tunnel.stats import TunnelStats

if TYPE_CHECKING:
    import os
    import ssl as ssl_module
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from wirewright.host.filtering import PacketFilter
    from wirewright.keys import PublicKey
    from wirewright.tunnel.arguments import Address, Endpoint
    from wirewright.tunnel.context import TunnelOptions
    from wirewright.tunnel.forwarding import Forwarding
    from wirewright.tunnel.membership import PeerChanges
    from wirewright.tunnel.resolver import TunnelResolver

    Ssl = ssl_module.SSLContext | bool | None

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)
DatagramProtocolT = TypeVar("DatagramProtocolT", bound=asyncio.DatagramProtocol)

# The number of a shard stands in six bits of each receiver index.
MAX_SHARDS = 64
_EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (inside the tunnel only)


class Tunnel:
    """A WireGuard tunnel in user space, for this program alone.

        async with Tunnel.from_file("office.conf") as tunnel:
            reader, writer = await tunnel.open_connection("intranet.example", 80)

    It belongs to the event loop in which it was opened. Hosts are IP addresses, or names that are asked of
    the configuration's DNS servers through the tunnel. What goes wrong with the network is raised as an
    ``OSError``, most of them of ``wirewright.tunnel.errors``. The configuration's hooks (PostUp and so on)
    are never run.
    """

    def __init__(
        self,
        config: Config,
        *,
        listen_address: str | None = None,
        shards: int = 1,
        timeouts: Timeouts | None = None,
        forwarding: Forwarding | None = None,
    ) -> None:
        """Prepare a tunnel; it opens with ``async with`` or ``await open()``.

        ``listen_address`` is the outer IP address of its UDP socket (default: all), ``shards`` the number of
        the engine's shards, which one thread drives. An open tunnel keeps nothing secret of the configuration
        but in the core, so that closing it wipes the keys, unless somebody else holds the configuration.
        With ``forwarding`` its peers reach through it what the host can reach, and each other.
        """
        if not isinstance(config, Config):
            raise TypeError(
                f"{type(self).__name__} takes a wirewright.config.Config, not {config!r}; "
                f"to open a file, write {type(self).__name__}.from_file(path)"
            )
        check_number("shards", shards, 1, MAX_SHARDS)
        self.config = config
        self._listen_address = listen_address
        self._shards = shards
        self._timeouts = timeouts or Timeouts()
        self._forwarding = forwarding
        self._context: Context | None = None
        self._resolver: TunnelResolver | None = None
        self._closed: asyncio.Future[None] | None = None
        self._forked = False

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Unpack[TunnelOptions]) -> Self:
        """Prepare a tunnel from a wg-quick configuration file, with the options of ``Tunnel``."""
        return cls(Config.from_file(path), **options)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "new" if self._context is None else "open"
        return f"<{type(self).__name__} {state} {', '.join(self.addresses)}>"

    # Opening and closing.

    async def open(self) -> None:
        """Resolve the peers' endpoints, take a UDP port and start. Handshakes begin with the first packet."""
        if self._context is not None or self.closed:
            raise RuntimeError("This tunnel was opened before: make another Tunnel from the configuration.")
        self._context = await lifecycle.open_tunnel(
            self,
            self.config,
            listen_address=self._listen_address,
            shards=self._shards,
            timeouts=self._timeouts,
            forwarding=self._forwarding,
        )
        # The core has the keys now, and wipes them when it closes and in a forked child. What is kept here
        # would outlive that.
        self.config = self.config.without_secrets()
        forks.watch(self)

    async def close(self) -> None:
        """Let closed connections deliver their last bytes, reset the open ones, stop and wipe the keys."""
        if self._context is None or self._forked:
            return
        if self._closed is None:
            self._closed = self._context.loop.create_future()
            try:
                await lifecycle.close_tunnel(self._context)
            finally:
                forks.unwatch(self)
                self._closed.set_result(None)
        await asyncio.shield(self._closed)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _in_forked_child(self) -> None:
        """Be closed: this is a forked child, where the core has wiped its keys."""
        self._forked = True
        if self._context is not None:
            self._context.reason = forks.FORKED

    @property
    def closed(self) -> bool:
        """Whether the tunnel was closed or has ended by itself."""
        ended = self._context is not None and (self._context.reason is not None or self._context.core.closed)
        return self._forked or self._closed is not None or ended

    def _open_context(self) -> Context:
        context = self._context
        if context is None:
            raise RuntimeError("The tunnel is not open: use it inside 'async with tunnel:'.")
        if self.closed:
            raise context.closed_error()
        return context

    def _here(self) -> Context:
        context = self._open_context()
        if asyncio.get_running_loop() is not context.loop:
            raise RuntimeError(
                "This tunnel belongs to another event loop: open one in this loop, or use BlockingTunnel."
            )
        return context

    # What it is.

    @property
    def addresses(self) -> tuple[str, ...]:
        """The tunnel's own IP addresses."""
        return tuple(str(address.ip) for address in self.config.interface.addresses)

    @property
    def listen_port(self) -> int:
        """The outer UDP port."""
        return self._open_context().core.listen_port

    def stats(self) -> TunnelStats:
        """Return every counter as it is now; callable from any thread."""
        return TunnelStats.from_core(self._open_context().core.stats())

    # Connections.

    async def open_connection(
        self,
        host: str,
        port: int,
        *,
        ssl: Ssl = None,
        server_hostname: str | None = None,
        limit: int = streams.DEFAULT_LIMIT,
        local_port: int = 0,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to ``host`` inside the tunnel, like ``asyncio.open_connection``."""
        settings = tls.client_settings(
            ssl, server_hostname, host, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        check_port(port, least=1)
        check_port(local_port)
        addresses = await self.resolve(host)
        return await streams.open_streams(
            self._here(), addresses, port, limit=limit, local_port=local_port, tls=settings
        )

    async def create_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        host: str,
        port: int,
        *,
        ssl: Ssl = None,
        server_hostname: str | None = None,
        local_port: int = 0,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, ProtocolT]:
        """Connect to ``host`` inside the tunnel, like ``loop.create_connection``."""
        settings = tls.client_settings(
            ssl, server_hostname, host, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        check_port(port, least=1)
        check_port(local_port)
        addresses = await self.resolve(host)
        return await streams.connect(
            self._here(), protocol_factory, addresses, port, local_port=local_port, tls=settings
        )

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl_module.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> asyncio.Transport:
        """Upgrade a connection of this tunnel, like ``loop.start_tls``, under any event loop."""
        settings = tls.TlsSettings(sslcontext, server_side=server_side, server_hostname=server_hostname)
        return await tls.start_tls(self._here().loop, transport, protocol, settings)

    async def start_server(
        self,
        client_connected_cb: streams.ClientConnected,
        port: int = 0,
        host: str | Sequence[str] | None = None,
        *,
        backlog: int = 128,
        limit: int = streams.DEFAULT_LIMIT,
        ssl: ssl_module.SSLContext | None = None,
    ) -> server.TunnelServer:
        """Call ``client_connected_cb(reader, writer)`` for each connection, like ``asyncio.start_server``.

        ``host`` is one or some of the tunnel's own addresses, by default all; port 0 is any free one.
        """
        factory = streams.stream_factory(self._here(), client_connected_cb, limit)
        return await self.create_server(factory, port, host, backlog=backlog, ssl=ssl)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        port: int = 0,
        host: str | Sequence[str] | None = None,
        *,
        backlog: int = 128,
        ssl: ssl_module.SSLContext | None = None,
    ) -> server.TunnelServer:
        """Join each connection with a protocol of ``protocol_factory``, like ``loop.create_server``."""
        context = self._here()
        check_port(port)
        check_number("backlog", backlog, 1)
        settings = None if ssl is None else tls.TlsSettings(ssl, server_side=True)
        hosts = [host] if isinstance(host, str) else list(host or [])
        hosts = [] if _EVERY_ADDRESS.intersection(hosts) else hosts
        listeners, addresses = server.listen(context, hosts, self.addresses, port, backlog)
        return server.TunnelServer(context, listeners, addresses, protocol_factory, settings)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], DatagramProtocolT],
        local_addr: tuple[str | None, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
    ) -> tuple[datagrams.TunnelDatagramTransport, DatagramProtocolT]:
        """Make a UDP socket inside the tunnel, like ``loop.create_datagram_endpoint``."""
        remote = None
        host, port = local_addr or (None, 0)
        check_port(port)
        if remote_addr is not None:
            check_port(remote_addr[1], least=1)
            remote = str(await self.reachable(remote_addr[0])), remote_addr[1]
        context = self._here()
        host = None if host in _EVERY_ADDRESS else host
        if host is not None and host not in self.addresses:
            raise AddressError(
                f"Cannot use {host}: it is not an address of this tunnel ({', '.join(self.addresses)}).",
                errno=errno.EADDRNOTAVAIL,
            )
        return datagrams.bind(context, host, port, protocol_factory, remote)

    def forward(
        self,
        remote: Endpoint,
        *,
        host: str = forward.LOOPBACK,
        port: int = 0,
        connections: int = forward.CONNECTIONS,
    ) -> AbstractAsyncContextManager[forward.LocalAddress]:
        """Listen on this machine's loopback for who cannot speak through the tunnel itself.

        ``async with tunnel.forward("db:5432") as address`` gives the host and port to connect to, which lead
        to ``remote`` behind the tunnel. At most ``connections`` exist at once; a further one is reset, as are
        all when the block ends. Every program of this machine may connect.
        """
        return forward.forwarded(self._open_context(), remote, host, port, connections)

    # Questions.

    async def ping(self, host: str, *, timeout: float | None = None, payload: int = echo.PAYLOAD) -> float:  # noqa: ASYNC109 (it chooses the message)
        """Return the round trip to ``host`` in seconds; ``payload`` is the echo's size in bytes."""
        check_number("payload", payload, 0)
        address = await self.reachable(host)
        context = self._here()
        limit = context.timeouts.ping if timeout is None else timeout
        return await echo.ping(context, address, limit, payload)

    async def resolve(self, host: str) -> list[Address]:
        """Return the IP addresses of ``host``, as seen inside the tunnel, those to try first in front."""
        context = self._here()
        if (address := literal(host)) is not None:
            return [address]
        if self._resolver is None:
            # dnspython takes a tenth of a second to import: only for who needs it, and not in the loop.
            module = await context.loop.run_in_executor(None, import_module, "wirewright.tunnel.resolver")
            self._resolver = cast("TunnelResolver", module.TunnelResolver(context, self.config.interface))
        return await self._resolver.resolve(host)

    async def reachable(self, host: str) -> Address:
        """Return the IP address of ``host`` to try first: one to which there is a route, if any has one."""
        addresses = await self.resolve(host)
        peers = self._here().peers
        return next((address for address in addresses if peers.find(address)), addresses[0])

    # Peers.

    async def add_peer(self, public_key: PublicKey, **settings: Unpack[PeerChanges]) -> None:
        """Add a peer with any of these settings.

        They are ``preshared_key``, ``endpoint``, ``allowed_ips``, ``persistent_keepalive`` and ``rules``. The
        endpoint is "host:port", resolved outside the tunnel; the keepalive is in seconds. The rules are what
        the peer may start if the tunnel has a filter (:meth:`set_filter`).
        """
        await self._here().membership.add(public_key, settings)

    async def update_peer(self, public_key: PublicKey, **settings: Unpack[PeerChanges]) -> None:
        """Change what is given of a peer; ``allowed_ips`` and ``rules`` replace those it has."""
        await self._here().membership.update(public_key, settings)

    async def remove_peer(self, public_key: PublicKey) -> bool:
        """Remove a peer with its routes and sessions; false if it was not there."""
        return self._here().membership.remove(public_key)

    async def set_filter(self, settings: PacketFilter | None) -> None:
        """Let peers start only what their ``rules`` allow, and be reached by nobody unasked; None: no filter.

        The tunnel's own addresses should be among the ``own`` of the settings.
        """
        own = None if settings is None else [str(address) for address in settings.own]
        protected = () if settings is None else [str(network) for network in settings.protected]
        self._here().core.set_filter(own, protected)

    async def wait_for_handshake(
        self,
        public_key: PublicKey | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 (it chooses the message)
    ) -> None:
        """Return when there is a session with the peer, asking for a handshake if there is none.

        The key may be left out if the tunnel has one peer. A session may be used for 180 s, so that there is
        one does not say that the peer is there still: ``ping`` a host behind it for that.
        """
        context = self._here()
        peer = context.peers.get(public_key) if public_key else context.peers.only()
        if peer is None:
            raise KeyError(f"Peer {public_key} is not in this tunnel.")
        check_key(peer)
        if context.peers.has_session(peer):
            return
        if peer.endpoint is not None:
            context.core.initiate(peer.public_key)
        limit = context.timeouts.handshake if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(context.peers.next_handshake(peer))
        except TimeoutError as error:
            raise error if error.args else no_answer(peer, limit) from None
