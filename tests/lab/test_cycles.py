"""What is done a thousand times leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.nodes import OURS, Node, cable, pair, peer_section, until
from wirewright.keys import SecretKey
from wirewright.lab import Lab, Machine

CYCLES = 1000
# After which every pool has what it keeps.
WARM = 100

# In the host itself, since a command from outside takes longer than a start.
STARTS = """
set -e
for cycle in $(seq "$1"); do
    "$2" wg0
    printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "$3" | wg setconf wg0 /dev/stdin
    ip link set wg0 up
    ip link delete wg0
    while [ -e /var/run/wireguard/wg0.sock ]; do sleep 0.01; done
done
"""


def left_in(machine: Machine) -> tuple[list[int], str, str, str, int]:
    """A host's processes, interfaces, sockets, files of sockets, and descriptors of its first process."""
    links = re.sub(r"@if\d+", "", machine.run("ip", "-brief", "link").stdout)
    sockets = machine.run("ss", "-aHnx").stdout + machine.run("ss", "-aHntuw").stdout
    files = machine.run("ls", "/var/run/wireguard").stdout
    held = len(list(Path(f"/proc/{machine.holder}/fd").iterdir()))
    return machine.processes(), links, sockets, files, held


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
            lab["a"].run("ip", "link", "set", "wg0", "down")
            # Whoever asks finds it down: its sockets are closed.
            a.wg("show", "listen-port")
            lab["a"].run("ip", "link", "set", "wg0", "up")
            a.setconf(peer_section(b, endpoint="192.0.2.2"))
            if cycle == WARM:
                before = holdings(process)
        a.ping("10.7.0.2")
        # A client of the socket may have been there then, or now; a thousand are not.
        until(lambda: holdings(process)[:2] <= before[:2], "descriptors and threads are as before")
        # Less than 1 KiB a cycle: an allocator may keep a page or two.
        assert holdings(process)[2] - before[2] < (CYCLES - WARM) * 1024


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_a_thousand_starts_and_ends_leave_no_process_interface_or_socket() -> None:
    with Lab(cable()) as lab:
        # The first makes the folder of the sockets.
        words = ("sh", "-c", STARTS, "sh")
        key = SecretKey.generate().expose()
        lab["a"].run(*words, "1", OURS, key)
        until(lambda: not lab["a"].processes(), "the process has ended")
        before = left_in(lab["a"])
        lab["a"].run(*words, str(CYCLES), OURS, key, timeout=1900)
        until(lambda: not lab["a"].processes(), "the last process has ended")
        assert left_in(lab["a"]) == before
        Node(lab["a"], ("10.7.0.1",)).start()
