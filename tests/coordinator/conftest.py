"""Storage on both databases, each test's own; and the application over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.conftest import missing
from wirewright.coordinator import app
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.storage import Storage

from .actors import Actors, Clock
from .cluster import REMEDY, Cluster, cluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A server of the session's own."""
    with cluster() as running:
        if running is None:
            missing("PostgreSQL", REMEDY)
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, on each of the two."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/coordinator.sqlite"
        else:
            yield stack.enter_context(request.getfixturevalue("postgresql").database())


@pytest.fixture
def clock() -> Clock:
    """A time that stands still until a test moves it."""
    return Clock()


@pytest.fixture
async def storage(database: str, clock: Clock) -> AsyncIterator[Storage]:
    """A storage that is prepared, with what runs beside the requests."""
    opened = Storage.open(database, clock=clock)
    async with app.running(Coordinator(opened)):
        yield opened


@pytest.fixture
async def actors(storage: Storage) -> Actors:
    """A gateway with pools, an admin, an operator and a member."""
    return await Actors.settle(storage)


@pytest.fixture
async def api(storage: Storage, actors: Actors) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application, without a socket, as the admin."""
    transport = httpx2.ASGITransport(app.create(storage))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://coordinator/api/v1", headers=actors.bearer("admin")
    ) as client:
        yield client
