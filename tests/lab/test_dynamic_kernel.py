"""wg-dynamic with the kernel's WireGuard at one end, in a virtual machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.kernel import lab_with_guest
from tests.lab.kernel_dynamic import POOLS, Ends
from tests.lab.nodes import until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Python alone takes a minute to begin in an emulated machine.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.fixture(scope="module")
def ends() -> Iterator[Ends]:
    with lab_with_guest(share=Path("/")) as (lab, guest):
        yield Ends(lab, guest)


def test_our_server_gives_leases_on_the_kernel_s_interface_and_touches_nothing_else(ends: Ends) -> None:
    ends.serve_there("192.168.7.0/24")
    serve = (
        "-m",
        "wirewright",
        "dynamic",
        "serve",
        "wg0",
        "--leases",
        "/run/leases",
        "--lease-time",
        "30",
        *POOLS,
    )
    ends.start(sys.executable, *serve, ready="serving leases")
    held = {f"{each}/{128 if ':' in each else 32}" for each in ends.lease()["addresses"]}
    always = {ends.our_address, "192.168.7.0/24"}
    assert len(held) == 2
    assert ends.allowed_there() == always | held
    # The kernel cannot take one allowed IP away, so a way round that is gone: see
    # wirewright/host/kernel/removals.py.
    until(lambda: ends.allowed_there() == always, "the lease ends", 120)
    assert ends.lease()["addresses"]
    assert "Traceback" not in ends.said()
