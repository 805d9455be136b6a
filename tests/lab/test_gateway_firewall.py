"""The firewall of a gateway in a real kernel: beside the rules of others, and gone when it goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wirewright.lab import Host, Lab, Machine, Topology

HEAD = """
import json, sys
from dataclasses import replace
from ipaddress import ip_address, ip_network
from wirewright.gateway.firewall import Device, Firewall
from wirewright.gateway.policy import DEFAULT_POLICY
from wirewright.host.filtering import AllowRule, PacketFilter

SETTINGS = PacketFilter(
    (ip_address("10.88.0.1"), ip_address("fd88::1")), (ip_network("10.88.0.0/16"), ip_network("fd88::/64"))
)

def device(name, *addresses):
    return Device(name, tuple(map(ip_address, addresses)), DEFAULT_POLICY.allowed())

def only(number, device):
    return replace(device, allowed=(AllowRule(ip_network(f"192.0.2.{number}")),))

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


class Listed:
    """The gateway's table as nft(8) shows it."""

    def __init__(self, machine: Machine) -> None:
        said = machine.run("nft", "--json", "list", "table", "inet", "wirewright_wg0").stdout
        self._items = json.loads(said)["nftables"]
        self.chains = {name for name in self._names("chain") if name.startswith("policy-")}
        self.sets = {name for name in self._names("set") if name.startswith("policy-")}

    def devices(self) -> dict[str, str]:
        """Tell by address what a device's policy allows: the last number of an address, or "world"."""
        found: dict[str, str] = {}
        for item in self._of("map"):
            if item["name"] in ("devices4", "devices6"):
                found |= {address: verdict["jump"]["target"] for address, verdict in item.get("elem", [])}
        elements = {item["name"]: item.get("elem", []) for item in self._of("set")}
        for chain in ("common4", "common6"):
            for match, jump in self.rules(chain):
                assert match["match"]["left"]["ct"]["dir"] == "original"
                addresses = elements.pop(match["match"]["right"].removeprefix("@"))
                assert not found.keys() & addresses, "an address in two places"
                found |= dict.fromkeys(addresses, jump["jump"]["target"])
        assert elements.keys() == {"flows4", "flows6"}, "a set to which no rule leads"
        return {address: self._allows(chain) for address, chain in found.items()}

    def rules(self, chain: str) -> list[Any]:
        return [item["expr"] for item in self._of("rule") if item["chain"] == chain]

    def _allows(self, chain: str) -> str:
        accepted = [rule[0]["match"]["right"] for rule in self.rules(chain) if "accept" in rule[-1]]
        (named,) = [each for each in accepted if str(each).startswith("192.0.2.")] or ["world"]
        return str(named).removeprefix("192.0.2.")

    def _of(self, kind: str) -> list[Any]:
        return [item[kind] for item in self._items if kind in item]

    def _names(self, kind: str) -> list[str]:
        return [item["name"] for item in self._of(kind)]


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
        machine.python(
            HEAD + 'firewall.up([device("old", "10.88.0.2"), only(22, device("ssh", "10.88.0.4"))])'
        )
        machine.python(HEAD + 'firewall.up([device("new", "10.88.0.3")])')
        listed = Listed(machine)
        assert listed.devices() == {"10.88.0.3": "world"}
        assert len(listed.chains) == 1


def test_devices_come_go_and_give_each_other_their_addresses() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(
            HEAD
            + """
firewall.up([device("one", "10.88.0.2", "fd88::2"), only(22, device("two", "10.88.0.3"))])
firewall.change([device("one", "10.88.0.3", "fd88::2"), only(22, device("two", "10.88.0.2"))])
firewall.change([only(80, device("three", "10.88.0.2"))], ["two"])
"""
        )
        listed = Listed(machine)
        assert listed.devices() == {"10.88.0.2": "80", "10.88.0.3": "world", "fd88::2": "world"}
        assert len(listed.chains) == 2
        assert len(listed.sets) == 4


def test_who_gets_an_address_of_another_does_not_get_their_flows() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(
            HEAD
            + """
import subprocess
firewall.up([device("one", "10.88.0.2"), device("two", "10.88.0.3")])
counted = "{ 10.88.0.2 ct count 4096, 10.88.0.3 ct count 4096 }"
subprocess.run(["nft", f"add element inet wirewright_wg0 flows4 {counted}"], check=True)
firewall.change([device("three", "10.88.0.2"), device("four", "10.88.0.4")], ["one"])
# With another policy it is no other device.
firewall.change([only(22, device("two", "10.88.0.3"))])
"""
        )
        listed = machine.run("nft", "list", "set", "inet", "wirewright_wg0", "flows4").stdout
        assert "10.88.0.3 ct count 4096" in listed
        assert "10.88.0.2" not in listed


def test_a_change_that_is_refused_changes_nothing() -> None:
    with lab() as there:
        machine = gate(there)
        said = machine.python(
            HEAD
            + """
firewall.up([device("one", "10.88.0.2"), only(22, device("two", "10.88.0.3"))])
for put in device("three", "10.88.0.3"), only(80, device("three", "10.88.0.3")):
    try:
        firewall.change([put], ["one"])
    except OSError as error:
        print(error.strerror)
firewall.change([device("four", "10.88.0.4")], ["one"])
"""
        ).stdout
        assert said == "two devices have one address (10.88.0.3)\n" * 2
        assert Listed(machine).devices() == {"10.88.0.3": "22", "10.88.0.4": "world"}


def test_a_change_that_the_kernel_refuses_changes_nothing() -> None:
    with lab() as there:
        machine = gate(there)
        said = machine.python(
            HEAD
            + """
import subprocess
firewall.up([device("zero", "10.88.0.9"), device("one", "10.88.0.2"), only(22, device("two", "10.88.0.3"))])
def nft(verb):
    place = ["element", "inet", "wirewright_wg0", "policy-1-4", "{ 10.88.0.2 }"]
    subprocess.run(["nft", verb, *place], check=True)
nft("delete")
try:
    firewall.change([only(80, device("three", "10.88.0.5"))], ["one", "two"])
except OSError as error:
    print(error.strerror)
nft("add")
firewall.change([device("four", "10.88.0.4")], ["one"])
"""
        ).stdout
        assert "refuses a part of the firewall (addresses of devices)" in said
        assert Listed(machine).devices() == {"10.88.0.9": "world", "10.88.0.3": "22", "10.88.0.4": "world"}


def test_many_devices_come_in_one_transaction() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(
            HEAD
            + """
firewall.up(only(number % 40, device(f"number-{number}", str(ip_address("10.88.1.0") + number)))
            for number in range(2000))
firewall.change([device("last", "10.88.0.2")], ["number-7"])
"""
        )
        listed = Listed(machine)
        found = listed.devices()
        assert len(found) == 2000
        assert found["10.88.0.2"] == "world"
        assert "10.88.1.7" not in found
        assert found["10.88.1.8"] == "8"
        assert found["10.88.1.39"] == "39"
        assert len(listed.chains) == 41
        assert len(listed.sets) == 32


@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_the_kernel_takes_it_and_each_address_leads_to_its_devices_policy(seed: int) -> None:
    with lab() as there:
        machine = gate(there)
        said = machine.python(
            HEAD
            + f"""
import random
from wirewright.gateway.firewall import policies
policies.COMMON, policies.MANY = 3, 4
chance = random.Random({seed})
devices = {{}}
"""
            + """
firewall.up()
for step in range(150):
    put = {}
    for number in chance.sample(range(40), chance.choice([0, 1, 1, 1, 6])):
        addresses = [f"10.88.0.{2 + number}", f"fd88::{2 + number}"][: chance.randint(0, 2)]
        allowed = chance.randint(1, 3 + step // 20)
        put[f"number-{number}"] = only(allowed, device(f"number-{number}", *addresses))
    removed = [f"number-{number}" for number in chance.sample(range(40), chance.choice([0, 1, 4]))]
    firewall.change(list(put.values()), removed)
    devices = {name: each for name, each in devices.items() if name not in removed} | put
print(json.dumps({str(address): each.allowed[0].network.network_address.packed[3] for each in devices.values()
                  for address in each.addresses}))
"""
        ).stdout
        listed = Listed(machine)
        devices = {address: str(number) for address, number in json.loads(said).items()}
        assert len(devices) > 10
        assert listed.devices() == devices
        assert len(listed.sets) == 6


def test_nft_shows_the_table_and_takes_what_it_shows() -> None:
    with lab() as there:
        machine = gate(there)
        machine.python(
            HEAD
            + """
firewall.up(only(1 + number % 20, device(f"number-{number}", f"10.88.0.{2 + number}", f"fd88::{2 + number}"))
            for number in range(60))
"""
        )
        shown = ruleset(machine)
        assert "ct original ip6 saddr @policy-16-6 jump policy-16" in shown
        assert "add @flows6 { ct original ip6 saddr ct count 4096 } return" in shown
        machine.run("nft", "--check", "-f", "-", input=shown)
