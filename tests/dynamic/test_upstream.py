"""Upstream's programs, built from the source tree that WIREWRIGHT_WG_DYNAMIC names, on the kernel's
WireGuard.

They speak to the kernel only, so they run in the virtual machine; ours is at the other end. Building them
takes a C compiler and libmnl (Debian: libmnl-dev).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.lab.kernel import lab_with_guest
from tests.lab.kernel_dynamic import WW, Ends
from tests.lab.nodes import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = os.environ.get("WIREWRIGHT_WG_DYNAMIC")

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(SOURCE is None, reason="WIREWRIGHT_WG_DYNAMIC names no source tree of wg-dynamic"),
]


@pytest.fixture(scope="module")
def programs() -> Path:
    """Build both; the folder is one that the guest sees."""
    assert SOURCE is not None
    folder = ROOT / ".cache" / "wg-dynamic"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(".git"))
    for left in (*folder.glob("*.o"), *folder.glob("*.d")):
        left.unlink()
    subprocess.run(["make", "-C", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def ends(programs: Path) -> Iterator[Ends]:
    with lab_with_guest(share=Path("/")) as (lab, guest):
        yield Ends(lab, guest)


def test_upstream_s_client_has_a_lease_of_our_server_and_refreshes_it(
    ends: Ends, programs: Path, tmp_path: Path
) -> None:
    ends.serve_here()
    server = ends.serving(tmp_path / "leases", "--lease-time", "6")
    ends.start(str(programs / "wg-dynamic-client"), "wg0", ready="")
    until(lambda: len(ends.addresses_there()) == 3, "the client has both addresses", 60)
    held = ends.addresses_there()
    assert ends.allowed_here() == held
    commits = (tmp_path / "leases").stat().st_mtime_ns
    until(lambda: (tmp_path / "leases").stat().st_mtime_ns > commits, "the lease is refreshed", 60)
    assert ends.addresses_there() == held
    ends.end("wg-dynamic-client")
    until(lambda: ends.allowed_here() == {ends.guest_address}, "the lease ends", 60)
    for pid in ends.lab["a"].processes("ww"):
        os.kill(pid, signal.SIGTERM)
    said = server.communicate(timeout=60)[0]
    assert '"renewed"' in said
    assert '"malformed"' not in said


def test_our_client_has_a_lease_of_upstream_s_server_and_gives_it_back(ends: Ends, programs: Path) -> None:
    ends.serve_there()
    ends.start(str(programs / "wg-dynamic-server"), "--leasetime", "60", "wg0", ready="")
    until(lambda: ":970" in ends.guest.run("netstat -ltn"), "the server listens", 60)
    held = ends.lease("--ipv6", "none")["addresses"]
    assert ends.allowed_there() == {ends.our_address, f"{held[0]}/32"}
    ends.lab["a"].run(WW, "lease", "wg0", "release", timeout=120)
    until(lambda: ends.allowed_there() == {ends.our_address}, "the lease is given back", 60)
    assert ends.guest.run("pidof wg-dynamic-server").strip()
