"""The real kernel's WireGuard, in a virtual machine on a tap device of the host a."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.dumps import Dump, Row, parse
from tests.lab.nodes import Node, cable
from wirewright.keys import PresharedKey, SecretKey
from wirewright.lab import Lab
from wirewright.lab.guest import Guest
from wirewright.lab.initramfs import build
from wirewright.lab.machine import entering

HERE = {4: "198.51.100.1", 6: "fd01::1"}
THERE = {4: "198.51.100.2", 6: "fd01::2"}
INNER_HERE = (("10.7.0.1", "fd07::1"), ("10.8.0.1", "fd08::1"))
INNER_THERE = (("10.7.0.2", "fd07::2"), ("10.8.0.2", "fd08::2"))
# An address of IPv6 is there at once, and not when nobody has objected to it for a second.
NO_DAD = "echo 0 >/proc/sys/net/ipv6/conf/{}/accept_dad;"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wirewright" / "guest"


@contextmanager
def lab_with_guest(share: Path | None = None) -> Iterator[tuple[Lab, Guest]]:
    """Start both; they reach each other by either family."""
    image = build(CACHE)
    with Lab(cable()) as lab:
        here = lab["a"]
        here.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        here.run("sysctl", "-q", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.tap0.accept_dad=0")
        for family, length in ((4, 24), (6, 64)):
            here.run("ip", "address", "add", f"{HERE[family]}/{length}", "dev", "tap0")
        here.run("ip", "link", "set", "tap0", "up")
        with Guest(image, "tap0", entering(here.holder, ()), share=share) as guest:
            guest.run(NO_DAD.format("all") + NO_DAD.format("default") + NO_DAD.format("eth0"))
            guest.run(f"ip addr add {THERE[4]}/24 dev eth0; ip addr add {THERE[6]}/64 dev eth0")
            guest.run("ip link set eth0 up")
            yield lab, guest


class Kernel:
    """One interface of the kernel's: wg0, or wg1 with a port and networks of its own."""

    def __init__(self, guest: Guest, number: int = 0) -> None:
        self.guest = guest
        self.name = f"wg{number}"
        self.port = 51820 + number
        self.addresses = INNER_THERE[number]
        self.key = SecretKey.generate()
        self.public_key = self.key.public_key
        guest.run(f"ip link add {self.name} type wireguard")
        self.write("key", self.key.expose())
        self.wg(f"private-key /key listen-port {self.port}")
        for address, length in zip(self.addresses, (24, 64), strict=True):
            guest.run(f"ip addr add {address}/{length} dev {self.name}")
        guest.run(f"ip link set {self.name} up")

    def beside(self, lab: Lab) -> Node:
        """Return the interface of ours that belongs to it, not started yet."""
        return Node(lab["a"], INNER_HERE[int(self.name[2:])], name=self.name, port=self.port)

    def write(self, name: str, content: str) -> None:
        """Make a file in the guest's root."""
        self.guest.run(f"echo {content} >/{name}")

    def wg(self, words: str) -> None:
        """Call ``wg set INTERFACE``."""
        self.guest.run(f"wg set {self.name} {words}")

    def set_peer(self, node: Node, *words: str, endpoint: int | None = None) -> None:
        """Add or change a peer of ours, whose whereabouts are told by family."""
        allowed = ",".join(f"{a}/{128 if ':' in a else 32}" for a in node.addresses)
        more = [*words]
        if endpoint is not None:
            host = f"[{HERE[6]}]" if endpoint == 6 else HERE[4]
            more.append(f"endpoint {host}:{node.port}")
        self.wg(" ".join([f"peer {node.public_key} allowed-ips {allowed}", *more]))

    def set_preshared_key(self, node: Node, key: PresharedKey) -> None:
        self.write("psk", key.expose())
        self.wg(f"peer {node.public_key} preshared-key /psk")

    def forget(self) -> None:
        """Be without peers, and on its port."""
        self.guest.run(
            f"for peer in $(wg show {self.name} peers); do wg set {self.name} peer $peer remove; done"
        )
        self.wg(f"listen-port {self.port}")

    def ping(self, address: str, *, count: int = 1, size: int = 56) -> None:
        """Ping; raise if nothing comes back."""
        self.guest.run(f"{ping_command(address)} -c {count} -s {size} -W 20 {address}")

    def start(self, name: str, command: str) -> None:
        """Begin something that goes on beside; what it writes can be looked for by the name."""
        self.guest.run(f"{command} >/{name}-{self.name} 2>&1 &")

    def has_written(self, name: str, text: str) -> bool:
        return text in self.guest.run(f"cat /{name}-{self.name}")

    def dump(self) -> Dump:
        """Return all that the guest's ``wg`` tells."""
        return parse(self.guest.run(f"wg show {self.name} dump"))

    def row(self, node: Node) -> Row:
        """Return what it tells of a peer."""
        return self.dump().peers[str(node.public_key)]


def ping_command(address: str) -> str:
    return "ping6" if ":" in address else "ping"


def bare(addresses: Sequence[str]) -> frozenset[str]:
    """Return the networks of one address each."""
    return frozenset(f"{a}/{128 if ':' in a else 32}" for a in addresses)
