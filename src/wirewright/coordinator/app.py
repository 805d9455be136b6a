"""The application: routers, refusals, limits, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware

import wirewright
from wirewright.coordinator import web
from wirewright.coordinator.api import (
    audit,
    devices,
    gateways,
    health,
    invitations,
    leases,
    logins,
    looking,
    problems,
    stream,
    users,
)
from wirewright.coordinator.api.bodies import BoundedBodies
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.keeping import keep
from wirewright.coordinator.limits import Limiter
from wirewright.coordinator.metrics import Counting
from wirewright.coordinator.services import bootstrap
from wirewright.coordinator.storage.bulletin import listen

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage
    from wirewright.coordinator.web import Site

PREFIX: Final = "/api/v1"
_AGAIN: Final = 1.0
"""Seconds after a failure."""

_log = logging.getLogger(__name__)


def create(storage: Storage, limiter: Limiter | None = None, site: Site | None = None) -> FastAPI:
    """Return the application over a database; its lifespan migrates it, and closes it at the end.

    With a ``site`` it has the page, too.
    """
    coordinator = Coordinator(storage, limiter or Limiter())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with running(coordinator):
            yield

    app = FastAPI(
        title="Wirewright coordinator",
        version=wirewright.__version__,
        summary="Hands out tunnels: devices, addresses, invitations, gateways.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.coordinator = coordinator
    # `self` is no identifier of a gateway, and `search` none of a device.
    for room in (stream, leases, looking, devices, invitations, users, logins, gateways, audit):
        app.include_router(room.router, prefix=PREFIX)
    app.include_router(health.router)
    problems.install(app)
    if site is not None:
        web.install(app, site)
    app.add_middleware(BoundedBodies)
    # Not as a handler of FastAPI's, which would stand around all of these: failures are counted, and held to
    # the headers, as any other answer.
    app.add_middleware(ServerErrorMiddleware, handler=problems.failed)
    app.add_middleware(Counting, metrics=coordinator.metrics)
    if site is not None:
        # Outermost: what is refused before the page is held to them, too.
        app.add_middleware(web.Headers, site=site)
    return app


@asynccontextmanager
async def running(coordinator: Coordinator) -> AsyncIterator[None]:
    """Prepare the database, and run what runs beside the requests."""
    storage = coordinator.storage
    tasks: list[asyncio.Task[None]] = []
    try:
        await storage.migrate()
        await storage.write(bootstrap.prepare)
        if not storage.url.is_sqlite:
            connected = asyncio.Event()
            listening = partial(listen, storage.url, storage.bulletin, connected)
            tasks.append(asyncio.create_task(_for_ever("listening", listening)))
            await connected.wait()
        tasks.append(asyncio.create_task(_for_ever("keeping", partial(keep, coordinator))))
        tasks.append(asyncio.create_task(_for_ever("live", partial(coordinator.hub.run, storage))))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        coordinator.passwords.close()
        await storage.close()


async def _for_ever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Begin again what failed by a mistake of ours: what expires must not live on because of it."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("%s failed, and begins again", name)
            await asyncio.sleep(_AGAIN)
