"""Proxies over the tunnels of the tunnel's own tests: the real core and the fake one, both loops."""

from tests.tunnel.conftest import anyio_backend, core, pair

__all__ = ["anyio_backend", "core", "pair"]
