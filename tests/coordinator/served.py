"""The application at a socket, over a storage whose own tasks run already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wirewright.coordinator import app
from wirewright.coordinator.serving import Listening, serving

from .enrolling import no_limits

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage
    from wirewright.coordinator.web import Site


@asynccontextmanager
async def served(storage: Storage, port: int = 0, site: Site | None = None) -> AsyncIterator[str]:
    """Serve it, on any free port, with the page if it has a site; give the root of the API."""
    application = app.create(storage, no_limits(), site)
    application.router.lifespan_context = _nothing
    async with serving(application, Listening(port=port)) as running:
        yield f"{running.url}/api/v1"


@asynccontextmanager
async def _nothing(_app: object) -> AsyncIterator[None]:
    yield
