"""What `ww up` and its kin are told, one thing each, and hosts that have something of the sort already."""

from __future__ import annotations

import subprocess
from itertools import permutations
from pathlib import Path

import pytest

from tests.lab.nodes import OUTER, Node, cable, peer_section
from tests.lab.test_up import WW, file_for, ww
from wirewright.lab import Lab, Machine, RunError

ALL = ("0.0.0.0/0", "::/0")
# Not whether a link has a carrier, which comes a moment later.
LOOK = (
    "ip -o link | sed 's/<.*>//; s/state [A-Z]* //'; ip -o -4 address; ip -4 rule; ip -6 rule;"
    "nft list ruleset; ip -4 route show table all; sysctl net.ipv4.conf.all.src_valid_mark; ls /run/wireguard"
)


def look(machine: Machine) -> str:
    return machine.run("sh", "-c", LOOK).stdout


def said_steps(text: str) -> list[str]:
    """Take the steps out of what a command says while it does them."""
    return [line.removeprefix("[#] ") for line in text.splitlines() if line.startswith("[#] ")]


def test_without_wireguard_in_the_kernel_our_engine_is_taken(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        file = file_for(Node(lab["a"]), tmp_path)
        for words in ((), ("--engine", "auto")):
            assert "wirewright-tun wg0" in said_steps(ww(lab["a"], "up", str(file), *words))
            ww(lab["a"], "down", str(file))


def test_a_dry_run_changes_nothing_and_tells_what_is_done_then(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = lab["a"]
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=(*ALL, "10.9.0.0/16"))
        said = tmp_path / "said"
        file = file_for(Node(a), tmp_path, peer, more=f"PostUp = echo %i >> {said}\nPreDown = true %i")
        for verb in ("up", "down"):
            before = look(a)
            planned = a.run(str(WW), verb, "--dry-run", str(file)).stdout.splitlines()
            assert look(a) == before
            assert not said.exists() or verb == "down"
            assert said_steps(ww(a, verb, str(file))) == planned
            assert look(a) != before
        assert said.read_text() == "wg0\n"


def test_an_interface_that_is_there_already_is_told_and_goes_on(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path, more=f"PreUp = touch {tmp_path / 'ran'}")
        ww(lab["a"], "up", str(file))
        (tmp_path / "ran").unlink()
        before = look(lab["a"])
        with pytest.raises(RunError, match="an interface called wg0 exists already"):
            ww(lab["a"], "up", str(file))
        assert look(lab["a"]) == before
        assert not (tmp_path / "ran").exists()
        other = Node(lab["a"], name="eth0")
        with pytest.raises(RunError, match="an interface called eth0 exists already"):
            ww(lab["a"], "up", str(file_for(other, tmp_path)))
        assert look(lab["a"]) == before


def test_a_port_that_another_has_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        Node(lab["a"], name="first", port=51999).start()
        before = look(lab["a"])
        file = file_for(Node(lab["a"]), tmp_path, port=51999)
        with pytest.raises(RunError, match=r"[Aa]ddress.*in use.*; everything was undone"):
            ww(lab["a"], "up", str(file))
        assert look(lab["a"]) == before


@pytest.mark.parametrize("mark", ["0x1234", "4660"])
def test_a_mark_of_the_file_s_is_that_of_a_full_tunnel_and_the_number_of_its_table(
    mark: str, tmp_path: Path
) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=ALL)
        before = look(lab["a"])
        file = file_for(a, tmp_path, peer, more=f"FwMark = {mark}")
        ww(lab["a"], "up", str(file))
        assert a.wg("show", "fwmark").strip() == "0x1234"
        assert "not from all fwmark 0x1234 lookup 4660" in lab["a"].run("ip", "rule").stdout
        assert "default dev wg0" in lab["a"].run("ip", "route", "show", "table", "4660").stdout
        ww(lab["a"], "down", str(file))
        assert look(lab["a"]) == before


@pytest.mark.parametrize("order", list(permutations((0, 1))))
def test_two_full_tunnels_have_tables_of_their_own_and_go_in_any_order(
    order: tuple[int, int], tmp_path: Path
) -> None:
    with Lab(cable()) as lab:
        before = look(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=ALL)
        files = [
            file_for(
                Node(lab["a"], name=f"wg{n}"), tmp_path, peer, port=51820 + n, addresses=f"10.{7 + n}.0.1/24"
            )
            for n in (0, 1)
        ]
        states = [before]
        for file in files:
            ww(lab["a"], "up", str(file))
            states.append(look(lab["a"]))
        marks = [lab["a"].run("wg", "show", f"wg{n}", "fwmark").stdout.strip() for n in (0, 1)]
        assert marks == ["0xca6c", "0xca6d"]
        # The one that came last takes what both want.
        assert "dev wg1" in lab["a"].run("ip", "route", "get", "198.18.0.1").stdout
        ww(lab["a"], "down", str(files[order[0]]))
        left = order[1]
        assert f"dev wg{left}" in lab["a"].run("ip", "route", "get", "198.18.0.1").stdout
        assert "src_valid_mark = 1" in look(lab["a"])
        ww(lab["a"], "down", str(files[left]))
        assert look(lab["a"]) == before


def test_two_tunnels_may_overlap_and_the_longer_prefix_decides(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        before = look(lab["a"])
        for n, network in enumerate(("10.9.0.0/16", "10.9.9.0/24")):
            peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=(network,))
            node = Node(lab["a"], name=f"wg{n}")
            # An address of both: the kernel lets interfaces share one.
            file = file_for(node, tmp_path, peer, port=51820 + n, addresses="10.7.0.1/32")
            ww(lab["a"], "up", str(file))
        for address, name in (("10.9.9.1", "wg1"), ("10.9.8.1", "wg0")):
            assert f"dev {name}" in lab["a"].run("ip", "route", "get", address).stdout
        ww(lab["a"], "down", str(tmp_path / "wg1.conf"))
        assert "dev wg0" in lab["a"].run("ip", "route", "get", "10.9.9.1").stdout
        ww(lab["a"], "down", str(tmp_path / "wg0.conf"))
        assert look(lab["a"]) == before


def test_what_has_no_file_is_not_saved_but_taken_down_by_its_name() -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"], name="wg-nofile").start()
        with pytest.raises(
            RunError, match=r"ww: wg-nofile has no file to be saved into: /etc/wireguard/wg-nofile\.conf"
        ) as caught:
            ww(lab["a"], "save", "wg-nofile")
        assert "Traceback" not in str(caught.value)
        ww(lab["a"], "down", "wg-nofile")
        assert a.is_gone()


def test_strip_writes_what_wg_quick_s_does_and_wg_takes_it(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"], ("10.7.0.2",)), endpoint=OUTER[4][1])
        file = file_for(a, tmp_path, peer, more="MTU = 1300\nDNS = 9.9.9.9\nPostUp = true\nSaveConfig = true")
        stripped = lab["a"].run(str(WW), "strip", str(file)).stdout
        theirs = subprocess.run(["wg-quick", "strip", str(file)], capture_output=True, text=True, check=True)
        assert stripped.splitlines() == theirs.stdout.rstrip("\n").splitlines()
        assert lab["a"].run(str(WW), "strip", "-", input=file.read_text()).stdout == stripped
        a.start()
        a.wg("setconf", "/dev/stdin", input=stripped)
        assert len(a.dump().peers) == 1


def test_no_allowed_ips_are_written_as_nothing() -> None:
    with Lab(cable()) as lab:
        a, b = Node(lab["a"]).start(), Node(lab["b"], ("10.7.0.2",))
        a.add(peer_section(b))
        ww(lab["a"], "set", "wg0", "peer", str(b.public_key), "allowed-ips", "")
        assert a.dump().peers[str(b.public_key)].allowed_ips == set()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("Table = 0x10000000000", "Table"),
        ("MTU = 10", "MTU"),
        ("Address = 10.7.0.300/24", "Address"),
        ("ListenPort = 70000", "ListenPort"),
        ("Mtu2 = 1", "Mtu2"),
    ],
)
def test_a_file_with_a_mistake_changes_nothing_and_its_line_is_told(
    more: str, words: str, tmp_path: Path
) -> None:
    with Lab(cable()) as lab:
        before = look(lab["a"])
        file = file_for(Node(lab["a"]), tmp_path, more=more)
        outcome = lab["a"].run(str(WW), "up", str(file), check=False)
        assert outcome.returncode == 1
        assert f"{file}:" in outcome.stderr
        assert words in outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert look(lab["a"]) == before
