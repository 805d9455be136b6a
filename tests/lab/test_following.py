"""An interface that is renamed, moved, or set down for a moment is still the one that was made."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.lab.nodes import cable, pair, until
from tests.lab.test_environment import logging
from wirewright.lab import Lab, Link, Machine, Topology, at


def opened(machine: Machine) -> str:
    """Return which UDP sockets there are."""
    return machine.run("ss", "-ulnH").stdout


def is_silent(machine: Machine) -> bool:
    return ":51820" not in opened(machine)


@pytest.mark.parametrize("shards", [1, 4])
def test_after_a_rename_its_state_is_followed_and_another_of_its_old_name_is_not(shards: int) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab, shards=shards)
        a.ping("10.7.0.2")
        host = lab["a"]
        host.run("ip", "link", "set", "wg0", "name", "other0")
        a.ping("10.7.0.2")
        # Whoever asks for wg0 now finds one that is down, has another MTU, and goes.
        host.run("ip", "tuntap", "add", "wg0", "mode", "tun")
        host.run("ip", "link", "set", "wg0", "mtu", "1280")
        a.ping("10.7.0.2")
        host.run("ip", "link", "set", "other0", "down")
        until(partial(is_silent, host), "its sockets are closed")
        host.run("ip", "link", "set", "wg0", "up")
        host.run("ip", "link", "delete", "wg0")
        assert is_silent(host)
        host.run("ip", "link", "set", "other0", "up")
        a.ping("10.7.0.2")
        host.run("ip", "link", "delete", "other0")
        until(lambda: not host.processes("wirewright-tun"), "it ends with its interface")


def test_its_mtu_is_followed_through_names_and_namespaces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    topology = Topology((*cable().links, Link(at("a"), at("inner"))))

    def is_told(mtu: int) -> bool:
        return f"the MTU is {mtu}\n" in path.read_text()

    with Lab(topology) as lab, logging(lab, path, "verbose"):
        host, moved = lab["a"], lab["inner"]
        host.run("ip", "link", "set", "wg0", "name", "other0")
        host.run("ip", "tuntap", "add", "wg0", "mode", "tun")
        host.run("ip", "link", "set", "wg0", "mtu", "1301")
        host.run("ip", "link", "set", "other0", "mtu", "1302")
        until(lambda: is_told(1302), "the new MTU is told")
        host.run("ip", "link", "set", "other0", "name", "third0")
        lab.move("third0", "a", "inner")
        host.run("ip", "link", "set", "wg0", "name", "third0")
        moved.run("ip", "link", "set", "third0", "mtu", "1303")
        until(lambda: is_told(1303), "the new MTU is told")
        host.run("ip", "link", "set", "third0", "mtu", "1304")
        moved.run("ip", "link", "set", "third0", "name", "wg0")
        moved.run("ip", "link", "set", "wg0", "mtu", "1305")
        until(lambda: is_told(1305), "the new MTU is told")
        assert not is_told(1301)
        assert not is_told(1304)


def test_a_namespace_that_it_moved_to_is_not_kept_alive() -> None:
    topology = Topology((*cable().links, Link(at("a"), at("inner"))))
    with Lab(topology) as lab:
        pair(lab)
        host = lab["a"]
        # A namespace that ends with its only process.
        ending = host.popen(
            "unshare",
            "--net",
            "sh",
            "-c",
            "echo $$; read end",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ending.stdout is not None
        inside = ending.stdout.readline().strip()
        host.run("ip", "link", "set", "wg0", "netns", inside)
        host.run("nsenter", "-t", inside, "-n", "ip", "link", "set", "wg0", "mtu", "1300", "up")
        assert host.processes("wirewright-tun")
        ending.communicate("\n", timeout=20)
        until(lambda: not host.processes("wirewright-tun"), "the interface went with its namespace", 30)


def test_an_interface_in_another_namespace_is_silent_while_it_is_down_there() -> None:
    topology = Topology((*cable().links, Link(at("a"), at("inner"))))
    with Lab(topology) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        lab.move("wg0", "a", "inner")
        until(partial(is_silent, lab["a"]), "to move it sets it down")
        # Nor does one of its name take its place.
        lab["a"].run("ip", "tuntap", "add", "wg0", "mode", "tun")
        lab["a"].run("ip", "link", "set", "wg0", "up")
        assert is_silent(lab["a"])
        moved = lab["inner"]
        moved.run("ip", "address", "add", "10.7.0.1/24", "dev", "wg0")
        for _ in range(3):
            moved.run("ip", "link", "set", "wg0", "up")
            moved.run("ping", "-n", "-c1", "-w10", "10.7.0.2")
            moved.run("ip", "link", "set", "wg0", "down")
            until(partial(is_silent, lab["a"]), "its sockets are closed")
        assert a.latest_handshake(b) > 0


def test_down_and_up_too_fast_to_be_seen_still_ends_its_sessions() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")

        def bound() -> str:
            return lab["a"].run("ss", "-ulneH", "sport", "=", "51820").stdout

        def is_bound_anew(before: str) -> bool:
            return bound() not in ("", before)

        for _ in range(5):
            before = bound()
            lab["a"].run("ip", "-batch", "-", input="link set wg0 down\nlink set wg0 up\n")
            until(partial(is_bound_anew, before), "it bound anew")
            a.ping("10.7.0.2")
        assert b.received(a) > 0
