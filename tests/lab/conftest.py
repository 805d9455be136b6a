"""Tests in namespaces need root, a TUN and a few tools of the system."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import missing

HERE = Path(__file__).parent
TOOLS = (
    "unshare",
    "nsenter",
    "setpriv",
    "setcap",
    "sysctl",
    "ip",
    "tc",
    "nft",
    "wg",
    "wg-quick",
    "ping",
    "iperf3",
    "gdb",
    "strace",
    "dbus-daemon",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(autouse=True, scope="session")
def _prepared() -> None:
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        missing("a lab of namespaces", "run as root on a machine with /dev/net/tun")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            missing(tool, "run scripts/install_lab_tools.sh")


@pytest.fixture(scope="session")
def wirewright_tun() -> str:
    """Return the command that users have."""
    return str(Path(sys.executable).with_name("wirewright-tun"))
