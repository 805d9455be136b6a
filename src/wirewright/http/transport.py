"""Transports for httpx2's clients: a pool of httpcore2 over a network that is a tunnel."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypedDict, cast

import httpcore2
import httpx2

from wirewright.http.backend import BlockingBackend, TunnelBackend

if TYPE_CHECKING:
    import ssl
    from typing import Unpack

    from wirewright.tunnel import BlockingTunnel, Tunnel

_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20)


class TransportOptions(TypedDict, total=False):
    """What both transports take besides the tunnel, as httpx2's own transports do."""

    verify: ssl.SSLContext | bool
    http1: bool
    http2: bool
    limits: httpx2.Limits
    retries: int


class TunnelTransport(httpx2.AsyncBaseTransport):
    """Carries an ``httpx2.AsyncClient`` through an open `Tunnel`, in the tunnel's event loop."""

    def __init__(self, tunnel: Tunnel, **options: Unpack[TransportOptions]) -> None:
        """Prepare, with ``verify``, ``http1``, ``http2``, ``limits`` and ``retries`` as httpx2 has them."""
        backend = TunnelBackend(tunnel)
        self._pool = httpcore2.AsyncConnectionPool(network_backend=backend, **_pool_options(options))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its response, whose body is not read yet."""
        with _translated():
            response = await self._pool.handle_async_request(_request(request))
        body = cast("AsyncIterable[bytes]", response.stream)
        return _response(response, _AsyncBody(body))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:  # noqa: ANN401 (as in httpx2)
        with _translated():
            await self._pool.__aexit__(*error)


class BlockingTunnelTransport(httpx2.BaseTransport):
    """Carries an ``httpx2.Client`` through an open `BlockingTunnel`, from any thread."""

    def __init__(self, tunnel: BlockingTunnel, **options: Unpack[TransportOptions]) -> None:
        """Prepare, with the options of `TunnelTransport`."""
        backend = BlockingBackend(tunnel)
        self._pool = httpcore2.ConnectionPool(network_backend=backend, **_pool_options(options))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its response, whose body is not read yet."""
        with _translated():
            response = self._pool.handle_request(_request(request))
        return _response(response, _Body(cast("Iterable[bytes]", response.stream)))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401 (as in httpx2)
        with _translated():
            self._pool.__exit__(*error)


def _pool_options(options: TransportOptions) -> dict[str, Any]:
    limits = options.get("limits", _LIMITS)
    return {
        "ssl_context": httpx2.create_ssl_context(verify=options.get("verify", True)),
        "max_connections": limits.max_connections,
        "max_keepalive_connections": limits.max_keepalive_connections,
        "keepalive_expiry": limits.keepalive_expiry,
        "http1": options.get("http1", True),
        "http2": options.get("http2", False),
        "retries": options.get("retries", 0),
    }


def _request(request: httpx2.Request) -> httpcore2.Request:
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=cast("Any", request.stream),
        extensions=request.extensions,
    )


def _response(
    response: httpcore2.Response, body: httpx2.AsyncByteStream | httpx2.SyncByteStream
) -> httpx2.Response:
    return httpx2.Response(
        status_code=response.status, headers=response.headers, stream=body, extensions=response.extensions
    )


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterable[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for part in self._parts:
                yield part

    async def aclose(self) -> None:
        await cast("Any", self._parts).aclose()


class _Body(httpx2.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._parts

    def close(self) -> None:
        cast("Any", self._parts).close()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise httpx2's errors for httpcore2's: both have the same names."""
    try:
        yield
    except Exception as error:
        for kind in type(error).__mro__:
            if kind.__module__.startswith("httpcore2"):
                translated = getattr(httpx2, kind.__name__, None)
                if translated is not None:
                    raise translated(str(error)) from error
        raise
