"""Things that break, and who must not break with them."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.lab.nodes import (
    INNER,
    INSIDE,
    OURS,
    Node,
    answer,
    cable,
    inside,
    pair,
    peer_section,
    transfer,
    until,
)
from tests.lab.wire import Wire
from wirewright.lab import Lab, Machine

SOCKET = "/var/run/wireguard/wg0.sock"
# What strangers' datagrams are counted as, if nobody needs to look into them.
GARBAGE = ("bad_length", "bad_type", "bad_mac1", "no_session")


def start(machine: Machine, *words: str) -> tuple[int, str]:
    """Run the command; return its exit status and what it said on the standard error."""
    done = machine.run(OURS, *words, check=False, timeout=20)
    assert done.stdout == ""
    return done.returncode, done.stderr


def resident(machine: Machine) -> int:
    """Return the memory of its interfaces in KiB."""
    states = [Path(f"/proc/{number}/status").read_text() for number in machine.processes("wirewright-tun")]
    return sum(int(state.partition("VmRSS:")[2].split()[0]) for state in states)


def beside(lab: Lab, shards: int | None = None) -> Node:
    """Start another tunnel beside that of `pair`, which must not notice anything; return its end in a."""
    a, b = (
        Node(lab[host], (f"10.8.0.{number}",), "wg1", port=51821, shards=shards).start()
        for number, host in ((1, "a"), (2, "b"))
    )
    a.setconf(peer_section(b, endpoint="192.0.2.2"))
    b.setconf(peer_section(a))
    a.ping("10.8.0.2")
    return a


def turned_away(node: Node) -> int:
    """Return how many datagrams of strangers came and were dropped."""
    counters = node.counters()
    return sum(counters[name] for name in GARBAGE)


@pytest.mark.parametrize("shards", [1, 4])
def test_a_peer_that_restarts_is_met_again(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, shards=shards)
        a.ping("10.7.0.2")
        assert lab["b"].kill("wirewright-tun") == 1
        until(lambda: not lab["b"].processes("wirewright-tun"), "it has ended")
        b.start().setconf(peer_section(a, endpoint="192.0.2.1"))
        # Its first handshake replaces what a still believes in.
        b.ping("10.7.0.1")
        a.ping("10.7.0.2")


def test_a_peer_that_forgot_is_met_again_by_whom_it_left() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        lab["b"].kill("wirewright-tun")
        until(lambda: not lab["b"].processes("wirewright-tun"), "it has ended")
        b.start().setconf(peer_section(a))
        # It does not know where a is. After 15 silent seconds a begins anew.
        a.ping("10.7.0.2", seconds=30)


def test_after_a_kill_the_same_name_can_be_served_again() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        a.kill()
        assert "wg0.sock" in lab["a"].run("ls", "/var/run/wireguard").stdout
        a.start().setconf(peer_section(b, endpoint="192.0.2.2"))
        a.ping("10.7.0.2")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(number: signal.Signals) -> None:
    with Lab(cable()) as lab:
        process = lab["a"].popen(OURS, "-f", "wg0", stderr=subprocess.PIPE, text=True)
        a = Node(lab["a"])
        until(lambda: "wg0.sock" in lab["a"].run("ls", "/var/run/wireguard").stdout, "it serves")
        assert lab["a"].kill("wirewright-tun", number) == 1
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said) == (0, "")
        assert a.is_gone()


def test_deleting_the_interface_ends_the_process_and_its_socket() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        lab["a"].run("ip", "link", "delete", "wg0")
        until(a.is_gone, "interface and socket are gone")
        until(lambda: not lab["a"].processes("wirewright-tun"), "the process has ended")


def test_deleting_the_socket_file_ends_the_process_and_its_interface() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        lab["a"].run("rm", SOCKET)
        until(a.is_gone, "interface and socket are gone")
        until(lambda: not lab["a"].processes("wirewright-tun"), "the process has ended")


def test_setting_the_interface_down_and_up_loses_nothing_but_packets() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.ping("10.7.0.2")
        for _ in range(3):
            lab["a"].run("ip", "link", "set", "wg0", "down")
            lab["a"].run("ip", "link", "set", "wg0", "up")
            a.ping("10.7.0.2")


@pytest.mark.parametrize("shards", [1, 4])
def test_an_interface_that_is_down_is_silent_and_leaves_its_port_to_others(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, shards=shards)
        a.setconf(peer_section(b, endpoint="192.0.2.2", keepalive=1))
        a.ping("10.7.0.2")
        # By what comes to b from any port of a; and that it was not silent before.
        before = Wire(lab["b"])
        until(lambda: before.came("keepalive") > 1, "there are persistent keepalives")
        before.remove()
        lab["a"].run("ip", "link", "set", "wg0", "down")
        until(lambda: ":51820" not in lab["a"].run("ss", "-uln").stdout, "the port is free")
        heard, asked = Wire(lab["b"]), Wire(lab["a"])
        # Who knows a as for the first time begins with an initiation.
        b.wg("set", "peer", str(a.public_key), "remove")
        b.add(peer_section(a, endpoint="192.0.2.1"))
        assert not b.reaches("10.7.0.1", seconds=3)
        assert asked.came("initiation") > 0
        kinds = ("initiation", "response", "cookie reply", "data")
        assert [heard.came(kind) for kind in kinds] == [0] * len(kinds)
        assert [asked.went(kind) for kind in kinds] == [0] * len(kinds)
        assert a.wg("show", "listen-port").strip() == "51820"
        a.wg("set", "listen-port", "4444")
        assert ":4444" not in lab["a"].run("ss", "-uln").stdout
        after = Wire(lab["a"], 4444)
        lab["a"].run("ip", "link", "set", "wg0", "up")
        until(lambda: after.went("keepalive") > 0, "the persistent keepalive goes on")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.1:4444"


def test_an_interface_whose_port_was_taken_while_it_was_down_is_given_another() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        lab["a"].run("ip", "link", "set", "wg0", "down")
        until(lambda: ":51820" not in lab["a"].run("ss", "-uln").stdout, "the port is free")
        Node(lab["a"], ("10.8.0.1",), "wg1").start().wg("show")
        lab["a"].run("ip", "link", "set", "wg0", "up")
        assert not a.reaches("10.7.0.2")
        refused = lab["a"].run("wg", "set", "wg0", "listen-port", "51820", check=False)
        assert "Address already in use" in refused.stderr
        a.wg("set", "listen-port", "4444")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.1:4444"


@pytest.mark.parametrize("state", ["never up", "down"])
@pytest.mark.parametrize("shards", ["1", "4"])
def test_deleting_an_interface_that_is_not_up_ends_the_process_too(shards: str, state: str) -> None:
    with Lab(cable()) as lab:
        lab["a"].run(OURS, "wg0", env={"WIREWRIGHT_SHARDS": shards})
        if state == "down":
            lab["a"].run("ip", "link", "set", "wg0", "up")
            lab["a"].run("wg", "show", "wg0")
            lab["a"].run("ip", "link", "set", "wg0", "down")
            lab["a"].run("wg", "show", "wg0")
        lab["a"].run("ip", "link", "delete", "wg0")
        until(lambda: not lab["a"].processes("wirewright-tun"), "the process has ended")


# Bad input.


def was_under_fire(node: Node, enough: int) -> bool:
    return turned_away(node) > enough


def test_garbage_at_line_rate_from_strangers_leaves_its_tunnel_and_others_working() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        beside(lab)
        a.ping("10.7.0.2")
        for target in ("192.0.2.2", "fd00::2"):
            enough = turned_away(b) + 1000
            flood = inside(lab["a"], "garbage", target, "51820", "3")
            for address in ("10.7.0.2", "10.8.0.2"):
                transfer(lab["a"], lab["b"], address, 300_000)
            assert int(answer(flood)) > 1000
            # Not what was sent counts, but what came through to it and was turned away.
            until(partial(was_under_fire, b, enough), "it was under fire")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.1:51820"
        assert lab["b"].processes("wirewright-tun")


def test_clients_that_stall_keep_nobody_waiting() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        other = beside(lab)
        stalling = lab["a"].popen(
            sys.executable,
            INSIDE,
            "uapi_stall",
            SOCKET,
            "40",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert stalling.stdout is not None
        assert stalling.stdout.readline() == "ready\n"
        assert set(a.show("allowed-ips")) == {str(b.public_key)}
        a.ping("10.7.0.2")
        other.ping("10.8.0.2")
        assert other.show("allowed-ips")
        stalling.communicate("")


def test_a_gigabyte_of_garbage_is_cut_short() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        other = beside(lab)
        taken = lab["a"].run(sys.executable, INSIDE, "uapi_garbage", SOCKET, "1024").stdout
        assert int(taken) < 10 << 20
        a.ping("10.7.0.2")
        other.ping("10.8.0.2")


def test_a_gigabyte_of_one_request_is_refused_time_and_again_within_the_same_memory() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        other = beside(lab)
        before = a.wg("showconf")
        held = []
        for _ in range(3):
            said = lab["a"].run(sys.executable, INSIDE, "uapi_endless", SOCKET, "1024", timeout=100).stdout
            answered, taken = said.rsplit(maxsplit=1)
            # More allowed IPs than an interface may have: ENOMEM.
            assert "errno=-12" in answered
            assert int(taken) < 1024 << 20
            held.append(resident(lab["a"]))
        # The allocator keeps some of the first for the next.
        assert held[-1] < held[0] + (16 << 10)
        assert a.wg("showconf") == before
        a.ping("10.7.0.2")
        other.ping("10.8.0.2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set=1\nprivate_key=zz\n\n", "errno=-22"),
        ("set=1\npublic_key=00\n\n", "errno=-22"),
        ("set=1\nnonsense=1\n\n", "errno=-22"),
        ("set=1\nallowed_ip=10.0.0.0/8\n\n", "errno=-71"),
        ("get=2\n\n", "errno=71"),
        ("\n\n", "errno=71"),
        ("what is this?\n\n", "errno=71"),
    ],
)
def test_a_wrong_request_gets_a_number_and_changes_nothing(text: str, expected: str) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        before = a.wg("showconf")
        said = lab["a"].python(
            "import socket, sys\ns = socket.socket(socket.AF_UNIX)\n"
            "s.settimeout(10)\ns.connect(sys.argv[1])\n"
            "s.sendall(sys.argv[2].encode())\ns.shutdown(socket.SHUT_WR)\nprint(s.makefile().read())",
            SOCKET,
            text,
        )
        assert said.stdout.split() == [expected]
        assert a.wg("showconf") == before


# Starts that cannot be.


@pytest.mark.parametrize("name", ["a name", "much-too-long-a-name", "a/b", "..", "", "wg:0", "wg%s", "wgà"])
def test_an_invalid_name_is_told(name: str) -> None:
    with Lab(cable()) as lab:
        status, said = start(lab["a"], name)
        assert status == 1
        assert said.startswith(f"wirewright-tun: {name}: ")
        assert "name of an interface" in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("wg0", "wg1"), ("--what",), ("-x", "wg0")])
def test_wrong_arguments_are_told_with_the_usage(words: tuple[str, ...]) -> None:
    with Lab(cable()) as lab:
        status, said = start(lab["a"], *words)
        assert status == 2
        assert said.startswith("usage: wirewright-tun")


def test_a_name_in_use_is_told_and_who_has_it_goes_on() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        status, said = start(lab["a"], "wg0")
        assert status == 1
        assert "wg0" in said
        assert "another program serves it" in said
        a.ping("10.7.0.2")
        assert b.received(a) > 0


@pytest.mark.parametrize("shards", ["1", "4"])
def test_the_name_of_another_kind_of_interface_is_told_and_that_goes_on(shards: str) -> None:
    with Lab(cable()) as lab:
        done = lab["a"].run(OURS, "eth0", env={"WIREWRIGHT_SHARDS": shards}, check=False, timeout=20)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("wirewright-tun: eth0: an interface of this name is there already")
        assert done.stderr.count("\n") == 1
        lab["a"].run("ping", "-n", "-c1", "-W5", "192.0.2.2")


@pytest.mark.parametrize("shards", [1, 4])
def test_a_port_in_use_is_told_by_wg_and_nothing_changes(shards: int) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab, shards=shards)
        other = beside(lab, shards)
        for family, address in (("AF_INET", "0.0.0.0"), ("AF_INET6", "::")):
            holder = inside(lab["a"], "hold", family, address, "52000")
            before = a.wg("showconf")
            refused = lab["a"].run(
                "wg",
                "set",
                "wg0",
                "listen-port",
                "52000",
                "fwmark",
                "7",
                "private-key",
                "/dev/null",
                check=False,
            )
            assert refused.returncode == 1
            assert "Address already in use" in refused.stderr
            assert a.wg("showconf") == before
            answer(holder)
        refused = lab["a"].run("wg", "set", "wg0", "listen-port", str(other.port), check=False)
        assert "Address already in use" in refused.stderr
        a.ping("10.7.0.2")
        other.ping("10.8.0.2")
        a.wg("set", "listen-port", "52000")
        a.ping("10.7.0.2")


@pytest.mark.parametrize("shards", ["1", "4"])
def test_wg_quick_fails_where_the_port_is_in_use_and_leaves_nothing(shards: str, tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        path.touch(0o600)
        path.write_text(f"[Interface]\nPrivateKey = {a.key.expose()}\nListenPort = 52000\n")
        holder = inside(lab["a"], "hold", "AF_INET", "0.0.0.0", "52000")
        environment = {"WG_QUICK_USERSPACE_IMPLEMENTATION": OURS, "WIREWRIGHT_SHARDS": shards}
        done = lab["a"].run("wg-quick", "up", str(path), env=environment, check=False)
        assert done.returncode != 0
        assert "Address already in use" in done.stderr
        until(a.is_gone, "interface and socket are gone")
        answer(holder)
        lab["a"].run("wg-quick", "up", str(path), env=environment)
        assert a.wg("show", "listen-port").strip() == "52000"


def test_without_permission_it_says_what_it_takes() -> None:
    with Lab(cable()) as lab:
        done = lab["a"].run(
            "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", OURS, "wg0", check=False
        )
        assert done.returncode == 1
        assert "root or CAP_NET_ADMIN" in done.stderr


def test_without_a_tun_device_it_says_so() -> None:
    with Lab(cable()) as lab:
        lab["a"].run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
        status, said = start(lab["a"], "wg0")
        assert status == 1
        assert "/dev/net/tun" in said
        assert "modprobe tun" in said


@pytest.mark.parametrize(
    ("options", "driver", "expected"),
    [
        # As where a container's rules forbid the device: not even root may open it.
        ("nodev", ("10", "200"), "/dev/net/tun may not be opened"),
        ("dev", ("240", "77"), "modprobe tun"),
        ("dev", ("10", "254"), "modprobe tun"),
    ],
)
def test_a_tun_device_that_cannot_be_opened_is_told_from_missing_permission(
    options: str, driver: tuple[str, str], expected: str
) -> None:
    with Lab(cable()) as lab:
        lab["a"].run("mount", "-t", "tmpfs", "-o", options, "tmpfs", "/dev/net")
        lab["a"].run("mknod", "/dev/net/tun", "c", *driver)
        status, said = start(lab["a"], "wg0")
        assert status == 1
        assert expected in said
        assert "CAP_NET_ADMIN" not in said
        assert said.count("\n") == 1


def test_a_failed_start_leaves_nothing() -> None:
    with Lab(cable()) as lab:
        lab["a"].run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/var/run/wireguard")
        status, said = start(lab["a"], "wg0")
        assert status == 1
        assert said == "wirewright-tun: wg0: /var/run/wireguard/wg0.sock: Read-only file system\n"
        assert Node(lab["a"]).is_gone()


@pytest.mark.parametrize(
    ("call", "error", "setting"),
    [
        ("inotify_init1", "EMFILE", "fs.inotify.max_user_instances"),
        ("inotify_add_watch", "ENOSPC", "fs.inotify.max_user_watches"),
    ],
)
def test_a_socket_file_that_cannot_be_watched_is_not_left_and_the_setting_is_told(
    call: str, error: str, setting: str
) -> None:
    with Lab(cable()) as lab:
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:error={error}")
        done = lab["a"].run("strace", "-f", *inject, "-o", "/dev/null", OURS, "wg0", check=False, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith("wirewright-tun: wg0: ")
        assert setting in done.stderr
        assert Node(lab["a"]).is_gone()


@pytest.mark.parametrize("variable", ["WIREWRIGHT_SHARDS", "WG_TUN_FD", "WG_UAPI_FD"])
def test_an_environment_that_makes_no_sense_is_told(variable: str) -> None:
    with Lab(cable()) as lab:
        done = lab["a"].run(OURS, "wg0", env={variable: "many"}, check=False)
        assert done.returncode == 1
        assert variable in done.stderr
        assert Node(lab["a"], INNER[0]).is_gone()
