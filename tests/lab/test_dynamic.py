"""wg-dynamic over real interfaces: our server and client, and the second implementation at either end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.lab.nodes import OUTER, Node, cable, peer_section, until
from wirewright.dynamic import link_local
from wirewright.keys import SecretKey
from wirewright.lab import Lab, Machine, Weather

if TYPE_CHECKING:
    from collections.abc import Iterator

WW = str(Path(sys.executable).with_name("ww"))
PEER = ROOT / "tests" / "dynamic" / "peer"
POOLS = ("--pool", "10.99.0.0/24", "--pool", "fd99::/120")

pytestmark = pytest.mark.timeout(240)


@dataclass
class Running:
    """A process of ours in a host, whose words go into a file."""

    process: subprocess.Popen[Any]
    machine: Machine
    words: Path

    def said(self) -> str:
        return self.words.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Send a signal to the process behind ``nsenter``, wait for its end, and return what it said."""
        for pid in self.machine.processes():
            with contextlib.suppress(OSError):
                parent = Path(f"/proc/{pid}/status").read_text().partition("PPid:\t")[2].partition("\n")[0]
                if int(parent) == self.process.pid:
                    os.kill(pid, number)
        self.process.wait(60)
        return self.said()


@dataclass
class Pair:
    """A server on a, a client on b, which know each other by their link-local addresses."""

    lab: Lab
    a: Node
    b: Node
    folder: Path
    started: list[Running] = field(default_factory=list)

    @property
    def leases(self) -> Path:
        return self.folder / "wg0.leases"

    def begin(self, machine: Machine, *command: str, ready: str) -> Running:
        words = self.folder / f"words-{len(self.started)}"
        with words.open("w") as file:
            process = machine.popen(
                *command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={"PYTHONUNBUFFERED": "1"}
            )
        running = Running(process, machine, words)
        self.started.append(running)
        until(lambda: ready in running.said() or process.poll() is not None, f"{command[:3]} begins", 60)
        assert ready in running.said(), running.said()
        return running

    def serve(self, *options: str, pools: tuple[str, ...] = POOLS) -> Running:
        return self.begin(
            self.lab["a"],
            WW,
            "dynamic",
            "serve",
            "wg0",
            "--leases",
            str(self.leases),
            *pools,
            *options,
            ready="serving leases",
        )

    def lease(self, *options: str, ready: str = " until ") -> Running:
        return self.begin(self.lab["b"], WW, "lease", "wg0", *options, ready=ready)

    def once(self, *options: str, check: bool = True) -> dict[str, Any]:
        done = self.lab["b"].run(WW, "lease", "wg0", "--once", "--json", *options, check=check)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def ask(self, *words: str) -> list[Any]:
        """Ask as the second implementation."""
        source = str(link_local(self.b.public_key))
        said = self.lab["b"].run(sys.executable, str(PEER / "client.py"), "wg0", source, *words).stdout
        answers: list[Any] = json.loads(said)
        return answers

    def allowed(self, node: Node | None = None) -> set[str]:
        """What the server's interface gives to the client, but for its identity."""
        key = str((node or self.b).public_key)
        found = set(self.a.show("allowed-ips")[key].split()) - {"(none)"}
        return found - {f"{link_local((node or self.b).public_key)}/128"}

    def addresses(self) -> set[str]:
        """What the client's interface has, but for link-local ones."""
        said = self.lab["b"].run("ip", "-j", "address", "show", "dev", "wg0").stdout
        return {
            f"{each['local']}/{each['prefixlen']}"
            for link in json.loads(said)
            for each in link.get("addr_info", ())
            if each["scope"] != "link"
        }


@contextmanager
def pair(
    folder: Path, *, client_allows: str = "fe80::/128, 10.99.0.0/24, fd99::/64", **weather: Any
) -> Iterator[Pair]:
    with Lab(cable(**weather)) as lab:
        a, b = Node(lab["a"]).start(), Node(lab["b"]).start()
        place = link_local(b.public_key)
        a.setconf(peer_section(b, endpoint=OUTER[4][1], allowed=(f"{place}/128",)))
        b.setconf(peer_section(a, endpoint=OUTER[4][0], allowed=(client_allows,)))
        made = Pair(lab, a, b, folder)
        try:
            yield made
        finally:
            for running in made.started:
                running.process.kill()
                running.process.wait()


def give_link_local(pair: Pair) -> None:
    """Have the client's interface be as upstream wants it, for programs that make nothing themselves."""
    place = link_local(pair.b.public_key)
    pair.lab["b"].run("ip", "address", "add", f"{place}/128", "dev", "wg0")
    pair.lab["b"].run("ip", "route", "add", "fe80::/128", "dev", "wg0")


def test_a_lease_is_had_kept_and_given_back(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.lab["a"].run("ip", "address", "add", "10.99.0.1/24", "dev", "wg0")
        server = p.serve("--lease-time", "6")
        client = p.lease("--json", ready='"until"')
        # Its own address can be used at once, and not only when the kernel has looked for others.
        links = p.lab["b"].run("ip", "-6", "address", "show", "dev", "wg0", "scope", "link").stdout
        assert "nodad" in links
        first = json.loads(client.said().splitlines()[0])
        held = {f"{first['addresses'][0]}/32", f"{first['addresses'][1]}/128"}
        assert p.allowed() == p.addresses() == held
        p.lab["b"].run("ip", "route", "add", "10.99.0.0/24", "dev", "wg0")
        p.b.ping("10.99.0.1")
        # It is refreshed at half its time, and stays the same.
        until(lambda: client.said().count('"until"') >= 4, "the lease is refreshed", 90)
        assert {tuple(json.loads(line)["addresses"]) for line in client.said().splitlines()} == {
            tuple(first["addresses"])
        }
        assert p.allowed() == p.addresses() == held
        client.end()
        assert p.addresses() == set()
        assert "fe80::" not in p.lab["b"].run("ip", "-6", "route", "show", "fe80::/128").stdout
        until(lambda: p.allowed() == set(), "the lease ends", 60)
        assert "Traceback" not in server.end()
        assert "fe80::/64" not in p.lab["a"].run("ip", "-6", "address", "show", "dev", "wg0").stdout


def test_a_lease_ends_at_the_client_too_when_its_server_has_gone(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        server = p.serve("--lease-time", "4")
        p.once()
        kept = p.addresses()
        assert len(kept) == 2
        server.end(signal.SIGKILL)
        # Nobody is there to take the addresses away: the kernel does it.
        until(lambda: p.addresses() == set(), "the addresses end", 60)
        assert "no server of wg-dynamic runs" in p.once(check=False)["error"]


def test_a_killed_server_has_every_lease_when_it_is_back(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        server = p.serve()
        held = set(p.once()["addresses"])
        server.end(signal.SIGKILL)
        place = link_local(p.b.public_key)
        p.a.wg("set", "peer", str(p.b.public_key), "allowed-ips", f"{place}/128")
        assert p.allowed() == set()
        p.serve()
        assert {each.split("/")[0] for each in p.allowed()} == held
        assert set(p.once()["addresses"]) == held
        told = json.loads(
            p.lab["a"].run(WW, "dynamic", "leases", "wg0", "--leases", str(p.leases), "--json").stdout
        )
        [lease] = told["leases"]
        assert {lease["ipv4"], lease["ipv6"]} == held
        assert lease["public_key"] == str(p.b.public_key)


def test_machines_that_forward_serve_and_lease_alike(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        addresses = {
            host: p.lab[host].run("ip", "-6", "address", "show", "dev", "wg0").stdout for host in "ab"
        }
        for host in "ab":
            p.lab[host].run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        server = p.serve()
        client = p.lease()
        assert len(p.addresses()) == 2
        client.end()
        server.end()
        for host, before in addresses.items():
            after = p.lab[host].run("ip", "-6", "address", "show", "dev", "wg0").stdout
            assert after.split() == before.replace("stable-privacy", "").split()


def test_a_client_may_move_and_nobody_sees_it_in_its_lease(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.serve()
        held = p.once()["addresses"]
        p.b.wg("set", "listen-port", "51999")
        p.lab["b"].run("ip", "address", "add", "192.0.2.77/24", "dev", "eth0")
        p.lab["b"].run("ip", "route", "replace", "192.0.2.1/32", "dev", "eth0", "src", "192.0.2.77")
        assert p.once()["addresses"] == held
        assert p.a.endpoint_of(p.b).endswith(":51999")


def test_connections_in_quick_succession_meet_no_port_that_is_held_back(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.serve()
        give_link_local(p)
        for _ in range(5):
            [answer] = p.ask("request_ip=1")
            assert ["errno", "0"] in answer
        waiting = "ss -Htan state time-wait"
        for host in "ab":
            assert p.lab[host].run(*waiting.split()).stdout == ""


def test_a_client_that_is_soon_back_meets_nothing_of_its_connection_before(tmp_path: Path) -> None:
    # When an answer to its end could come, the interface has not its link-local address any more.
    with pair(tmp_path, weather=Weather(delay=0.15)) as p:
        p.serve(pools=("--pool", "10.99.0.0/24"))
        for _ in range(3):
            assert "no address is free" in p.once("--ipv4", "none", check=False)["error"]
            assert p.lab["b"].run("ss", "-Htan").stdout == ""


LOSSY = """
table ip6 lossy {
  chain output {
    type filter hook output priority 0
    oifname wg0 tcp flags & rst == rst drop
  }
}
"""


def test_a_connection_whose_end_was_lost_holds_up_nobody(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.serve()
        p.lab["b"].run("nft", "-f", "-", input=LOSSY)
        held = p.once()["addresses"]
        assert "ESTAB" in p.lab["a"].run("ss", "-Htan").stdout
        p.lab["b"].run("nft", "delete table ip6 lossy")
        assert p.once()["addresses"] == held
        assert p.lab["b"].run("ss", "-Htan").stdout == ""


def test_both_dialects_are_spoken_with_another_client(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.serve()
        give_link_local(p)
        [document] = p.ask("request_ip=1")
        assert document[0] == ["request_ip", "1"]
        granted = dict(document)
        assert p.allowed() == {granted["ipv4"], granted["ipv6"]}
        [program] = p.ask(
            "request_ip=1", f"ip={granted['ipv4']}", f"ip={granted['ipv6']}", "leasestart=0", "leasetime=0"
        )
        assert program[:2] == [["ip", granted["ipv4"]], ["ip", granted["ipv6"]]]
        # Several over one connection, the last of which is none.
        several = p.ask(
            "request_ip=1",
            "ipv6=",
            "--",
            "request_ip=1",
            f"ip={granted['ipv4']}",
            "--",
            "request_ip=9",
            "--",
            "request_ip=1",
        )
        assert [each["ended"] if isinstance(each, dict) else len(each) > 1 for each in several[:3]] == [
            True
        ] * 3
        assert several[2] == [["errno", "2"], ["errmsg", "Unsupported protocol"]]
        assert "ended" in several[3]
        assert p.allowed() == {granted["ipv4"]}


def test_who_speaks_from_another_port_is_not_heard(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        server = p.serve()
        give_link_local(p)
        assert "ended" in p.ask("--unprivileged", "request_ip=1")[0]
        assert "Traceback" not in server.said()
        assert ["errno", "0"] in p.ask("request_ip=1")[0]


def test_exhausted_pools_give_nothing_and_no_error(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.a.add(peer_section(Node(p.lab["a"]), allowed=("10.99.0.1/32",)))
        p.serve(pools=("--pool", "10.99.0.0/30"))
        give_link_local(p)
        assert ["ipv4", "10.99.0.2/32"] in p.ask("request_ip=1")[0]
        p.ask("request_ip=1", "ipv4=", "ipv6=")
        p.a.add(peer_section(Node(p.lab["a"]), allowed=("10.99.0.2/32",)))
        assert p.ask("request_ip=1") == [[["request_ip", "1"], ["errno", "0"]]]
        assert p.ask("request_ip=1", "ip=0.0.0.0/32")[0][0] == ["errno", "3"]
        assert "no address is free" in p.once(check=False)["error"]


def test_pools_are_what_is_routed_to_the_interface(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        failed = p.lab["a"].run(WW, "dynamic", "serve", "wg0", "--leases", str(p.leases), check=False)
        assert failed.returncode == 1
        assert "no addresses to hand out" in failed.stderr
        p.lab["a"].run("ip", "route", "add", "10.99.0.4/30", "dev", "wg0")
        p.serve(pools=())
        [v4] = p.once()["addresses"]
        assert v4 in {"10.99.0.5", "10.99.0.6"}


PATIENT = """
from wirewright.cli import main
from wirewright.dynamic import exchange

exchange.PATIENCE = 1000.0
main()
"""
STALLER = """
import socket, sys, time
index = socket.if_nametoindex("wg0")
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 970, 0, index))
s.connect(("fe80::", 970, 0, index))
s.sendall(b"request_ip=1\\nipv")
print("ready", flush=True)
print("end", s.recv(1), flush=True)
"""


def stalling(p: Pair) -> Running:
    p.serve()
    give_link_local(p)
    place = str(link_local(p.b.public_key))
    return p.begin(p.lab["b"], sys.executable, "-c", STALLER, place, ready="ready")


def test_a_client_that_stalls_keeps_nobody_waiting(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        staller = stalling(p)
        key = SecretKey.generate()
        c = Node(p.lab["b"], name="wg1", port=51821, key=key).start()
        p.a.add(peer_section(c, endpoint=OUTER[4][1], allowed=(f"{link_local(key.public_key)}/128",)))
        c.setconf(peer_section(p.a, endpoint=OUTER[4][0], allowed=("fe80::/128",)))
        said = p.lab["b"].run(WW, "lease", "wg1", "--once", "--json").stdout
        assert len(json.loads(said)["addresses"]) == 2
        assert staller.process.poll() is None


@pytest.mark.slow
def test_a_client_that_stalls_is_put_out(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        staller = stalling(p)
        until(lambda: staller.process.poll() is not None, "the server gives up", 90)
        assert ["errno", "0"] in p.ask("request_ip=1")[0]


@pytest.mark.parametrize("dialect", ["document", "program"])
def test_our_client_lives_with_another_server(dialect: str, tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        other = other_server(p, dialect, "leasetime=4", "refusals=1")
        client = p.lease("--json", ready='"until"')
        assert "not now" in client.said()
        assert p.addresses() == {"10.99.0.2/32", "fd99::2/128"}
        until(lambda: client.said().count('"until"') >= 3, "the lease is refreshed", 90)
        assert p.addresses() == {"10.99.0.2/32", "fd99::2/128"}
        client.end()
        p.lab["b"].run(WW, "lease", "wg0", "release")
        assert "Traceback" not in other.said()


@pytest.mark.parametrize("lengths", ["24,128", "32,64"])
def test_a_short_prefix_is_refused(lengths: str, tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        other_server(p, "document", f"lengths={lengths}")
        assert "not one address: refused" in p.once(check=False)["error"]
        assert p.addresses() == set()


def other_server(p: Pair, dialect: str, *settings: str) -> Running:
    p.lab["a"].run("ip", "address", "add", "fe80::/64", "dev", "wg0")
    return p.begin(
        p.lab["a"], sys.executable, str(PEER / "server.py"), "wg0", dialect, *settings, ready="ready"
    )


def test_routes_are_taken_where_they_are_allowed_and_go_with_the_lease(tmp_path: Path) -> None:
    with pair(tmp_path, client_allows="fe80::/128") as p:
        p.serve(
            "--route",
            "10.50.0.0/16",
            "--route",
            "fd60::/16",
            "--route",
            "0.0.0.0/0",
            "--route",
            "192.0.2.0/25",
        )
        client = p.lease("--routes", "10.50.0.0/15", "--routes", "0.0.0.0/0")
        routes = "ip -4 route show dev wg0"
        until(lambda: "10.50.0.0/16" in p.lab["b"].run(*routes.split()).stdout, "the route is there")
        until(lambda: "a tunnel for everything" in client.said(), "the rest is refused")
        until(lambda: "192.0.2.0/25 is not taken: a peer's endpoint" in client.said(), "nor its own way")
        assert "fd60" not in p.lab["b"].run("ip", "-6", "route", "show", "dev", "wg0").stdout
        assert "10.50.0.0/16" in p.b.show("allowed-ips")[str(p.a.public_key)]
        client.end()
        assert p.lab["b"].run(*routes.split()).stdout == ""
        assert p.b.show("allowed-ips")[str(p.a.public_key)] == "fe80::/128"


def test_a_new_key_is_taken_kept_in_the_file_and_has_the_lease(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.serve("--register-keys")
        file = tmp_path / "wg0.conf"
        file.touch(mode=0o600)
        file.write_text(
            p.b.interface_section() + peer_section(p.a, endpoint=OUTER[4][0], allowed=("fe80::/128",))
        )
        held = p.once()["addresses"]
        done = p.lab["b"].run(WW, "lease", str(file), "--new-key", "--once", "--json")
        assert json.loads(done.stdout)["addresses"] == held
        new = SecretKey.from_base64(
            next(line for line in file.read_text().splitlines() if "PrivateKey" in line).partition("= ")[2]
        )
        assert new.public_key != p.b.public_key
        assert new.expose() not in done.stdout + done.stderr
        assert set(p.a.show("allowed-ips")) == {str(new.public_key)}
        assert len(p.a.show("allowed-ips")[str(new.public_key)].split()) == 3
        assert p.b.wg("show", "public-key").strip() == str(new.public_key)


def test_keys_are_not_taken_by_a_server_that_was_not_told_to(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        p.serve()
        file = tmp_path / "wg0.conf"
        file.touch(mode=0o600)
        file.write_text(p.b.interface_section())
        before = file.read_text()
        done = p.lab["b"].run(WW, "lease", str(file), "--new-key", "--once", check=False)
        assert "takes no new key" in done.stderr
        assert file.read_text() == before
        assert p.b.wg("show", "public-key").strip() == str(p.b.public_key)


def test_a_full_disk_is_told_and_no_lease_is_lost(tmp_path: Path) -> None:
    with pair(tmp_path) as p:
        disk = tmp_path / "disk"
        disk.mkdir()
        p.lab["a"].run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))
        leases = str(disk / "wg0.leases")
        command = (WW, "dynamic", "serve", "wg0", "--leases", leases, *POOLS)
        p.begin(p.lab["a"], *command, ready="serving leases")
        held = p.once()["addresses"]
        p.lab["a"].run("sh", "-c", f"cat /dev/zero >{disk}/filler", check=False)
        before = p.lab["a"].run("cat", leases).stdout
        said = p.once(check=False)
        assert "No space left on device" in said["error"]
        assert p.lab["a"].run("cat", leases).stdout == before
        assert {each.split("/")[0] for each in p.allowed()} == set(held)
        p.lab["a"].run("rm", f"{disk}/filler")
        assert p.once()["addresses"] == held


@pytest.mark.parametrize(("words", "status"), [((), 0), (("--once",), 130)])
def test_a_client_that_waits_for_an_answer_is_interrupted_at_once(
    words: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    with pair(tmp_path) as p:
        # Nobody answers, since the other end has gone, and it would wait for longer than we do.
        p.a.kill()
        client = p.begin(p.lab["b"], sys.executable, "-c", PATIENT, "lease", "wg0", *words, ready="")
        until(lambda: "SYN-SENT" in p.lab["b"].run("ss", "-Htan").stdout, "it asks", 60)
        client.end(signal.SIGINT)
        assert client.process.returncode == status
        assert p.addresses() == set()


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pair(tmp_path) as p:

        def said(*words: str) -> str:
            done = p.lab["b"].run(WW, *words, check=False)
            assert done.returncode == 1
            assert "Traceback" not in done.stderr
            return done.stderr

        assert "wg9 is not a WireGuard interface" in said("lease", "wg9", "--once")
        assert "wg9 is not a WireGuard interface" in said("dynamic", "serve", "wg9")
        p.b.setconf(peer_section(p.a, endpoint=OUTER[4][0], allowed=("10.99.0.0/24",)))
        assert "no peer of wg0 is a server of wg-dynamic: add fe80::/128" in said("lease", "wg0", "--once")
        p.b.setconf(peer_section(p.a, endpoint=OUTER[4][0], allowed=("fe80::/128",)))
        p.lab["a"].run("ip", "address", "add", "fe80::/64", "dev", "wg0")
        assert "no server of wg-dynamic runs at fe80::" in said("lease", "wg0", "--once")
        p.leases.write_text("nonsense")
        failed = p.lab["a"].run(WW, "dynamic", "serve", "wg0", "--leases", str(p.leases), *POOLS, check=False)
        assert "no whole file of leases" in failed.stderr
        assert str(p.leases) in failed.stderr
        p.lab["b"].run("ip", "link", "set", "wg0", "down")
        assert "wg0 is not up" in said("lease", "wg0", "--once")
