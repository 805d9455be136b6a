"""What the service manager is told."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirewright.host.service import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The name of its socket, as it stands in the environment, and the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = str(tmp_path / "notify") if request.param == "path" else f"@{uuid.uuid4()}"
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.settimeout(20)
        yield name, listener


def test_it_hears_what_happens(manager: tuple[str, socket.socket]) -> None:
    name, listener = manager
    told = ServiceManager({"NOTIFY_SOCKET": name})
    assert told.is_there
    told.ready("wg0 is up")
    told.alive()
    told.stopping("taking wg0 down")
    heard = [listener.recv(1000).decode() for _ in range(3)]
    assert heard == ["READY=1\nSTATUS=wg0 is up", "WATCHDOG=1", "STOPPING=1\nSTATUS=taking wg0 down"]


def test_one_that_does_not_read_or_is_gone_keeps_nobody_from_working(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    told = ServiceManager({"NOTIFY_SOCKET": str(path)})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        for _ in range(1000):
            told.alive()
    told.alive()
    told.stopping("taking wg0 down")


def test_where_there_is_none_nothing_happens() -> None:
    manager = ServiceManager({})
    assert not manager.is_there
    assert manager.watchdog is None
    manager.ready("up")
    manager.alive()


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_how_long_the_watchdog_waits(variables: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager(variables).watchdog == seconds
