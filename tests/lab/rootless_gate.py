"""A gateway without root in a lab: a tunnel that forwards, in a process that may do nothing special.

The first line of its input is its private key. Then each is a JSON object, answered by a line: the policies
of devices by name, or nothing, which asks for the counters.
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import ip_interface, ip_network
from typing import Any

from wirewright import Config, Forwarding, SecretKey, Tunnel
from wirewright.config import Interface, Peer
from wirewright.gateway.policy import Policy
from wirewright.host.filtering import PacketFilter
from wirewright.keys import PublicKey

OWN = ("10.88.0.1/16", "fd88::1/64")
PORT = 51820


def main(facts: dict[str, Any]) -> None:
    """Serve; ``devices`` has by name each one's public key and addresses, ``forwarding`` what is reached."""
    key = SecretKey.from_base64(sys.stdin.readline().strip())
    asyncio.run(serve(key, facts["devices"], Forwarding(**facts["forwarding"])))


async def serve(key: SecretKey, devices: dict[str, list[str]], forwarding: Forwarding) -> None:
    keys = {name: PublicKey.from_base64(text) for name, (text, *_) in devices.items()}
    peers = tuple(
        Peer(keys[name], allowed_ips=tuple(ip_network(address) for address in addresses))
        for name, (_, *addresses) in devices.items()
    )
    own = tuple(ip_interface(text) for text in OWN)
    interface = Interface(private_key=key, addresses=own, listen_port=PORT)
    async with Tunnel(Config(interface, peers), forwarding=forwarding) as tunnel:
        say("ready")
        loop = asyncio.get_running_loop()
        filtered = False
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            policies = json.loads(line)
            if not policies:
                stats = tunnel.stats()
                say(json.dumps({**stats.counters, **stats.netstack, **stats.forwarding}))
                continue
            if not filtered:
                filtered = True
                networks = tuple(interface.network for interface in own)
                await tunnel.set_filter(PacketFilter(tuple(each.ip for each in own), networks))
            for name, policy in policies.items():
                await tunnel.update_peer(keys[name], rules=Policy.from_json(policy).allowed())
            say("done")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
