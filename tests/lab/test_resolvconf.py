"""The tool resolvconf: openresolv's and Debian's as they are, and ones that fail."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.interop.relay import until
from tests.lab.nodes import INNER, OURS, Node, cable, peer_section
from tests.lab.resolvers import BEFORE, RECORDS, debian, openresolv, read
from wirewright.host.resolver import resolvconf
from wirewright.host.resolver.resolvconf import Resolvconf
from wirewright.lab import Lab, Machine

SERVERS = [ip_address("9.9.9.9"), ip_address("2620:fe::fe")]
DOMAINS = ["example.com", "corp.example"]
CHOSEN = """
from ipaddress import ip_address
from wirewright.host.resolver import choose
resolver = choose()
assert resolver.name == "resolvconf"
"""
SET = CHOSEN + "resolver.set('world', 7, [ip_address('9.9.9.9'), ip_address('2620:fe::fe')], ['example.com'])"
UNSET = CHOSEN + "resolver.unset('world', 7)"

FAKE = """#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> calls
cat >> calls
{then}
"""


def fake(folder: Path, then: str = "") -> Resolvconf:
    """A tool that notes how it is called."""
    path = folder / "resolvconf"
    path.write_text(FAKE.format(then=then))
    path.chmod(0o755)
    return Resolvconf(str(path))


def calls(folder: Path) -> str:
    return (folder / "calls").read_text()


@pytest.fixture(autouse=True)
def no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "interface-order"
    monkeypatch.setattr(resolvconf, "INTERFACE_ORDER", path)
    return path


# As they are.


@pytest.mark.parametrize("tool", [openresolv, debian])
def test_what_is_noted_is_what_wg_quick_has_noted(tool: Callable[[Machine], None], tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        for host in "ab":
            tool(lab[host])
            lab[host].run(
                "resolvconf", "-a", "eth0.dhcp", input="nameserver 192.0.2.53\nsearch home.example\n"
            )
        here, there = Node(lab["a"], INNER[0], "world"), Node(lab["b"], INNER[1])
        path = tmp_path / "world.conf"
        path.write_text(
            here.interface_section()
            + "Address = 10.7.0.1/24\nDNS = 9.9.9.9, 2620:fe::fe, example.com\n"
            + peer_section(there, endpoint="192.0.2.2", allowed=["10.7.0.2/32"])
        )
        path.chmod(0o600)
        lab["a"].run("wg-quick", "up", str(path), env={"WG_QUICK_USERSPACE_IMPLEMENTATION": OURS})
        lab["b"].python(SET)
        records = [lab[host].run("sh", "-c", RECORDS).stdout for host in "ab"]
        assert "9.9.9.9" in records[0]
        assert records[0] == records[1]
        resolv_conf = [read(lab[host], "/etc/resolv.conf") for host in "ab"]
        assert resolv_conf[0] == resolv_conf[1]
        lab["a"].run("wg-quick", "down", str(path))
        lab["b"].python(UNSET)
        records = [lab[host].run("sh", "-c", RECORDS).stdout for host in "ab"]
        assert "9.9.9.9" not in records[0]
        assert records[0] == records[1]
        until(here.is_gone, "interface and socket are gone")


def test_openresolv_lets_only_the_interface_s_servers_be_asked_and_then_those_of_before() -> None:
    with Lab(cable()) as lab:
        openresolv(lab["a"])
        lab["a"].python(SET)
        wanted = ["search example.com", "nameserver 9.9.9.9", "nameserver 2620:fe::fe"]
        assert read(lab["a"], "/etc/resolv.conf").splitlines()[1:] == wanted
        lab["a"].python(UNSET)
        assert read(lab["a"], "/etc/resolv.conf") == BEFORE
        # There is nothing, and nothing is said.
        assert lab["a"].python(UNSET).stderr == ""
        assert read(lab["a"], "/etc/resolv.conf") == BEFORE


def test_debian_s_puts_the_interface_s_servers_first_and_then_has_those_of_before() -> None:
    with Lab(cable()) as lab:
        debian(lab["a"])
        lab["a"].run("resolvconf", "-a", "eth0.dhcp", input="nameserver 192.0.2.53\n")
        before = read(lab["a"], "/etc/resolv.conf")
        lab["a"].python(SET)
        lines = read(lab["a"], "/etc/resolv.conf").splitlines()
        servers = [line for line in lines if line.startswith("nameserver")]
        assert servers == ["nameserver 9.9.9.9", "nameserver 2620:fe::fe", "nameserver 192.0.2.53"]
        lab["a"].python(UNSET)
        assert read(lab["a"], "/etc/resolv.conf") == before
        assert lab["a"].python(UNSET).stderr == ""


def test_the_machine_s_own_file_is_not_touched() -> None:
    own = Path("/etc/resolv.conf").read_bytes()
    with Lab(cable()) as lab:
        openresolv(lab["a"])
        lab["a"].python(SET)
        assert Path("/etc/resolv.conf").read_bytes() == own


# How it is called, and tools that fail.


def test_it_is_called_as_the_plan_says(tmp_path: Path) -> None:
    tool = fake(tmp_path)
    tool.set("wg0", 7, SERVERS, DOMAINS)
    tool.unset("wg0", 7)
    called = calls(tmp_path)
    given = "nameserver 9.9.9.9\nnameserver 2620:fe::fe\nsearch example.com corp.example\n"
    assert called == f"-a wg0 -m 0 -x\n{given}-d wg0 -f\n"
    (tmp_path / "calls").unlink()
    for line in (*tool.describe("wg0", SERVERS, DOMAINS), *tool.describe_unset("wg0")):
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        subprocess.run(["sh", "-c", line], env=path, stdin=subprocess.DEVNULL, check=True)
    assert calls(tmp_path) == called


def test_without_servers_it_is_not_called(tmp_path: Path) -> None:
    fake(tmp_path).set("wg0", 7, [], DOMAINS)
    assert not (tmp_path / "calls").exists()
    assert fake(tmp_path).describe("wg0", [], DOMAINS) == []


@pytest.mark.parametrize(
    ("order", "name"),
    [
        ("# lo\nlo.inet*\nlo\n tun* \ntap*\n", "tun.wg0"),
        ("lo\neth0\n", "wg0"),
        ("em+([0-9])*\n*\nppp*", "ppp.wg0"),
    ],
)
def test_the_first_kind_of_interfaces_that_the_host_has_in_order_is_put_before_the_name(
    tmp_path: Path, no_order: Path, order: str, name: str
) -> None:
    no_order.write_text(order)
    fake(tmp_path).unset("wg0", 7)
    assert calls(tmp_path) == f"-d {name} -f\n"


def test_where_it_fails_its_words_are_told_and_what_it_noted_is_deleted(tmp_path: Path) -> None:
    tool = fake(tmp_path, "echo 'the lock is held' >&2; exit 3")
    with pytest.raises(
        OSError, match=r"^\[Errno 5\] resolvconf -a wg0 -m 0 -x failed: the lock is held$"
    ) as caught:
        tool.set("wg0", 7, SERVERS, [])
    assert caught.value.errno == errno.EIO
    assert calls(tmp_path).splitlines()[-1] == "-d wg0 -f"
    with pytest.raises(OSError, match="resolvconf -d wg0 -f failed: the lock is held"):
        tool.unset("wg0", 7)


def test_where_it_fails_without_a_word_its_status_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="resolvconf -d wg0 -f failed: it ended with 3"):
        fake(tmp_path, "exit 3").unset("wg0", 7)


def test_one_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolvconf, "PATIENCE", 2.0)
    with pytest.raises(TimeoutError, match="resolvconf -a wg0 -m 0 -x is not done after 2 s"):
        fake(tmp_path, "[ $1 = -d ] || sleep 1000").set("wg0", 7, SERVERS, [])
    assert calls(tmp_path).splitlines()[-1] == "-d wg0 -f"


def test_a_server_that_it_starts_is_not_waited_for(tmp_path: Path) -> None:
    fake(tmp_path, "sleep 1000 & echo $! > server").unset("wg0", 7)
    os.kill(int((tmp_path / "server").read_text()), signal.SIGKILL)


def test_one_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    fake(tmp_path)
    (tmp_path / "resolvconf").chmod(0o644)
    with pytest.raises(PermissionError, match=r"cannot run .*/resolvconf: Permission denied"):
        Resolvconf(str(tmp_path / "resolvconf")).set("wg0", 7, SERVERS, [])


def test_what_it_warns_of_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake(tmp_path, "echo '/etc/resolv.conf is not mine' >&2").unset("wg0", 7)
    assert capsys.readouterr().err == "/etc/resolv.conf is not mine\n"


def test_it_is_found_also_beside_the_user_s_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(resolvconf, "SYSTEM_PATH", f"/usr/nowhere:{tmp_path}")
    assert resolvconf.find() == str(tmp_path / "resolvconf")
    monkeypatch.setattr(resolvconf, "SYSTEM_PATH", "/usr/nowhere")
    assert resolvconf.find() is None
