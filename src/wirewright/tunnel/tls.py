"""TLS over our transports, the same way on every loop.

``asyncio.sslproto.SSLProtocol`` is what the stock loops use themselves; it asks a loop for timers and futures
only, so it serves under uvloop too, whose own ``start_tls`` takes none but its own transports.
"""

from __future__ import annotations

import ssl
from asyncio.sslproto import SSLProtocol
from typing import TYPE_CHECKING, Any, cast

from wirewright.tunnel.arguments import literal

if TYPE_CHECKING:
    import asyncio

    from wirewright.tunnel.transport import StreamTransport


class TlsSettings:
    """What is to be known for a TLS handshake: the context, the name expected, the limits."""

    def __init__(
        self,
        context: ssl.SSLContext | bool,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
    ) -> None:
        if context is True:
            if server_side:
                raise ValueError("A TLS server needs a certificate: give ssl= an ssl.SSLContext, not True.")
            context = ssl.create_default_context()
        if not isinstance(context, ssl.SSLContext):
            raise TypeError(f"ssl= takes an ssl.SSLContext or True, not {context!r}.")
        if not server_side and context.check_hostname and not server_hostname:
            raise ValueError("server_hostname= is needed: the certificate must be checked against some name.")
        self._context = context
        self._server_side = server_side
        self._server_hostname = server_hostname
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout

    def protocol(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        *,
        made: bool = True,
    ) -> SSLProtocol:
        """Return the protocol between a transport of ours and ``inner``; ``waiter`` gets the handshake's end.

        With ``made`` false, ``inner`` had its ``connection_made`` already.
        """
        # typeshed knows no handshake without a waiter (a server's), nor timeouts that are not whole seconds.
        return SSLProtocol(
            loop,
            inner,
            self._context,
            cast("Any", waiter),
            self._server_side,
            self._server_hostname,
            call_connection_made=made,
            ssl_handshake_timeout=cast("Any", self._handshake_timeout),
            ssl_shutdown_timeout=self._shutdown_timeout,
        )


def client_settings(
    context: ssl.SSLContext | bool | None,
    server_hostname: str | None,
    host: str,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> TlsSettings | None:
    """Return what a client that connects to ``host`` asked for by its arguments; None is no TLS."""
    if context is None or context is False:
        if server_hostname is not None:
            raise ValueError("server_hostname= makes sense with ssl= only.")
        return None
    return TlsSettings(
        context,
        server_hostname=str(literal(host) or host) if server_hostname is None else server_hostname,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
    )


def outer_transport(protocol: SSLProtocol) -> asyncio.Transport:
    """Return the transport that speaks plain text to the application."""
    # Exists from the protocol's construction on; the stock loops read the attribute just so.
    return cast("asyncio.Transport", cast("Any", protocol)._app_transport)


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    settings: TlsSettings,
) -> asyncio.Transport:
    """Speak TLS on an open transport from now on; returns the one that ``protocol`` must use instead."""
    waiter = loop.create_future()
    layer = settings.protocol(loop, protocol, waiter, made=False)
    outer = outer_transport(layer)
    transport.pause_reading()
    transport.set_protocol(layer)
    try:
        layer.connection_made(transport)
        transport.resume_reading()
        await waiter
    except BaseException:
        transport.abort()
        raise
    return outer


class LoopWithTls:
    """The running loop for ``StreamWriter``, whose ``start_tls`` asks the loop it was given."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @classmethod
    def over(cls, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        """Return a stand-in for ``loop`` that differs in ``start_tls`` only."""
        return cast("asyncio.AbstractEventLoop", cls(loop))

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    async def start_tls(
        self,
        transport: StreamTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Upgrade ``transport`` as ``loop.start_tls`` does."""
        settings = TlsSettings(
            sslcontext,
            server_side=server_side,
            server_hostname=server_hostname,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
        )
        return await start_tls(self._loop, transport, protocol, settings)
