"""systemd-resolved itself, in a host of a lab with a system bus of its own."""

from __future__ import annotations

from tests.interop.relay import until
from tests.lab.nodes import cable
from tests.lab.resolvers import systemd_resolved
from wirewright.lab import Lab, Machine

ACT = """
import socket, sys
from ipaddress import ip_address
from wirewright.host.resolver import choose
resolver = choose()
assert resolver.name == "systemd-resolved"
interface, *servers = sys.argv[1:]
index = socket.if_nametoindex(interface)
try:
    if servers:
        resolver.set(interface, index, [ip_address(server) for server in servers], ["example.com"])
    else:
        resolver.unset(interface, index)
        resolver.unset(interface, 4_000_000)
except OSError as error:
    print(error.errno, error.strerror)
"""
BAD = ACT.replace("example.com", "bad..name")


def resolved(machine: Machine) -> None:
    """Start it beside an interface that it may be told of."""
    machine.run("ip", "tuntap", "add", "wg0", "mode", "tun")
    machine.run("ip", "link", "set", "wg0", "up")
    machine.run("ip", "address", "add", "10.7.0.1/24", "dev", "wg0")
    systemd_resolved(machine)
    until(lambda: "Link" in status(machine, check=False), "it answers")


def status(machine: Machine, *, check: bool = True) -> str:
    return machine.run("resolvectl", "--no-pager", "status", "wg0", check=check).stdout


def test_an_interface_has_what_resolvectl_would_give_it_and_nothing_when_unset() -> None:
    with Lab(cable()) as lab:
        a = lab["a"]
        resolved(a)
        before = status(a)
        assert a.python(ACT, "wg0", "9.9.9.9", "2620:fe::fe").stdout == ""
        after = status(a)
        assert "DNS Servers: 9.9.9.9 2620:fe::fe" in after
        assert "DNS Domain: example.com ~." in after
        assert a.python(ACT, "wg0").stdout == ""
        assert status(a) == before
        plan = a.python(
            "from ipaddress import ip_address\nfrom wirewright.host.resolver import choose\n"
            "servers = [ip_address('9.9.9.9'), ip_address('2620:fe::fe')]\n"
            "print(*choose().describe('wg0', servers, ['example.com']), sep='\\n')"
        ).stdout
        a.run("sh", "-ec", plan)
        assert status(a) == after


def test_what_it_refuses_is_told_and_taken_back() -> None:
    with Lab(cable()) as lab:
        a = lab["a"]
        resolved(a)
        before = status(a)
        assert a.python(BAD, "wg0", "9.9.9.9").stdout.startswith("5 systemd-resolved refuses: Invalid search")
        assert status(a) == before
