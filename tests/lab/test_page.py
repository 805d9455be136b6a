"""The page and wireguard-go: what a browser made is a tunnel for others' programs."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.lab.gateways import GATE, SHOP, process_of, topology
from tests.lab.nodes import Node, until
from tests.lab.others import OTHERS
from tests.web.browsing import program
from tests.web.visiting import Visit
from wirewright.config import Config
from wirewright.lab import Lab, Machine
from wirewright.lab.machine import entering

pytestmark = [pytest.mark.anyio, pytest.mark.lab, pytest.mark.interop]

WW = (sys.executable, "-m", "wirewright")
PATIENCE = 40
SHOWN = 2
"""Seconds from a handshake until the page shows that its device has come, as `docs/page.md` says."""
WHEN_SHOWN = """() => {
    const dot = document.querySelector('[data-live=dot]');
    const isOnline = () => dot.dataset.state === 'online';
    const shown = new Promise((done) =>
        new MutationObserver(() => isOnline() && done(Date.now())).observe(dot, {attributes: true}));
    const id = document.querySelector('[data-device]').dataset.device;
    const handshake = new Promise((done) =>
        new EventSource(`/live?id=${id}`).addEventListener('device', ({data}) => {
            const told = JSON.parse(data);
            if (told.state === 'online') done(told.latest_handshake);
        }));
    window.came = Promise.all([shown, handshake]);
}"""
"""Both times are of one clock, in milliseconds: gateway, coordinator and browser are on one machine."""
# The choices of the page are no shorter than an hour; what it sends may be.
EXPIRE_SOON = "() => { document.querySelector('#expires').options[0].value = '3s'; }"
CONNECT = (
    "import socket, sys\n"
    "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()\n"
    "except OSError: print('no')\n"
    "else: print('yes')\n"
)


@asynccontextmanager
async def browser_of(machine: Machine, folder: Path) -> AsyncIterator[Browser]:
    """Chromium on a host of the lab."""
    words = shlex.join(entering(machine.holder, [program()]))
    starter = folder / "chromium"
    starter.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    starter.chmod(0o700)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=starter, args=["--no-sandbox"])
        yield browser
        await browser.close()


def reaches(machine: Machine, port: int, seconds: float) -> bool:
    return machine.python(CONNECT, SHOP[4], str(port), str(seconds)).stdout.strip() == "yes"


async def test_a_configuration_from_the_browser_is_a_tunnel_for_wireguard_go(tmp_path: Path) -> None:
    (go,) = (other for other in OTHERS if other.program == "wireguard-go")
    with Lab(topology()) as lab:
        gate, phone = lab["gate"], lab["phone"]
        lab["shop"].run("ip", "route", "add", "default", "via", "198.51.100.1")
        for port in (7000, 7001):
            lab["shop"].popen(
                sys.executable,
                "-m",
                "http.server",
                str(port),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        engine = ("--engine", "wirewright", "--interface", "ww0", "--endpoint", f"{GATE['phone']}:51820")
        process = gate.popen(
            *(*WW, "serve", "--json", "--listen", "127.0.0.1:8080", *engine),
            *("--state-directory", str(tmp_path / "state")),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        async with browser_of(gate, tmp_path) as browser:
            visit = await Visit.begin(browser, said["url"])
            page = visit.page
            await visit.set_up(said["setup"])
            _, text = await visit.add_device("phone of another make")
            await visit.done()

            config = Config.loads(text)
            own = config.interface
            assert own.private_key is not None
            addresses = [str(each.ip) for each in own.addresses]
            node = Node(phone, addresses, program=go.path, key=own.private_key).start()
            dot = page.locator("[data-live=dot]")
            await expect(dot).to_have_attribute("data-state", "idle")
            await page.evaluate(WHEN_SHOWN)
            # It keeps itself alive, so that it shakes hands at once.
            peer = text[text.index("[Peer]") :]
            node.setconf(peer)
            phone.run("ip", "route", "add", SHOP[4], "dev", "wg0")
            node.ping("10.88.0.1")
            await expect(dot).to_have_attribute("data-state", "online", timeout=60_000)
            shown, handshake = await page.evaluate("() => came")
            print(f"shown online {(shown - handshake) / 1000:.2f} s after the handshake, of {SHOWN}")  # noqa: T201
            assert shown - handshake <= 1000 * SHOWN
            until(lambda: reaches(phone, 7000, 5), "the shop is reached through the gateway")
            assert reaches(phone, 7001, PATIENCE)

            await page.click("text=Change the rules")
            await page.fill("#policy", f"{SHOP[4]}/32 tcp 7000")
            await page.click("text=Change them")
            await expect(page.locator(".rules")).to_contain_text("TCP to port 7000")
            until(lambda: not reaches(phone, 7001, 0.7), "the other port is closed")
            assert reaches(phone, 7000, PATIENCE)

            # Its rules let nothing else through, so that this alone tells whether it is let in.
            await page.click("text=Disable")
            until(lambda: not reaches(phone, 7000, 0.7), "the device is cut off")
            await page.click("text=Enable")
            await expect(dot).not_to_have_attribute("data-state", "off")
            # Anew, since a session from before is found to be worth nothing after a while only.
            node.setconf(peer)
            until(lambda: reaches(phone, 7000, 5), "the device is let in again")

            await page.evaluate(EXPIRE_SOON)
            await page.click("text=Move the expiry")
            await expect(page.locator(".tag:visible")).to_have_text("expired", timeout=1000 * PATIENCE)
            until(lambda: not reaches(phone, 7000, 0.7), "the device is cut off by its expiry")
            await visit.end()
        os.kill(process_of(gate, "--state-directory"), signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
