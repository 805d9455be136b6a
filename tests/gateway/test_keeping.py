"""What was told is kept, though it came while something was being written."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from wirewright.gateway.core import GatewayCore
from wirewright.gateway.instructions import Device, GatewayState, Instruction, PutDevice
from wirewright.gateway.keeping import MOST_WAITING, Keeper
from wirewright.gateway.kept import StateFile

from .fakes import until
from .models import SETTINGS, key, single

pytestmark = pytest.mark.anyio
STATE = GatewayState(0, SETTINGS[0], (), "log")


class SlowFile(StateFile):
    """Writes once it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writing, self.may = threading.Event(), threading.Event()

    def write(self, state: GatewayState, at: int) -> None:
        self.writing.set()
        assert self.may.wait(40)
        super().write(state, at)


def put(revision: int) -> PutDevice:
    return PutDevice(revision, Device("one", key(1), (single(revision % 100),)))


def kept_of(path: Path) -> GatewayCore:
    core = GatewayCore()
    found = StateFile(path).load()
    assert found is not None
    for told in found.instructions:
        core.take(told)
    return core


async def closed_while_writing(path: Path, later: int) -> GatewayCore:
    """Tell a state, and so many changes while it is written; then end."""
    core, file = GatewayCore(), SlowFile(path)
    keeper = Keeper(file, core, lambda: 0, lambda _: None)

    def tell(told: Instruction) -> None:
        core.take(told)
        keeper.add(told)

    task = asyncio.create_task(keeper.run())
    tell(STATE)
    await until(file.writing.is_set)
    for revision in range(1, later + 1):
        tell(put(revision))
    keeper.close()
    file.may.set()
    await task
    return core


@pytest.mark.parametrize("later", [1, 3, MOST_WAITING + 10])
async def test_what_came_meanwhile_is_kept_too(tmp_path: Path, later: int) -> None:
    path = tmp_path / "gateway.state"
    core = await closed_while_writing(path, later)
    assert kept_of(path).state() == core.state()
    assert kept_of(path).revision == later
