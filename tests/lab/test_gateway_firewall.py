"""The firewall of a gateway in a real kernel: beside the rules of others, and gone when it goes."""

from __future__ import annotations

import json

from wirewright.lab import Host, Lab, Machine, Topology

HEAD = """
import json, sys
from ipaddress import ip_address, ip_network
from wirewright.gateway.firewall import Device, Firewall
from wirewright.gateway.policy import DEFAULT_POLICY
from wirewright.host.filtering import PacketFilter

SETTINGS = PacketFilter(
    (ip_address("10.88.0.1"), ip_address("fd88::1")), (ip_network("10.88.0.0/16"), ip_network("fd88::/64"))
)

def device(name, *addresses):
    return Device(name, tuple(map(ip_address, addresses)), DEFAULT_POLICY.allowed())

firewall = Firewall("wg0", SETTINGS)
"""
OTHERS = """
table ip filter {
    chain DOCKER-USER { }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
    }
}
table ip nat {
    chain POSTROUTING {
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "docker0" ip saddr 172.17.0.0/16 masquerade
    }
}
table inet wirewright_wg00 {
    chain guard { type filter hook prerouting priority raw; policy accept; }
}
table ip wirewright_wg0 {
    chain guard { type filter hook prerouting priority raw; policy accept; }
}
"""
FORWARDING = ("/proc/sys/net/ipv4/conf/all/forwarding", "/proc/sys/net/ipv6/conf/all/forwarding")


def lab() -> Lab:
    return Lab(Topology((), (Host("gate"),)))


def gate(lab: Lab) -> Machine:
    machine = lab["gate"]
    machine.run("ip", "tuntap", "add", "wg0", "mode", "tun")
    return machine


def ruleset(machine: Machine) -> str:
    return machine.run("nft", "--stateless", "list", "ruleset").stdout


def devices(machine: Machine) -> dict[str, str]:
    """Tell which address leads to which chain."""
    found: dict[str, str] = {}
    for name in ("devices4", "devices6"):
        listed = json.loads(
            machine.run("nft", "--json", "list", "map", "inet", "wirewright_wg0", name).stdout
        )
        elements = next(item["map"] for item in listed["nftables"] if "map" in item).get("elem", [])
        found |= {address: verdict["jump"]["target"] for address, verdict in elements}
    return found


def chains(machine: Machine) -> set[str]:
    listed = json.loads(machine.run("nft", "--json", "list", "table", "inet", "wirewright_wg0").stdout)
    names = {item["chain"]["name"] for item in listed["nftables"] if "chain" in item}
    return {name for name in names if name.startswith("device-")}


def test_rules_and_settings_of_others_are_as_they_were_when_it_is_gone() -> None:
    with lab() as there:
        machine = gate(there)
        machine.run("nft", "-f", "-", input=OTHERS)
        before = ruleset(machine)
        forwarding = machine.run("cat", *FORWARDING).stdout
        machine.python(HEAD + 'firewall.up([device("one", "10.88.0.2", "fd88::2")])')
        assert before in ruleset(machine)
        assert "table inet wirewright_wg0 {" in ruleset(machine)
        assert machine.run("cat", *FORWARDING).stdout == "1\n1\n"
        # Another process, as after a restart.
        machine.python(HEAD + "firewall.down()")
        assert ruleset(machine) == before
        assert machine.run("cat", *FORWARDING).stdout == forwarding
        machine.python(HEAD + "firewall.down()")


def test_chains_of_others_that_let_nothing_pass_are_named() -> None:
    with lab() as there:
        machine = gate(there)
        ask = HEAD + 'firewall.up([device("one", "10.88.0.2")])\nprint(firewall.closed_by())'
        assert machine.python(ask).stdout == "[]\n"
        machine.run("nft", "-f", "-", input=OTHERS)
        assert machine.python(ask).stdout == "['ip filter FORWARD']\n"


def test_what_a_gateway_left_that_was_killed_is_replaced() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(HEAD + 'firewall.up([device("old", "10.88.0.2")])')
        machine.python(HEAD + 'firewall.up([device("new", "10.88.0.3")])')
        assert devices(machine) == {"10.88.0.3": "device-new"}
        assert chains(machine) == {"device-new"}


def test_devices_come_go_and_give_each_other_their_addresses() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(
            HEAD
            + """
firewall.up([device("one", "10.88.0.2", "fd88::2"), device("two", "10.88.0.3")])
firewall.change([device("one", "10.88.0.3", "fd88::2"), device("two", "10.88.0.2")])
firewall.change([device("three", "10.88.0.2")], ["two"])
"""
        )
        assert devices(machine) == {
            "10.88.0.2": "device-three",
            "10.88.0.3": "device-one",
            "fd88::2": "device-one",
        }
        assert chains(machine) == {"device-one", "device-three"}


def test_a_change_that_the_kernel_refuses_changes_nothing() -> None:
    with lab() as there:
        machine = gate(there)
        said = machine.python(
            HEAD
            + """
firewall.up([device("one", "10.88.0.2"), device("two", "10.88.0.3")])
try:
    firewall.change([device("three", "10.88.0.3")], ["one"])
except OSError as error:
    print(error.strerror)
firewall.change([device("four", "10.88.0.4")], ["one"])
"""
        ).stdout
        assert "two devices have one address" in said
        assert devices(machine) == {"10.88.0.3": "device-two", "10.88.0.4": "device-four"}


def test_many_devices_come_in_one_transaction() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(
            HEAD
            + """
firewall.up(device(f"number-{number}", str(ip_address("10.88.1.0") + number)) for number in range(2000))
firewall.change([device("last", "10.88.0.2")], ["number-7"])
"""
        )
        found = devices(machine)
        assert len(found) == 2000
        assert found["10.88.0.2"] == "device-last"
        assert "10.88.1.7" not in found
