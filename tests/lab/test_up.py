"""`ww up` and `ww down` in a host: what they change, and that nothing of it is left."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.lab.nodes import INNER, OURS, OUTER, Node, cable, peer_section, until
from tests.lab.resolvers import install, openresolv, read, write
from wirewright.keys import SecretKey
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


def ww_out(machine: Machine, *words: str) -> str:
    """Run `ww` and return what it wrote."""
    return machine.run(str(WW), *words).stdout


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
        openresolv(lab["a"])
        lab["a"].run("resolvconf", "-a", "eth0", input="nameserver 192.0.2.53\nsearch home.example\n")
        more = "DNS = 10.7.0.2, example\nPreUp = true\nPostUp = true\nPreDown = true"
        peer = peer_section(
            b, endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0", "10.9.0.0/16", "10.7.0.0/25")
        )
        file = file_for(a, tmp_path, peer, more=more)
        said = lab["a"].run(sys.executable, str(HERE / "rollback.py"), str(file), timeout=500).stdout
        assert int(said.split()[0]) >= 18


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


def test_hooks_run_in_their_order_and_know_the_interface(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        name = "a_=+.-123456789"
        assert len(name) == 15
        a, said = Node(lab["a"], name=name), tmp_path / "said"
        hooks = ("PreUp", "PreUp", "PostUp", "PostUp", "PreDown", "PostDown")
        lines = [
            f"{hook} = echo {number} %i $(ip -o link show %i 2>/dev/null | wc -l) >> {said}"
            for number, hook in enumerate(hooks)
        ]
        file = file_for(a, tmp_path, more="\n".join(lines))
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        ww(lab["a"], "down", str(file))
        there = (0, 0, 1, 1, 1, 0)
        assert said.read_text().splitlines() == [f"{i} {name} {is_there}" for i, is_there in enumerate(there)]
        assert a.is_gone()


def test_a_hook_that_fails_undoes_all_and_is_named(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path, more="PostUp = exit 3")
        with pytest.raises(RunError, match="exit 3: the hook failed, exit status 3; everything was undone"):
            ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert a.is_gone()


def test_a_key_in_a_hook_is_in_no_argument(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, said = Node(lab["a"]), tmp_path / "said"
        key = SecretKey.generate().expose()
        file = file_for(
            a, tmp_path, more=f"PostUp = : {key}; cat /proc/$$/cmdline /proc/$PPID/cmdline > {said}"
        )
        shown = ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert "cmdline" in shown
        assert key not in shown
        assert b"ww" in said.read_bytes()
        assert key.encode() not in said.read_bytes()
        ww(lab["a"], "down", str(file))


@pytest.mark.parametrize(("table", "where"), [("off", None), ("auto", "main"), ("1234", "1234")])
def test_routes_go_where_the_file_says(table: str, where: str | None, tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        networks = ("10.9.0.0/16", "fd09::/64")
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=networks)
        file = file_for(a, tmp_path, peer, more=f"Table = {table}")
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        for family, network in zip("46", networks, strict=True):
            shown = lab["a"].run("ip", f"-{family}", "route", "show", "table", "all", network).stdout
            if where is None:
                assert network not in shown
            else:
                assert network in shown
                assert (f"table {where}" in shown) == (where != "main")
        ww(lab["a"], "down", str(file))


def test_the_mtu_is_the_file_s_or_what_the_way_to_the_peers_carries(tmp_path: Path) -> None:
    with Lab(cable(mtu=1400)) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("10.9.0.0/16",))
        for more, mtu in (("", 1320), ("MTU = 1300", 1300)):
            file = file_for(a, tmp_path, peer, more=more)
            ww(lab["a"], "up", str(file), "--engine", "wirewright")
            assert f"mtu {mtu} " in lab["a"].run("ip", "-o", "link", "show", "wg0").stdout
            ww(lab["a"], "down", str(file))


@pytest.mark.parametrize(("addresses", "mtu"), [("10.7.0.1/24", 1220), ("10.7.0.1/24, fd07::1/64", 1280)])
def test_the_mtu_is_not_below_what_is_inside_takes(addresses: str, mtu: int, tmp_path: Path) -> None:
    with Lab(cable(mtu=1300)) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("10.9.0.0/16",))
        file = file_for(a, tmp_path, peer, addresses=addresses)
        assert f"ip link set mtu {mtu} up" in ww_out(lab["a"], "up", str(file), "--dry-run")


def test_ipv6_alone_inside_and_outside(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = Node(lab["a"], ("fd07::1",)), Node(lab["b"], addresses=("fd07::2", "2001:db8::9"))
        b.start().setconf(peer_section(a))
        peer = peer_section(b, endpoint=OUTER[6][1], allowed=("::/0",))
        file = file_for(a, tmp_path, peer, addresses="fd07::1/64")
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        a.ping("2001:db8::9")
        assert lab["a"].run("ip", "-4", "rule").stdout.count("\n") == 3
        ww(lab["a"], "down", "wg0")
        assert a.is_gone()


def test_an_address_twice_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path, addresses="10.7.0.1/24, 10.7.0.1/24")
        with pytest.raises(RunError, match=r"10\.7\.0\.1/24.*File exists; everything was undone"):
            ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert a.is_gone()


def test_wrong_words_are_told(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        file = file_for(Node(lab["a"]), tmp_path)
        for words, said in (
            (("up", str(file), "--engine", "kernel"), "this kernel has no WireGuard"),
            (("up", str(file), "--engine", "other"), "there is no engine 'other'"),
            (("up", "nowhere"), "nowhere.conf: No such file"),
            (("up", str(tmp_path)), "neither the name of an interface nor a file that ends in .conf"),
            (("up", str(tmp_path / "a-name-that-is-too-long.conf")), "cannot be the name of an interface"),
            (("down", "wg0"), "wg0 is not a WireGuard interface"),
            (("down", "eth0"), "eth0 is not a WireGuard interface"),
        ):
            outcome = lab["a"].run(str(WW), *words, check=False)
            assert outcome.returncode in {1, 2}
            assert said in outcome.stderr, words
            assert "Traceback" not in outcome.stderr


def test_a_file_that_others_can_read_is_warned_of(open_folder: Path) -> None:
    with Lab(cable()) as lab:
        file = file_for(Node(lab["a"]), open_folder)
        assert "Warning" not in ww(lab["a"], "up", str(file), "--dry-run")
        file.chmod(0o644)
        assert f"other users may read or write {file}" in ww(lab["a"], "up", str(file), "--dry-run")


@pytest.mark.parametrize("up", ["ww", "wg-quick"])
def test_what_one_set_up_the_other_takes_down(up: str, tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0"))
        file = file_for(a, tmp_path, peer)
        look = "ip -4 rule; ip -6 rule; nft list ruleset; ip -4 route show table all; ip -o link | wc -l"
        before = lab["a"].run("sh", "-c", look).stdout
        quick = {"WG_QUICK_USERSPACE_IMPLEMENTATION": OURS}
        commands = {"ww": (str(WW),), "wg-quick": ("wg-quick",)}
        down = next(name for name in commands if name != up)
        lab["a"].run(*commands[up], "up", str(file), env=quick)
        assert lab["a"].run("sh", "-c", look).stdout != before
        lab["a"].run(*commands[down], "down", str(file), env=quick)
        if down == "wg-quick":
            # It does not know the table that we guard with.
            lab["a"].run(
                "sh", "-c", "nft delete table ip wirewright-wg0; nft delete table ip6 wirewright-wg0"
            )
        assert lab["a"].run("sh", "-c", look).stdout == before


def test_the_environment_of_the_caller_does_not_reach_the_engine(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path)
        strange = {"LOG_LEVEL": "debug", "WG_PROCESS_FOREGROUND": "1", "WG_TUN_FD": "7"}
        lab["a"].run(str(WW), "up", str(file), "--engine", "wirewright", env=strange)
        ww(lab["a"], "down", str(file))
        assert a.is_gone()


def test_a_part_of_a_hook_that_fails_is_a_failure(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        for more in ("PostUp = false; true", "PostUp = false | true"):
            file = file_for(a, tmp_path, more=more)
            with pytest.raises(RunError, match="the hook failed, exit status 1; everything was undone"):
                ww(lab["a"], "up", str(file), "--engine", "wirewright")
            assert a.is_gone()


def test_what_a_hook_starts_does_not_keep_its_text(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, said = Node(lab["a"]), tmp_path / "said"
        more = f"PostUp = sh -c 'ls -l /proc/self/fd' > {said}"
        file = file_for(a, tmp_path, more=more)
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert "memfd" not in said.read_text()
        ww(lab["a"], "down", str(file))


def test_rules_of_others_stay(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("0.0.0.0/0",))
        rules = "ip -4 rule; ip -6 rule"
        for rule in (
            "rule add from 10.0.0.5 table main suppress_prefixlength 0 pref 100",
            "rule add iif lo not fwmark 51820 table 51820 pref 101",
        ):
            lab["a"].run("ip", *rule.split())
        before = lab["a"].run("sh", "-c", rules).stdout
        file = file_for(a, tmp_path, peer)
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        ww(lab["a"], "down", str(file))
        assert lab["a"].run("sh", "-c", rules).stdout == before


def test_rules_that_a_hook_made_for_a_table_of_its_own_stay_until_its_other_hook(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("0.0.0.0/0",))
        rule = "not fwmark 51820 table 51820"
        more = f"Table = off\nFwMark = 51820\nPostUp = ip rule add {rule}\nPostDown = ip rule del {rule}"
        file = file_for(a, tmp_path, peer, more=more)
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        ww(lab["a"], "down", str(file))
        assert lab["a"].run("ip", "rule").stdout.count("\n") == 3


def test_what_is_left_by_an_engine_that_died_is_taken_down(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"], program="/wirewright-tun")
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0"))
        file = file_for(a, tmp_path, peer)
        look = "ip -4 rule; ip -6 rule; nft list ruleset; sysctl net.ipv4.conf.all.src_valid_mark"
        before = lab["a"].run("sh", "-c", look).stdout
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        [engine] = lab["a"].processes("python3") or lab["a"].processes(Path(sys.executable).name)
        os.kill(engine, signal.SIGKILL)
        until(lambda: not a.is_there(), "the interface goes with its process")
        assert lab["a"].run("sh", "-c", look).stdout != before
        ww(lab["a"], "down", str(file))
        assert lab["a"].run("sh", "-c", look).stdout == before


def test_servers_of_names_go_with_an_engine_that_died(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"], program="/wirewright-tun")
        install(lab["a"], "openresolv")
        before = "nameserver 192.0.2.53\n"
        write(lab["a"], "/etc/resolv.conf", before)
        file = file_for(a, tmp_path, more="DNS = 9.9.9.9")
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert "9.9.9.9" in read(lab["a"], "/etc/resolv.conf")
        [engine] = lab["a"].processes("python3") or lab["a"].processes(Path(sys.executable).name)
        os.kill(engine, signal.SIGKILL)
        until(lambda: not a.is_there(), "the interface goes with its process")
        # Also if the file says no more that there were some.
        file.write_text(file.read_text().replace("DNS = 9.9.9.9", ""))
        ww(lab["a"], "down", str(file))
        assert read(lab["a"], "/etc/resolv.conf") == before
        assert lab["a"].run("sh", "-c", "ls /run/wirewright", check=False).stdout == ""


def test_search_domains_alone_need_no_resolver(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path, more="DNS = example.com")
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        ww(lab["a"], "down", str(file))
        assert a.is_gone()


def test_two_full_tunnels_that_are_planned_at_once_get_two_tables(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        first, second = Node(lab["a"]), Node(lab["a"], name="wg1")
        b = Node(lab["b"])
        peer = peer_section(b, endpoint=OUTER[4][1], allowed=("::/0",))
        other = file_for(second, tmp_path, peer, port=51821, addresses="fd08::1/64")
        # When this runs, the first is planned, and nothing of it is done.
        more = f"PreUp = {WW} up {other} --engine wirewright"
        peer = peer_section(b, endpoint=OUTER[4][1], allowed=("0.0.0.0/0",))
        file = file_for(first, tmp_path, peer, more=more, addresses="10.7.0.1/24")
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        assert [node.wg("show", "fwmark").strip() for node in (first, second)] == ["0xca6c", "0xca6d"]
        for node in (first, second):
            ww(lab["a"], "down", str(tmp_path / f"{node.name}.conf"))
        for family in "46":
            assert lab["a"].run("ip", f"-{family}", "rule").stdout.count("\n") == 3 - (family == "6")


def test_a_file_that_got_a_mistake_is_no_reason_to_stay_up(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        peer = peer_section(Node(lab["b"]), endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0"))
        file = file_for(a, tmp_path, peer, more=f"PostDown = touch {tmp_path}/ran")
        look = "ip -4 rule; ip -6 rule; nft list ruleset; sysctl net.ipv4.conf.all.src_valid_mark"
        before = lab["a"].run("sh", "-c", look).stdout
        ww(lab["a"], "up", str(file), "--engine", "wirewright")
        file.write_text(file.read_text().replace("ListenPort = 51820", "ListenPort = many"))
        with pytest.raises(RunError, match="ListenPort"):
            ww(lab["a"], "save", str(file))
        for words in (("--dry-run",), ()):
            assert not a.is_gone()
            said = ww(lab["a"], "down", str(file), *words)
            assert "ListenPort" in said
            assert "its commands (PreDown, PostDown) are not run" in said
        assert a.is_gone()
        assert lab["a"].run("sh", "-c", look).stdout == before
        assert not (tmp_path / "ran").exists()


TAKEN = """
import socket, sys
from wirewright.tunnel.system import Interface, steps

holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
do = steps.BringUp.do

def late(self, host):
    holder.bind(("0.0.0.0", 51820))
    do(self, host)

steps.BringUp.do = late
Interface.from_file(sys.argv[1], engine="wirewright").up()
"""


def test_a_port_that_is_taken_on_the_way_is_told_and_undoes_all(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path)
        with pytest.raises(RunError, match="another program has UDP port 51820; everything was undone"):
            lab["a"].python(TAKEN, str(file))
        assert a.is_gone()
