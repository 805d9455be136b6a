"""httpx2 over the tunnels of the tunnel's own tests."""

from tests.tunnel.conftest import anyio_backend, core, pair

__all__ = ["anyio_backend", "core", "pair"]
