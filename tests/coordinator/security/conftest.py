"""The page over a furnished database, a copy of which each test has."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from tests.coordinator.actors import Clock
from wirewright.coordinator import app
from wirewright.coordinator.login import passwords
from wirewright.coordinator.login.throttle import Throttle
from wirewright.coordinator.storage import Storage
from wirewright.coordinator.web import Site

from .browser import ROOT, Browser
from .house import House

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI


@dataclass
class Open:
    """An application that is open, and its database."""

    application: FastAPI
    storage: Storage
    house: House

    def browser(self, who: str = "", *, broken_is_told: bool = False) -> Browser:
        """Somebody's browser; nobody's without a name."""
        cookie = self.house.cookies[who] if who else ""
        return Browser.of(self.application, cookie, broken_is_told=broken_is_told)


@pytest.fixture(scope="session", autouse=True)
def cheap() -> Iterator[None]:
    """Hashes that take no time."""
    hasher = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", hasher)
        patch.setattr(passwords, "_NOBODYS", hasher.hash("nobody's"))
        yield


@pytest.fixture(scope="session")
def furnished(prepared_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, House]:
    """A database with something of each kind, to be copied."""
    path = tmp_path_factory.mktemp("furnished") / "furnished.sqlite"
    shutil.copyfile(prepared_file, path)

    async def make() -> House:
        storage = Storage.open(f"sqlite:///{path}", clock=Clock())
        try:
            return await House.furnish(storage)
        finally:
            await storage.close()

    # Not in this thread, whose event loop is that of the asynchronous fixtures.
    with ThreadPoolExecutor(1) as thread:
        return path, thread.submit(asyncio.run, make()).result()


@pytest.fixture(scope="session")
def application(furnished: tuple[Path, House]) -> Iterator[FastAPI]:
    """The application, whose routes take longer to make than anything here."""
    made = app.create(Storage.open(f"sqlite:///{furnished[0]}"), site=Site(ROOT, secure=True))
    yield made
    made.state.coordinator.passwords.close()


@pytest.fixture
def opening(
    furnished: tuple[Path, House], application: FastAPI, tmp_path: Path
) -> Callable[[], AbstractAsyncContextManager[Open]]:
    """Opens a copy of the furnished database, as often as it is asked to, each a new one."""
    original, house = furnished
    numbers = count()

    @asynccontextmanager
    async def fresh() -> AsyncIterator[Open]:
        path = tmp_path / f"{next(numbers)}.sqlite"
        shutil.copyfile(original, path)
        storage = Storage.open(f"sqlite:///{path}", clock=Clock())
        coordinator = application.state.coordinator
        coordinator.storage, coordinator.throttle = storage, Throttle()
        try:
            yield Open(application, storage, house)
        finally:
            await storage.close()

    return fresh


@pytest.fixture
async def page(opening: Callable[[], AbstractAsyncContextManager[Open]]) -> AsyncIterator[Open]:
    """The page, once."""
    async with opening() as opened:
        yield opened
