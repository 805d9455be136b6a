"""The firewall of a gateway alone: what one change of a device costs among many, and what a packet costs.

There is neither a coordinator nor an engine, but a host with the table, and a device on a link of its. All is
processor time of one process with what the kernel did on its account: of the one that makes the changes, and
of the one that sends the packets, which also pays for their way through the table. Prints one JSON object a
measurement. Takes root.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wirewright.gateway.firewall import Device, Firewall, Surroundings
from wirewright.gateway.firewall.policies import COMMON
from wirewright.host.filtering import AllowRule, PacketFilter, PortRange, Protocol
from wirewright.lab import Lab, Link, Topology, at

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.gateway.firewall.policies import Allowed
    from wirewright.lab import Machine

HERE: Final = str(Path(__file__).resolve())
TOPOLOGY: Final = Topology(
    (
        Link(at("phone", "10.88.255.2/30"), at("gate", "10.88.255.1/30")),
        Link(at("shop", "198.51.100.7/24"), at("gate", "198.51.100.1/24")),
    )
)
SETTINGS: Final = PacketFilter(
    (ip_address("10.88.0.1"), ip_address("fd88::1")), (ip_network("10.88.0.0/16"), ip_network("fd88::/64"))
)
CROWDS: Final = ((100, 4, 0), (1000, 4, 0), (5000, 4, 0), (100, 16, 0), (5000, 16, 0), (5000, 16, 1000))
"""Devices, the policies that they share, and how many devices have one of their own besides."""
POSITIONS: Final = (0, 1, 4, 8, COMMON, COMMON + 1)
"""Of the phone's policy among those that are looked at: 0 if none is; after the last set comes the map."""
OWN: Final = 10_000
"""Where the numbers of policies begin that one device has."""

ANSWER = """
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("198.51.100.7", 7000))
print("ready", flush=True)
receiver.sendto(b"", receiver.recvfrom(2048)[1])
# What else comes is dropped where it would wait.
input()
"""
SEND = """
import socket, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("198.51.100.7", 7000))
sender.send(bytes(64))
sender.settimeout(10)
sender.recv(64)
for count in (2_000, int(sys.argv[1])):
    began = time.process_time()
    for _ in range(count):
        sender.send(bytes(64))
    spent = time.process_time() - began
print(spent / count * 1e6)
"""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4, help="in which all take turns")
    parser.add_argument("--packets", type=int, default=50_000, help="in a round")
    options = parser.parse_args()
    with Lab(TOPOLOGY) as lab:
        gate, phone = lab["gate"], lab["phone"]
        phone.run("ip", "route", "add", "default", "via", "10.88.255.1")
        lab["shop"].run("ip", "route", "add", "default", "via", "198.51.100.1")
        link = gate.run("ip", "-o", "route", "get", "10.88.255.2").stdout.split(" dev ")[1].split()[0]
        gate.run("ip", "link", "set", link, "down")
        gate.run("ip", "link", "set", link, "name", "wg0", "up")
        gate.run("sysctl", "-q", "net.ipv4.conf.all.forwarding=1")
        for _, crowd in product(range(options.rounds), CROWDS):
            print(said(gate, "change", *crowd), end="", flush=True)
        spent: dict[int, list[float]] = {position: [] for position in POSITIONS}
        for _, position in product(range(options.rounds), POSITIONS):
            said(gate, "judge", position)
            spent[position].append(a_packet(lab, options.packets))
    for position, times in spent.items():
        print(json.dumps({"bench": "packet", "looked_at": position} | summary(times)), flush=True)


def said(machine: Machine, *words: object) -> str:
    """Play a role in a host; return what it says."""
    return machine.run(sys.executable, HERE, *map(str, words)).stdout


def a_packet(lab: Lab, count: int) -> float:
    """Send packets of one flow through the firewall; return what one took, in microseconds."""
    words = (sys.executable, "-c", ANSWER)
    answering = lab["shop"].popen(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert answering.stdout is not None
    answering.stdout.readline()
    try:
        return float(lab["phone"].python(SEND, str(count)).stdout)
    finally:
        answering.communicate("\n")


def change(count: int, shared: int, own: int) -> dict[str, object]:
    """Change one device after the other; return what a change took, in milliseconds."""
    firewall = Firewall("wg0", SETTINGS, Surroundings(forward=False))
    allowed = [policy(number % shared if number >= own else OWN + number) for number in range(count)]
    began = time.process_time()
    firewall.up(device(number, each) for number, each in enumerate(allowed))
    start = time.process_time() - began
    spent: dict[str, list[float]] = {"another_policy": [], "removed": [], "put": [], "policy_of_its_own": []}

    def timed(what: str, *told: list[Any]) -> None:
        began = time.process_time()
        firewall.change(*told)
        spent[what].append((time.process_time() - began) * 1e3)

    for step in range(60):
        number = random.randrange(own, count)
        timed("another_policy", [device(number, policy((number + 1) % shared))])
        timed("removed", [], [f"device-{number}"])
        timed("put", [device(number, policy(number % shared))])
        timed("policy_of_its_own", [device(number, policy(2 * OWN + step))])
        firewall.change([device(number, policy(number % shared))])
    firewall.down()
    medians = {what: round(statistics.median(times), 2) for what, times in spent.items()}
    said = {"bench": "firewall", "devices": count, "shared_policies": shared, "with_their_own": own}
    return said | {"start_s": round(start, 2)} | medians


def judge(position: int) -> None:
    """Have the firewall, with a policy of the phone's that others come before."""
    phone = Device("phone", (ip_address("10.88.255.2"),), policy(position))
    firewall = Firewall(
        "wg0", SETTINGS, Surroundings(keep_apart=position > 0, forward=False, masquerade=False)
    )
    # The others have two devices each, and so are looked at first.
    others = [device(2 * number + which, policy(number)) for number in range(1, position) for which in (0, 1)]
    firewall.up([*others, phone])


def policy(number: int) -> Allowed:
    """Give one of many: the world, behind a rule that no other has."""
    first = AllowRule(ip_network("192.0.2.0/24"), Protocol.TCP, PortRange(number, number))
    return (first, AllowRule(ip_network("0.0.0.0/0")), AllowRule(ip_network("::/0")))


def device(number: int, allowed: Allowed) -> Device:
    """Give a device with an address of either family."""
    own4, own6 = SETTINGS.own
    return Device(f"device-{number}", (own4 + 1 + number, own6 + 1 + number), allowed)


def summary(times: list[float]) -> dict[str, float]:
    """Return the median and the ends, in microseconds."""
    found = {"median_us": statistics.median(times), "lowest_us": min(times), "highest_us": max(times)}
    return {what: round(number, 2) for what, number in found.items()}


if __name__ == "__main__":
    match sys.argv[1:]:
        case [("change" | "judge") as role, *numbers]:
            roles: dict[str, Callable[..., object]] = {"change": change, "judge": judge}
            print(json.dumps(roles[role](*map(int, numbers))))
        case _:
            main()
