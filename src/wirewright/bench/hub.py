"""Many peers that are all busy: one interface on a, and as many on b, each with an engine of its own."""

from collections.abc import Sequence

from wirewright.bench.arena import Arena, running
from wirewright.bench.contestants import OUTER, PORT, bring_up, interface_section, wg
from wirewright.bench.errors import BenchError
from wirewright.bench.processes import until_answered
from wirewright.keys import SecretKey


def add_spokes(arena: Arena, count: int) -> Sequence[str]:
    """Give the interface of a so many peers more, and return the addresses by which a reaches them.

    Each has a network of its own, so that host b answers by the interface that was asked.
    """
    start, key = arena.connection.start, arena.connection.public_key
    if start is None or key is None:
        raise BenchError("only an engine of WireGuard can have more peers")
    hub, interface = arena.a, arena.interface
    addresses = []
    for number in range(1, count + 1):
        spoke, secret, port = f"{interface}x{number}", SecretKey.generate(), PORT + number
        here, there = (f"10.9.{number}.{end}" for end in (1, 2))
        start(arena.b, spoke)
        peer = f"[Peer]\nPublicKey = {key}\nEndpoint = {OUTER[0]}:{PORT}\nAllowedIPs = {here}/32\n"
        wg(arena.b, "setconf", interface_section(secret, port) + peer, spoke)
        bring_up(arena.b, there, spoke)
        endpoint = f"Endpoint = {OUTER[1]}:{port}\nAllowedIPs = {there}/32\n"
        wg(hub, "addconf", f"[Peer]\nPublicKey = {secret.public_key}\n{endpoint}", interface)
        hub.run("ip", "address", "add", f"{here}/24", "dev", interface)
        until_answered(hub, there)
        addresses.append(there)
    arena.engines = running((arena.a, arena.b))
    return addresses
