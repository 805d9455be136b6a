"""The firewall of a full tunnel: wg-quick's rules, and what they do to packets."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.interop.relay import until
from tests.lab.nodes import INNER, OURS, Node, cable, inside, peer_section
from wirewright.lab import Lab, Machine

GUARD = """
import sys
from ipaddress import ip_address
from wirewright.host.firewall import guard
name, mark, *addresses = sys.argv[1:]
for version in (4, 6):
    guard(name, int(mark), map(ip_address, addresses), version)
"""
TOLD = """
from ipaddress import ip_address
from wirewright.host import firewall
def told(call, *arguments):
    try:
        print(call(*arguments))
    except OSError as error:
        print(type(error).__name__, error.errno, error.strerror)
own = [ip_address("10.7.0.1"), ip_address("fd07::1")]
"""
ALL = f"""{TOLD}
told(firewall.guard, "wg0", 1, own, 4)
told(firewall.unguard, "wg0")
told(firewall.guarded, "wg0")
"""
OTHERS = """
table ip wirewright-wg00 {
    chain preraw { type filter hook prerouting priority raw; policy accept; }
}
table inet wirewright-wg0 {
    chain input { type filter hook input priority filter; policy accept; udp dport 7 drop; }
}
table ip6 wg-quick-wg0 {
    chain preraw { type filter hook prerouting priority raw; policy accept; }
}
"""
COUNTERS = """
table ip count {
    counter marked { }
    counter answers { }
    chain prerouting {
        type filter hook prerouting priority 0; policy accept;
        udp sport 7000 counter name answers
        udp sport 7000 meta mark 51820 counter name marked
    }
}
"""
ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.setsockopt(socket.SOL_SOCKET, 36, int(sys.argv[1]))  # SO_MARK
    asking.settimeout(20)
    asking.sendto(b"?", ("192.0.2.2", 7000))
    print(asking.recv(9))
"""


def guard(machine: Machine, *addresses: str, name: str = "wg0", mark: int = 51820) -> None:
    machine.python(GUARD, name, str(mark), *addresses)


def unguard(machine: Machine, name: str = "wg0") -> None:
    machine.python(f"from wirewright.host.firewall import unguard; unguard({name!r})")


def guarded(machine: Machine, name: str = "wg0") -> bool:
    said = machine.python(f"from wirewright.host.firewall import guarded; print(guarded({name!r}))").stdout
    return {"True\n": True, "False\n": False}[said]


def ruleset(machine: Machine) -> str:
    """List the tables of both families, each rule also as the kernel executes it, but no numbers of order."""
    written = "".join(machine.run("nft", "list", "ruleset", family).stdout for family in ("ip", "ip6"))
    both = machine.run("nft", "--debug=netlink", "list", "ruleset").stdout.removesuffix(
        machine.run("nft", "list", "ruleset").stdout
    )
    executed = sorted(both.split("\n\n"), key=lambda rule: rule.split(" ")[0])
    return written + re.sub(r"^(ip6? \S+ \S+) [0-9 ]+$", r"\1", "\n\n".join(executed), flags=re.MULTILINE)


def with_tunnel(machine: Machine) -> None:
    """Give a host an interface with inner addresses; no packet leaves by it."""
    machine.run("ip", "tuntap", "add", "wg0", "mode", "tun")
    for address in ("10.7.0.1/24", "fd07::1/64"):
        machine.run("ip", "address", "add", address, "dev", "wg0")
    machine.run("ip", "link", "set", "wg0", "up")


def reaches(machine: Machine, address: str) -> bool:
    return machine.run("ping", "-n", "-c1", "-W1", address, check=False).returncode == 0


def test_the_rules_are_those_that_wg_quick_loads(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        here, there = Node(lab["a"], INNER[0], "world"), Node(lab["b"], INNER[1])
        path = tmp_path / "world.conf"
        path.write_text(
            here.interface_section()
            + "Address = 10.7.0.1/24, 10.7.9.9/32, fd07::1/64\n"
            + peer_section(there, endpoint="192.0.2.2", allowed=["0.0.0.0/0", "::/0"])
        )
        path.chmod(0o600)
        lab["a"].run("wg-quick", "up", str(path), env={"WG_QUICK_USERSPACE_IMPLEMENTATION": OURS})
        (shown,) = json.loads(lab["a"].run("ip", "-json", "address", "show", "dev", "world").stdout)
        addresses = [address["local"] for address in shown["addr_info"]]
        assert {"10.7.0.1", "10.7.9.9", "fd07::1"} <= set(addresses)
        guard(lab["b"], *addresses, name="world", mark=0xCA6C)
        theirs = ruleset(lab["a"])
        assert theirs.count("[ fib saddr type => reg 1 ]") == len(addresses)
        assert ruleset(lab["b"]) == theirs.replace("wg-quick-world", "wirewright-world")
        lab["a"].run("wg-quick", "down", str(path))
        until(here.is_gone, "interface and socket are gone")


@pytest.mark.parametrize("address", ["10.7.0.1", "fd07::1"])
def test_a_packet_from_outside_to_an_inner_address_is_dropped_while_guarded(address: str) -> None:
    with Lab(cable()) as lab:
        with_tunnel(lab["a"])
        lab["b"].run("ip", "route", "add", "10.7.0.0/24", "via", "192.0.2.1")
        lab["b"].run("ip", "route", "add", "fd07::/64", "via", "fd00::1")
        assert reaches(lab["b"], address)
        guard(lab["a"], "10.7.0.1", "fd07::1")
        assert guarded(lab["a"])
        assert not reaches(lab["b"], address)
        # Other addresses of the host are reached, and it reaches its own.
        assert reaches(lab["b"], "192.0.2.1")
        assert reaches(lab["b"], "fd00::1")
        assert reaches(lab["a"], address)
        unguard(lab["a"])
        assert not guarded(lab["a"])
        assert reaches(lab["b"], address)


def test_answers_to_datagrams_with_the_mark_are_marked() -> None:
    with Lab(cable()) as lab:
        guard(lab["a"], "10.7.0.1")
        lab["a"].run("nft", "-f", "-", input=COUNTERS)
        server = inside(lab["b"], "echo")

        def counted() -> dict[str, int]:
            said = json.loads(lab["a"].run("nft", "-j", "list", "counters").stdout)["nftables"]
            return {each["counter"]["name"]: each["counter"]["packets"] for each in said if "counter" in each}

        lab["a"].python(ASK, "51820")
        assert counted() == {"answers": 1, "marked": 1}
        lab["a"].python(ASK, "7")
        assert counted() == {"answers": 2, "marked": 1}
        unguard(lab["a"])
        lab["a"].python(ASK, "51820")
        assert counted() == {"answers": 3, "marked": 1}
        server.kill()
        server.communicate()


def test_tables_of_others_stay_as_they_are() -> None:
    with Lab(cable()) as lab:
        lab["a"].run("nft", "-f", "-", input=OTHERS)
        names = ("ip wirewright-wg00", "inet wirewright-wg0", "ip6 wg-quick-wg0")

        def others() -> list[str]:
            return [lab["a"].run("nft", "-a", "list", "table", *name.split()).stdout for name in names]

        before, tables = others(), lab["a"].run("nft", "list", "tables").stdout
        guard(lab["a"], "10.7.0.1", "fd07::1")
        guard(lab["a"], "10.8.0.1", name="wg1", mark=7)
        unguard(lab["a"], "wg1")
        assert guarded(lab["a"])
        assert not guarded(lab["a"], "wg1")
        assert others() == before
        unguard(lab["a"])
        assert others() == before
        assert lab["a"].run("nft", "list", "tables").stdout == tables
        # Nothing is there to remove, and nothing is said.
        unguard(lab["a"])
        assert lab["a"].run("nft", "list", "tables").stdout == tables


def test_a_second_guard_takes_the_place_of_the_first() -> None:
    with Lab(cable()) as lab:
        guard(lab["a"], "10.7.0.1", "10.7.0.2")
        guard(lab["b"], "10.7.0.3", mark=7)
        guard(lab["a"], "10.7.0.3", mark=7)
        assert ruleset(lab["a"]) == ruleset(lab["b"])


def test_where_a_part_is_refused_nothing_is_changed_and_the_part_is_told() -> None:
    with Lab(cable()) as lab:
        guard(lab["a"], "10.7.0.9")
        before = ruleset(lab["a"])
        # As a kernel answers whose modules are not all there.
        said = lab["a"].python(
            TOLD
            + "firewall._give_mark = lambda: ('the rule', [{'attrs': [('NFTA_EXPR_NAME', 'nonsense')]}])\n"
            "told(firewall.guard, 'wg0', 51820, own, 4)\n"
            "told(firewall.guard, 'wg1', 51820, own, 6)\n"
        )
        line = "OSError 95 this kernel's nf_tables cannot do what a full tunnel is guarded with (the rule)\n"
        assert said.stdout == line * 2
        assert ruleset(lab["a"]) == before


def test_without_permission_it_says_what_it_takes() -> None:
    with Lab(cable()) as lab:
        said = lab["a"].run(
            "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", ALL
        )
        line = "PermissionError 1 to change or see the firewall takes root (CAP_NET_ADMIN)\n"
        assert said.stdout == line * 3


def test_where_the_kernel_has_no_netfilter_it_says_so_and_has_nothing_to_remove() -> None:
    with Lab(cable()) as lab:
        said = lab["a"].run(
            *("strace", "-f", "-o/dev/null", "-etrace=socket", "-einject=socket:error=EPROTONOSUPPORT"),
            *(sys.executable, "-c", ALL),
        )
        words = "this kernel has no nf_tables, with which a full tunnel is guarded"
        assert said.stdout == f"OSError 95 {words}\nNone\nFalse\n"


def test_an_interface_may_have_hundreds_of_addresses() -> None:
    with Lab(cable()) as lab:
        guard(lab["a"], *(f"10.7.{number // 200}.{number % 200 + 1}" for number in range(400)))
        assert ruleset(lab["a"]).count("saddr type != local drop") == 400
