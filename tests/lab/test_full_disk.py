"""A coordinator whose disk is full: it says so, loses nothing, and goes on when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.embedded import Embedded
from wirewright.keys import SecretKey
from wirewright.lab import Host, Lab, Topology

MOST = 400
"""Devices after which the disk must have been full."""


def add(coordinator: Embedded, number: int) -> tuple[int, str]:
    """Ask for a device; give the status, and the device's id if it was made."""
    asked = {"name": f"number {number}", "public_key": str(SecretKey.generate().public_key)}
    answer = coordinator.ask("POST", "/devices", asked)
    if answer.status == 201:
        return 201, answer.body["id"]
    assert answer.kind == "application/problem+json"
    problem = answer.body
    assert problem["status"] == answer.status
    assert "full" in problem["detail"]
    assert "Traceback" not in answer.text
    return answer.status, ""


def listed(coordinator: Embedded) -> dict[str, list[str]]:
    """Give the addresses of all devices."""
    found: dict[str, list[str]] = {}
    after = ""
    while True:
        page = coordinator.ask("GET", f"/devices?limit=200{after}").body
        found |= {device["id"]: device["addresses"] for device in page["items"]}
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


@pytest.mark.timeout(240)
def test_a_full_disk_is_a_problem_that_is_told_and_no_device_is_lost(tmp_path: Path) -> None:
    with Lab(Topology((), (Host("gate"),))) as lab:
        machine = lab["gate"]
        machine.run("ip", "link", "set", "lo", "up")
        disk = tmp_path / "disk"
        disk.mkdir()
        machine.run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk))
        coordinator = Embedded(machine, disk)
        made = {add(coordinator, number)[1] for number in range(3)}
        machine.run("sh", "-c", f"cat /dev/zero >{disk}/filler", check=False)
        # What the database has in reserve is used up first.
        for number in range(3, MOST):
            status, device = add(coordinator, number)
            if status != 201:
                break
            made.add(device)
        assert status == 507
        assert add(coordinator, MOST)[0] == 507
        assert coordinator.ask("POST", f"/devices/{min(made)}/disable").status in {200, 507}
        found = listed(coordinator)
        assert found.keys() == made
        assert all(len(addresses) == 2 for addresses in found.values())

        machine.run("rm", f"{disk}/filler")
        status, device = add(coordinator, MOST)
        assert status == 201
        made.add(device)
        assert listed(coordinator).keys() == made

        coordinator.crash()
        coordinator.start()
        assert listed(coordinator).keys() == made
        coordinator.end()
