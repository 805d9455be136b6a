"""Who has nothing to do sleeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.nodes import INNER, Node, cable, pass_time, peer_section
from wirewright.lab import Lab

# A keepalive is due 10 s after data that nothing was sent upon, a new handshake 15 s after data that nothing
# was heard upon. So by then all timers are over that the last packet set, until keys are wiped after minutes.
SETTLED = 30
PAUSE = 5


def wake_ups(node: Node) -> dict[str, int]:
    """How often each task of an interface's process was put to sleep so far, or made to wait."""
    (process,) = node.machine.processes("wirewright-tun")
    tasks = Path(f"/proc/{process}/task")
    found = {}
    for task in tasks.iterdir():
        switches = re.findall(r"voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text())
        assert len(switches) == 2
        found[f"{(task / 'comm').read_text().strip()} {task.name}"] = sum(map(int, switches))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 4])
def test_an_idle_interface_with_a_session_does_not_wake_up(shards: int) -> None:
    with Lab(cable()) as lab:
        for host in "ab":
            # Else the system would look for routers behind the interface.
            lab[host].run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        a, b = (
            Node(lab[host], addresses[:1], shards=shards).start()
            for host, addresses in zip("ab", INNER, strict=True)
        )
        a.setconf(peer_section(b, endpoint="192.0.2.2"))
        b.setconf(peer_section(a))
        a.ping("10.7.0.2")
        pass_time(SETTLED)
        before = [wake_ups(node) for node in (a, b)]
        pass_time(PAUSE)
        assert [wake_ups(node) for node in (a, b)] == before
        # It slept, and was not dead; nor is it blind who counts.
        handshake = a.latest_handshake(b)
        a.ping("10.7.0.2")
        assert a.latest_handshake(b) == handshake > 0
        assert sum(wake_ups(a).values()) > sum(before[0].values())
