"""What an interface takes of the machine's memory, beside wireguard-go at the other end of the same load.

What was measured is in docs/performance.md. Under load the bound is less than three times that, since what
waits in buffers depends on the moment.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.lab.nodes import OURS, Node, cable, pair, until
from wirewright.keys import SecretKey
from wirewright.lab import Lab, Machine

MEBIBYTE = 1 << 20
PEERS = 1000

IDLE = 14 * MEBIBYTE
"""Nothing in an idle process depends on the moment: a release of the core takes 10.9 MiB, a debug build 11.4,
to some kilobytes. What is left is for other versions of Python and of the C library; `asyncio`, which is what
such a process would most likely come to import, takes 9.5 MiB.
"""


def peak(machine: Machine, program: str | Path) -> int:
    """Return the most bytes that a program in a host had in memory so far."""
    (process,) = machine.processes(Path(program).name)
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def strangers(count: int) -> str:
    """Write peers that nobody hears of."""
    addresses = (f"10.8.{number // 250}.{number % 250}" for number in range(count))
    return "".join(
        f"[Peer]\nPublicKey = {SecretKey.generate().public_key}\nAllowedIPs = {address}\n"
        for address in addresses
    )


def load(lab: Lab) -> None:
    """Send as much as goes, in both directions, by one stream and by eight."""
    with lab["b"].popen("iperf3", "--server", stdout=subprocess.DEVNULL) as server:
        until(lambda: ":5201" in lab["b"].run("ss", "-tln").stdout, "the server listens")
        for ways in ((), ("--reverse",), ("--parallel", "8"), ("--parallel", "8", "--reverse")):
            lab["a"].run("iperf3", "--client", "10.7.0.2", "--time", "2", *ways)
        server.kill()


def test_an_idle_interface_takes_less_than_14_mib() -> None:
    with Lab(cable()) as lab:
        Node(lab["a"], ("10.7.0.1",)).start()
        assert peak(lab["a"], OURS) < IDLE


def test_memory_under_load_is_bounded_and_less_than_half_of_wireguard_gos(wireguard_go: Path) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=(OURS, str(wireguard_go)))
        for node in (a, b):
            node.add(strangers(PEERS - 1))
        a.ping("10.7.0.2")
        load(lab)
        assert len(a.show("dump")) == PEERS + 1
        ours, theirs = peak(lab["a"], OURS), peak(lab["b"], wireguard_go)
        assert ours < 40 * MEBIBYTE
        assert ours < theirs / 2, (ours, theirs)
