"""`ww up` and `ww down` in a host: what they change, and that nothing of it is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.lab.nodes import INNER, OUTER, Node, cable, peer_section
from wirewright.lab import Lab, Machine, RunError

HERE = Path(__file__).parent
WW = Path(sys.executable).with_name("ww")

INTERFACE = """[Interface]
PrivateKey = {key}
ListenPort = {port}
Address = {addresses}
{more}
"""


def file_for(
    node: Node,
    directory: Path,
    *peers: str,
    port: int = 51820,
    addresses: str = "10.7.0.1/24, fd07::1/64",
    more: str = "",
) -> Path:
    path = directory / f"{node.name}.conf"
    path.touch(mode=0o600)
    text = INTERFACE.format(key=node.key.expose(), port=port, addresses=addresses, more=more)
    path.write_text(text + "".join(peers))
    return path


def ww(machine: Machine, *words: str) -> str:
    """Run `ww` and return what it said on the standard error."""
    return machine.run(str(WW), *words).stderr


def test_a_file_is_set_up_and_taken_down(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = Node(lab["a"], INNER[0]), Node(lab["b"], addresses=("10.7.0.2", "fd07::2"))
        b.start().setconf(peer_section(a))
        file = file_for(a, tmp_path, peer_section(b, endpoint=OUTER[4][1]))
        said = ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert "[#] ip -4 address add 10.7.0.1/24 dev wg0" in said
        a.ping("10.7.0.2")
        a.ping("fd07::2")
        assert a.wg("show", "listen-port").strip() == "51820"
        ww(lab["a"], "down", str(file))
        assert a.is_gone()


def test_a_full_tunnel_takes_all_but_its_own_datagrams(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = Node(lab["a"], INNER[0]), Node(lab["b"], addresses=("10.7.0.2", "fd07::2", "203.0.113.9"))
        b.start().setconf(peer_section(a))
        peer = peer_section(b, endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0"))
        file = file_for(a, tmp_path, peer)
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        a.ping("203.0.113.9")
        # What is near is reached without it, and so is the peer itself.
        assert "dev eth0" in lab["a"].run("ip", "route", "get", "192.0.2.2").stdout
        assert "dev wg0" in lab["a"].run("ip", "-6", "route", "get", "2001:db8::1").stdout
        ww(lab["a"], "down", str(file))
        assert "unreachable" in lab["a"].run("ip", "route", "get", "203.0.113.9", check=False).stderr


@pytest.mark.timeout(600)
def test_whatever_fails_or_interrupts_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = Node(lab["a"], INNER[0]), Node(lab["b"], addresses=("10.7.0.2",))
        more = "PreUp = true\nPostUp = true\nPreDown = true"
        peer = peer_section(
            b, endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0", "10.9.0.0/16", "10.7.0.0/25")
        )
        file = file_for(a, tmp_path, peer, more=more)
        said = lab["a"].run(sys.executable, str(HERE / "rollback.py"), str(file), timeout=500).stdout
        assert int(said.split()[0]) >= 17


def test_two_tunnels_to_one_network_are_told_of_each_other(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        first, second = Node(lab["a"]), Node(lab["a"], name="wg1")
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("10.9.0.0/16",))
        ww(lab["a"], "up", str(file_for(first, tmp_path, peer)), "--engine", "wirewright")
        other = file_for(second, tmp_path, peer, port=51821, addresses="10.8.0.1/24")
        with pytest.raises(RunError, match=r"10\.9\.0\.0/16.*File exists; everything was undone"):
            ww(lab["a"], "up", str(other), "--engine", "wirewright")
        assert second.is_gone()
        assert not first.is_gone()
