"""What is done a thousand times leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.nodes import Node, cable, pair, peer_section, until
from wirewright.lab import Lab

CYCLES = 1000
# After which every pool has what it keeps.
WARM = 100
STARTS = 50


def holdings(process: int) -> tuple[int, int, int]:
    """Descriptors, threads, and resident bytes of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    threads = len(list(Path(f"/proc/{process}/task").iterdir()))
    return len(list(Path(f"/proc/{process}/fd").iterdir())), threads, int(found[1]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_times_down_up_and_set_anew_leak_nothing() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        (process,) = lab["a"].processes("wirewright-tun")
        before = (0, 0, 0)
        for cycle in range(CYCLES):
            a.port = 51820 + cycle % 2
            lab["a"].run("ip", "-batch", "-", input="link set wg0 down\nlink set wg0 up\n")
            a.setconf(peer_section(b, endpoint="192.0.2.2"))
            if cycle == WARM:
                before = holdings(process)
        a.ping("10.7.0.2")
        # A client of the socket may have been there then, or now; a thousand are not.
        until(lambda: holdings(process)[:2] <= before[:2], "descriptors and threads are as before")
        # Less than 1 KiB a cycle: an allocator may keep a page or two.
        assert holdings(process)[2] - before[2] < (CYCLES - WARM) * 1024


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_starts_and_ends_leave_no_process_interface_or_socket() -> None:
    with Lab(cable()) as lab:
        for _ in range(STARTS):
            node = Node(lab["a"], ("10.7.0.1",)).start()
            lab["a"].run("ip", "link", "delete", "wg0")
            until(node.is_gone, "interface and socket are gone")
            until(lambda: not lab["a"].processes("wirewright-tun"), "the process has ended")
        assert lab["a"].processes() == []
