"""The demonstration of a coordinator: two devices enrol, and reach each other and a service of the host.

The coordinator and its rootless gateway are another process (`coordinator`). Here an administrator invites
two devices, each makes its own key and enrols, and both are tunnels of this process. All that passes between
them goes through the gateway, and so does what the first one asks of a server on an address of this host. It
is no address of the loopback, which means nothing inside a tunnel; where the host has no other, this is left
out.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from wirewright.client import Access, Client
from wirewright.client.enrolling import Invitation, enrol
from wirewright.coordinator.process import own_address
from wirewright.demo import http
from wirewright.demo.measure import transfer
from wirewright.tunnel import Tunnel

OUTER = "127.0.0.1"
PORT = 80
PINGS = 20
APART_SECONDS = 1.0


@dataclass(frozen=True)
class CoordinatedMeasurement:
    """What the demonstration found."""

    enrolment_seconds: float
    """From the invitation's use to a configuration, the mean of both."""
    round_trip_seconds: float
    """Between the devices, through the gateway; the median."""
    megabytes: int
    between_devices_bits_per_second: float
    from_host_bits_per_second: float | None
    """From a server of the host, if it has an address that can be reached."""
    kept_apart: bool
    """That the second device reaches nothing of the first one, to which nobody gave it a right."""
    cut_off_seconds: float
    """From the wish to disable a device until it reached nothing more."""


async def run_coordinator_demo(
    megabytes: int, tell: Callable[[str], None], keep: Callable[[], Awaitable[None]] | None = None
) -> CoordinatedMeasurement:
    """Run it; ``tell`` hears of each step. With ``keep`` all of it stays until that returns."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wirewright-demo-")))
        state = folder / "state"
        host = own_address()
        said = await stack.enter_async_context(_coordinator(state, str(ip_network(host))))
        url = said["url"]
        tell(f"a coordinator at {url}, with a rootless gateway")
        admin = stack.enter_context(Client(Access.find(url, state / "admin.token", None, state, {})))
        began = time.perf_counter()
        first = await _enrolled(admin, url, folder / "first.conf", ["10.88.0.0/16", str(ip_network(host))])
        second = await _enrolled(admin, url, folder / "second.conf", [])
        enrolment = (time.perf_counter() - began) / 2
        tell(f"two devices are enrolled: {first['addresses'][0]} and {second['addresses'][0]}")
        one = await stack.enter_async_context(_device(folder / "first.conf"))
        two = await stack.enter_async_context(_device(folder / "second.conf"))
        await stack.enter_async_context(await two.start_server(http.serve, port=PORT))
        # A peer has no endpoint until it has spoken.
        await two.wait_for_handshake()
        target, length = second["addresses"][0], megabytes * 1_000_000
        round_trip = statistics.median([await one.ping(target) for _ in range(PINGS)])
        tell("the first reaches the second")
        between = await transfer(one, target, PORT, length)
        from_host = None
        if host != OUTER:
            server = await stack.enter_async_context(await asyncio.start_server(http.serve, host, 0))
            from_host = await transfer(one, host, server.sockets[0].getsockname()[1], length)
            tell("and a service of the host")
        apart = await _is_apart(two, first["addresses"][0])
        tell("the second reaches nothing of the first")
        cut_off = await _cut_off(admin, second["id"], one, target)
        tell("and nothing at all, once it is disabled")
        if keep is None:
            tell(f"its page is at {url}; ww demo --keep leaves it running")
        else:
            await asyncio.to_thread(admin.act, f"/devices/{second['id']}/enable")
            tell(f"its page, until you press Ctrl-C: {said['setup']}")
            await keep()
    return CoordinatedMeasurement(
        enrolment,
        round_trip,
        megabytes,
        length * 8 / between,
        None if from_host is None else length * 8 / from_host,
        apart,
        cut_off,
    )


async def _enrolled(admin: Client, url: str, file: Path, allowed: list[str]) -> dict[str, Any]:
    """Invite a device, and be one that uses the invitation."""

    def work() -> dict[str, Any]:
        policy = [{"destinations": allowed}] if allowed else []
        made = admin.create("/invitations", {"name": file.stem, "policy": policy})
        with Client(Access(url)) as client:
            invitation = Invitation.parse(made["invitation"])
            return enrol(client, invitation, file.stem, file, allowed=["all"]).device

    return await asyncio.to_thread(work)


@asynccontextmanager
async def _device(file: Path) -> AsyncIterator[Tunnel]:
    async with Tunnel.from_file(file, listen_address=OUTER) as tunnel:
        yield tunnel


async def _is_apart(tunnel: Tunnel, other: str) -> bool:
    try:
        await tunnel.ping(other, timeout=APART_SECONDS)
    except OSError:
        return True
    return False


async def _cut_off(admin: Client, device: str, other: Tunnel, target: str) -> float:
    began = time.perf_counter()
    await asyncio.to_thread(admin.act, f"/devices/{device}/disable")
    while True:
        asked = time.perf_counter()
        try:
            await other.ping(target, timeout=APART_SECONDS)
        except OSError:
            return asked - began


@asynccontextmanager
async def _coordinator(state: Path, reach: str) -> AsyncIterator[dict[str, str]]:
    """Start the process; give its URL, and the link of its page's first start. It ends with the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wirewright.demo.coordinator",
        str(state),
        reach,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # An interrupt from the terminal is for the parent; the child ends when its input does.
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        line = await child.stdout.readline()
        if not line:
            raise ConnectionError("the coordinator's process did not start; see its message above")
        yield json.loads(line)
    finally:
        child.stdin.close()
        await child.wait()
