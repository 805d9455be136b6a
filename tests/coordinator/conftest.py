"""Storage on both databases, each test's own; and the application over it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.engine import make_url

from tests.conftest import missing
from wirewright.coordinator import app
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.services import bootstrap
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


@pytest.fixture(scope="session")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of SQLite that is migrated and prepared, to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "prepared.sqlite"
    prepare(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def prepared_database(postgresql: Cluster) -> Iterator[str]:
    """The name of a database of PostgreSQL that is migrated and prepared, to be copied."""
    with postgresql.database() as address:
        prepare(address)
        yield make_url(address).database or ""


@pytest.fixture
def clock() -> Clock:
    """A time that stands still until a test moves it."""
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a prepared database, on each of the two."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            path = tmp_path / "coordinator.sqlite"
            shutil.copyfile(request.getfixturevalue("prepared_file"), path)
            yield f"sqlite:///{path}"
        else:
            cluster = request.getfixturevalue("postgresql")
            template = request.getfixturevalue("prepared_database")
            yield stack.enter_context(cluster.database(template))


@pytest.fixture
async def storage(address: str, clock: Clock) -> AsyncIterator[Storage]:
    """A storage that is prepared, with what runs beside the requests."""
    opened = Storage.open(address, clock=clock)
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


def prepare(address: str) -> None:
    """Make the tables, and what all replicas agree on."""

    async def make() -> None:
        storage = Storage.open(address)
        await storage.migrate()
        await storage.write(bootstrap.prepare)
        await storage.close()

    # Not in this thread, whose event loop is that of the asynchronous fixtures.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
