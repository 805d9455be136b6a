"""What Prometheus is told of a gateway."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from wirewright.gateway import metrics_server
from wirewright.gateway.engine import Observed
from wirewright.gateway.instructions import Device
from wirewright.gateway.metrics import served
from wirewright.gateway.running import running

from .fakes import FakeEngine, FakeSource, until
from .models import key, single

pytestmark = pytest.mark.anyio


class Counting(FakeEngine):
    async def counters(self) -> dict[str, int]:
        if self.gone:
            raise OSError(19, "there is no such interface")
        return {"source_not_allowed": 7}


def fetched(port: int) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        lines = page.read().decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


async def test_a_page_tells_what_there_is_also_while_the_engine_is_set_up_anew() -> None:
    source, engine = FakeSource(), Counting()
    source.put(Device("one", key(1), (single(1),)))
    engine.observed = (Observed(key(1), 10, 20), Observed(key(2), 1, 2))
    async with running(source, engine) as gateway, served(gateway, "127.0.0.1", 0) as port:
        await gateway.ready()
        await until(lambda: bool(gateway.observed))
        told = await asyncio.to_thread(fetched, port)
        assert told["wirewright_gateway_devices"] == 1
        assert told["wirewright_gateway_connected"] == 1
        assert told["wirewright_gateway_applied_revision"] == 1
        assert told["wirewright_gateway_changes_total"] == 1
        assert told['wirewright_gateway_bytes_total{direction="received"}'] == 11
        assert told['wirewright_gateway_bytes_total{direction="sent"}'] == 22
        assert told['wirewright_gateway_events_total{event="source_not_allowed"}'] == 7
        engine.gone = True
        assert (await asyncio.to_thread(fetched, port))["wirewright_gateway_devices"] == 1
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(fetched, port)


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running(FakeSource(), FakeEngine()) as gateway:
            with pytest.raises(OSError, match="in use"):
                async with served(gateway, "127.0.0.1", port):
                    pass


async def test_who_only_connects_has_few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "PATIENCE", 600)
    async with running(FakeSource(), FakeEngine()) as gateway, served(gateway, "127.0.0.1", 0) as port:
        await gateway.ready()
        before = threading.active_count()
        with ExitStack() as stack:
            idle = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 40)) for _ in range(100)
            ]
            # A thread and a timer each.
            assert threading.active_count() <= before + 2 * metrics_server.PLACES
            closed = await asyncio.to_thread(lambda: [each.recv(1) for each in idle[metrics_server.PLACES :]])
            assert closed == [b""] * (100 - metrics_server.PLACES)
            with pytest.raises(OSError, match=r"reset|closed"):
                await asyncio.to_thread(fetched, port)
        await until(lambda: threading.active_count() < before + metrics_server.PLACES)
        assert await asyncio.to_thread(fetched, port)


async def test_who_asks_nothing_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "PATIENCE", 0.01)
    async with running(FakeSource(), FakeEngine()) as gateway, served(gateway, "127.0.0.1", 0) as port:
        with socket.create_connection(("127.0.0.1", port), 40) as idle:
            idle.send(b"GET /metr")
            assert await asyncio.to_thread(idle.recv, 1) == b""
