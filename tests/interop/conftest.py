"""Interoperation needs root, though our side of it does not: wireguard-go makes a TUN and has a namespace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.interop.lab import Lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture
def lab(request: pytest.FixtureRequest, wireguard_go: Path, without_capabilities: list[str]) -> Iterator[Lab]:
    """Give a test its machines; what wireguard-go said is part of the report if the test fails."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        missing("a TUN for wireguard-go", "run as root on a machine with /dev/net/tun")
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            missing(tool, "install iproute2 and util-linux")
    lab = Lab(wireguard_go, without_capabilities)
    try:
        yield lab
    finally:
        try:
            lab.close()
        finally:
            for name, log in lab.logs:
                request.node.add_report_section("teardown", name, log)
