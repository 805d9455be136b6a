"""The application behind a socket: uvicorn inside a running event loop, with bounds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from wirewright.config.values import host_and_port
from wirewright.coordinator.connections import KEEP_ALIVE, Sources, bounded
from wirewright.host.exposure import is_exposed

if TYPE_CHECKING:
    from fastapi import FastAPI

CONNECTIONS: Final = 1024
"""Connections and requests in work, together, before others are told to come later (503)."""
_BACKLOG: Final = 512
_GRACE: Final = 5
"""Seconds that open requests have when the server is asked to end."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the API listens, and how it is spoken to."""

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: tuple[str, ...] = ()
    """Addresses of proxies whose X-Forwarded-For is believed."""


class OpenToOthersError(ValueError):
    """Plain HTTP would be offered to other machines."""


class CertificateError(ValueError):
    """The certificate or its key cannot be used."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs; ``url`` is its root, without a slash at the end."""

    url: str
    host: str
    port: int


@asynccontextmanager
async def serving(app: FastAPI, listening: Listening) -> AsyncIterator[Served]:
    """Serve until the block is left.

    Raises `OpenToOthersError`, `CertificateError`, or `OSError` if the port is taken.

    The lifespan of ``app`` runs inside; what breaks there (a database that is newer) is raised here.
    """
    refuse_open(listening)
    _check_certificate(listening)
    bound = _bind(listening)
    host, port = bound.getsockname()[:2]
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(listening.behind_proxy),
        forwarded_allow_ips=list(listening.behind_proxy),
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        h11_max_incomplete_event_size=32 * 1024,
        http=bounded(Sources(None) if listening.behind_proxy else Sources()),
        ws="none",
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
    )
    server = _Server(config)
    with contextlib.closing(bound):
        async with app.router.lifespan_context(app):
            task = asyncio.create_task(server.serve(sockets=[bound]))
            try:
                await server.accepting.wait()
                scheme = "https" if listening.certificate else "http"
                name = f"[{host}]" if ":" in host else host
                yield Served(f"{scheme}://{name}:{port}", host, port)
            finally:
                app.state.coordinator.streams.end_all()
                server.should_exit = True
                await asyncio.shield(asyncio.wait([task]))


def refuse_open(listening: Listening) -> None:
    """Refuse plain HTTP on anything but the loopback, unless a proxy is said to be in front."""
    if (listening.certificate is None) != (listening.key is None):
        raise OpenToOthersError("A certificate and its key come together.")
    if listening.certificate is not None or listening.behind_proxy or is_loopback(listening.host):
        return
    raise OpenToOthersError(
        f"Other machines can reach {listening.host}, and tokens would cross the network in the clear. "
        "Give a TLS certificate and key, or say that a proxy that does TLS is in front."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address (a name is no address but for ``localhost``)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_certificate(listening: Listening) -> None:
    """Read the certificate and its key before anything is opened."""
    if listening.certificate is None or listening.key is None:
        return
    for path in (listening.certificate, listening.key):
        with path.open("rb"):
            pass
    if is_exposed(listening.key):
        raise CertificateError(
            f"Other users may read or write {listening.key}, the key of TLS: chmod 600 it."
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listening.certificate, listening.key)
    except ssl.SSLError:
        raise CertificateError(
            f"{listening.certificate} and {listening.key} are no certificate in the form PEM and its key."
        ) from None


def _bind(listening: Listening) -> socket.socket:
    found = socket.getaddrinfo(
        listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        words = f"nothing can listen there: {error.strerror or error}; name another with --listen"
        raise OSError(error.errno, words, host_and_port(listening.host, listening.port)) from None
    return bound


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to the program and says when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the program that serves handles its signals itself."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self.accepting.set()
