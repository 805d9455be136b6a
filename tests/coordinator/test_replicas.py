"""Replicas of the API over one PostgreSQL: no address twice, nothing lost that was acknowledged."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from wirewright.coordinator import app
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.services import changes, enrolment, invitations
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.invitations import NewInvitation
from wirewright.coordinator.storage import Storage

from .actors import Actors
from .enrolling import Enrolled, check, enrol, no_limits

if TYPE_CHECKING:
    from .cluster import Cluster

pytestmark = pytest.mark.anyio


async def invited(storage: Storage, uses: int) -> str:
    made, secret = await storage.write(invitations.create, SYSTEM, NewInvitation("for many", uses=uses))
    assert made.uses_left == uses
    return secret.expose()


@pytest.mark.timeout(240)
async def test_enrolments_at_two_replicas_at_once_share_no_address(
    postgresql: Cluster, prepared_database: str
) -> None:
    clients = 40
    with postgresql.database(prepared_database) as address:
        async with AsyncExitStack() as stack:
            storages = [Storage.open(address) for _ in range(2)]
            for storage in storages:
                await stack.enter_async_context(app.running(Coordinator(storage)))
            actors = await Actors.settle(storages[0])
            invitation = await invited(storages[0], clients)
            key = await storages[0].read(enrolment.own_key)
            replicas = [
                await stack.enter_async_context(
                    httpx2.AsyncClient(
                        transport=httpx2.ASGITransport(app.create(storage, no_limits())),
                        base_url="http://coordinator",
                    )
                )
                for storage in storages
            ]
            before = (await storages[0].read(changes.state, actors.gateway)).revision
            enrolled = await asyncio.gather(
                *(enrol(replicas, number, invitation, key.public_key) for number in range(clients))
            )
            await check(replicas[1], enrolled, actors.bearer("admin"))
            state = await storages[1].read(changes.state, actors.gateway)
            assert state.revision == before + clients
            assert len(state.devices) == clients


class Process:
    """A replica as a process, which can be killed."""

    def __init__(self, address: str, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.coordinator.replica", address],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("clients", [60, pytest.param(1000, marks=pytest.mark.slow)])
async def test_enrolments_survive_a_killed_replica_and_a_restarted_database(
    postgresql: Cluster, prepared_database: str, root: Path, clients: int
) -> None:
    at_once = min(100, clients // 3)
    with ExitStack() as processes, postgresql.database(prepared_database) as address:
        replicas = [
            processes.enter_context(await asyncio.to_thread(Process, address, root)) for _ in range(3)
        ]
        storage = Storage.open(address)
        actors = await Actors.settle(storage)
        invitation = await invited(storage, clients)
        key = (await storage.read(enrolment.own_key)).public_key
        await storage.close()
        places = asyncio.Semaphore(at_once)
        done = 0
        progress = asyncio.Condition()

        async def one(number: int) -> Enrolled:
            nonlocal done
            async with places:
                result = await enrol(askers, number, invitation, key)
            async with progress:
                done += 1
                progress.notify_all()
            return result

        async def after(number: int) -> None:
            async with progress:
                await progress.wait_for(lambda: done >= number)

        limits = httpx2.Limits(max_connections=at_once)
        async with AsyncExitStack() as stack:
            askers = [
                await stack.enter_async_context(
                    httpx2.AsyncClient(base_url=each.url, timeout=60, limits=limits)
                )
                for each in replicas
            ]
            asking = asyncio.gather(*(one(number) for number in range(clients)))
            await after(clients // 5)
            replicas[0].process.kill()
            await after(clients // 2)
            await asyncio.to_thread(postgresql.stop)
            await asyncio.to_thread(postgresql.start)
            enrolled = await asking
            await check(askers[1], enrolled, actors.bearer("admin"))
            # It was not all too easy: some had to ask again.
            assert sum(each.tries > 1 for each in enrolled) > 0
        for each in replicas:
            each.process.kill()
            each.process.wait()
