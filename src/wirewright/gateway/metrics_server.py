"""The server of a gateway's metrics: it has few places, and no connection has one for long.

That of ``prometheus_client`` has a thread for each connection, as long as that stays: who can connect, such
as any user of the host, could take all the descriptors of the gateway.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# As the library has it for TCP and UDP; here it is always the first.
Request: TypeAlias = "socket.socket | tuple[bytes, socket.socket]"
PLACES: Final = 8
"""Connections at once; more are closed."""
PATIENCE: Final = 10.0
"""Seconds that one has for all it asks."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Serves a registry's page."""

    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, registry: CollectorRegistry) -> None:
        """Listen on an address of IP. Raises OSError: it is taken, or none of this host's."""
        self.address_family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        self._places = threading.BoundedSemaphore(PLACES)
        super().__init__((address, port), _Quiet)
        self.set_app(make_wsgi_app(registry))

    def server_bind(self) -> None:
        """Bind, without asking the resolver for a name of the host's."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Request, client_address: object) -> None:
        """Serve a connection if there is a place."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Request, client_address: object) -> None:
        """Serve a connection, and end it in time."""
        end = threading.Timer(PATIENCE, _end, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: Request, client_address: object) -> None:
        """Say nothing: who asks and goes is no concern of the gateway's."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Say nothing of who asks."""


def _end(request: Request) -> None:
    assert isinstance(request, socket.socket)
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
