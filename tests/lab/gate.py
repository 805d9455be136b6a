"""A gateway's process in a lab: it puts policies into force, by our engine's filter or by nftables.

By nftables they are found by sets, or by maps, if others have the sets already.
Each line of its input is a JSON object: the name of a device and its policy. It answers each with a line.
"""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address, ip_network

from wirewright.gateway.firewall import Device, Firewall, Surroundings
from wirewright.gateway.firewall.policies import COMMON
from wirewright.gateway.policy import NOTHING, Policy
from wirewright.host.device import DeviceChange, PeerChange
from wirewright.host.filtering import AllowRule, PacketFilter
from wirewright.host.userspace.engine import UserspaceEngine
from wirewright.keys import PublicKey

SETTINGS = PacketFilter(
    (ip_address("10.88.0.1"), ip_address("fd88::1")), (ip_network("10.88.0.0/16"), ip_network("fd88::/64"))
)
INTERFACE = "wg0"


def main(way: str, devices: dict[str, list[str]]) -> None:
    """Serve; `devices` has the public key and the addresses of each."""
    engine = UserspaceEngine()
    firewall = Firewall(INTERFACE, SETTINGS, Surroundings(keep_apart=way != "engine"))
    keys = {name: PublicKey.from_base64(key) for name, (key, *_) in devices.items()}
    addresses = {name: tuple(map(ip_address, rest)) for name, (_, *rest) in devices.items()}

    def put(policies: dict[str, Policy]) -> None:
        allowed = {name: policy.allowed() for name, policy in policies.items()}
        firewall.change([Device(name, addresses[name], rules) for name, rules in allowed.items()])
        if way == "engine":
            peers = tuple(PeerChange(keys[name], rules=rules) for name, rules in allowed.items())
            engine.set(INTERFACE, DeviceChange(peers=peers))

    firewall.up(others() if way == "nftables by maps" else ())
    if way == "engine":
        engine.set(INTERFACE, DeviceChange(filter=SETTINGS))
    put(dict.fromkeys(devices, NOTHING))
    print("ready", flush=True)
    for line in sys.stdin:
        put({name: Policy.from_json(policy) for name, policy in json.loads(line).items()})
        print("done", flush=True)
    firewall.down()


def others() -> list[Device]:
    """Give devices that are not there, with as many policies as can have sets."""
    return [
        Device(
            f"other-{number}",
            (SETTINGS.own[0] + 1000 + number, SETTINGS.own[1] + 1000 + number),
            (AllowRule(ip_network(f"203.0.113.{number}")),),
        )
        for number in range(COMMON)
    ]


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
