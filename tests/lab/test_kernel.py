"""The interface beside the real kernel's WireGuard, in a virtual machine on a tap device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.relay import until
from tests.lab.nodes import Node, cable
from wirewright.keys import PresharedKey, SecretKey
from wirewright.lab import Lab
from wirewright.lab.guest import Guest
from wirewright.lab.initramfs import build
from wirewright.lab.machine import entering

pytestmark = pytest.mark.timeout(240)

HERE, THERE = "198.51.100.1", "198.51.100.2"
INNER_HERE, INNER_THERE = "10.7.0.1", "10.7.0.2"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wirewright" / "guest"


class Kernel:
    """The guest, with an interface wg0 of the kernel's."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.key = SecretKey.generate()
        self.public_key = self.key.public_key
        guest.run(f"ip addr add {THERE}/24 dev eth0 && ip link set eth0 up")
        guest.run("ip link add wg0 type wireguard")
        guest.run(f"echo {self.key.expose()} >/key && wg set wg0 private-key /key listen-port 51820")
        guest.run(f"ip addr add {INNER_THERE}/24 dev wg0 && ip link set wg0 up")

    def set_peer(self, node: Node, *words: str) -> None:
        words = (f"peer {node.public_key} allowed-ips {INNER_HERE}/32", *words)
        self.guest.run(f"wg set wg0 {' '.join(words)}")

    def forget_peers(self) -> None:
        self.guest.run("for peer in $(wg show wg0 peers); do wg set wg0 peer $peer remove; done")

    def dump(self) -> dict[str, str]:
        """What the guest's ``wg`` tells of its only peer."""
        names = ("public", "preshared", "endpoint", "allowed", "handshake", "received", "sent", "keepalive")
        line = self.guest.run("wg show wg0 dump").splitlines()[1]
        return dict(zip(names, line.split("\t"), strict=True))


@pytest.fixture(scope="module")
def lab_with_kernel() -> Iterator[tuple[Lab, Kernel]]:
    image = build(CACHE)
    with Lab(cable()) as lab:
        here = lab["a"]
        here.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        here.run("ip", "address", "add", f"{HERE}/24", "dev", "tap0")
        here.run("ip", "link", "set", "tap0", "up")
        with Guest(image, "tap0", entering(here.holder, ())) as guest:
            yield lab, Kernel(guest)


@pytest.fixture
def both(lab_with_kernel: tuple[Lab, Kernel]) -> Iterator[tuple[Node, Kernel]]:
    """Return an interface of ours that is up and without peers, and the kernel's, likewise."""
    lab, kernel = lab_with_kernel
    node = Node(lab["a"], (INNER_HERE,)).start()
    kernel.forget_peers()
    yield node, kernel
    node.machine.run("ip", "link", "delete", node.name)
    until(node.is_gone, "the interface ends")


def section(kernel: Kernel, *, endpoint: bool = True, preshared_key: PresharedKey | None = None) -> str:
    lines = ["[Peer]", f"PublicKey = {kernel.public_key}", f"AllowedIPs = {INNER_THERE}/32"]
    if endpoint:
        lines.append(f"Endpoint = {THERE}:51820")
    if preshared_key is not None:
        lines.append(f"PresharedKey = {preshared_key.expose()}")
    return "\n".join([*lines, ""])


def test_we_begin_and_the_kernel_answers(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    node.ping(INNER_THERE, count=5)
    told = kernel.dump()
    assert told["public"] == str(node.public_key)
    assert told["endpoint"] == f"{HERE}:{node.port}"
    assert int(told["handshake"]) > 0
    # Both ends count whole messages: what one sent, the other received.
    sent = int(node.show("transfer")[str(kernel.public_key)].split("\t")[1])
    assert int(kernel.dump()["received"]) <= sent


def test_the_kernel_begins_and_we_answer(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    node.setconf(section(kernel, endpoint=False))
    kernel.set_peer(node, f"endpoint {HERE}:{node.port}")
    kernel.guest.run(f"ping -c 3 {INNER_HERE}")
    assert node.show("endpoints")[str(kernel.public_key)] == f"{THERE}:51820"


def test_a_preshared_key_is_needed_at_both_ends(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    preshared_key = PresharedKey.generate()
    kernel.guest.run(f"echo {preshared_key.expose()} >/psk")
    kernel.set_peer(node, "preshared-key /psk")
    node.setconf(section(kernel))
    assert not node.reaches(INNER_THERE, seconds=2)
    node.setconf(section(kernel, preshared_key=preshared_key))
    node.ping(INNER_THERE)
    assert kernel.dump()["preshared"] == preshared_key.expose()


def test_data_of_every_size_pass_both_ways(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    for size in (0, 1, 100, 1391, 1392, 4000):
        node.ping(INNER_THERE, size=size)
        kernel.guest.run(f"ping -c 1 -s {size} {INNER_HERE}")


def test_a_stream_arrives_as_it_was_sent(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    sink = "nc -l -p 7000 </dev/null | sha256sum >/sum 2>&1 &"
    kernel.guest.run(sink)
    sent = node.machine.python(
        "import hashlib, os, socket, sys\n"
        "data = os.urandom(3_000_000)\n"
        f"with socket.create_connection(('{INNER_THERE}', 7000), 30) as stream: stream.sendall(data)\n"
        "print(hashlib.sha256(data).hexdigest())"
    ).stdout.strip()
    arrived = lambda: kernel.guest.run("cat /sum").split()[:1] == [sent]  # noqa: E731
    until(arrived, "the stream arrives", seconds=60)


def test_the_kernel_follows_when_we_move_to_another_port(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    node.ping(INNER_THERE)
    node.wg("set", "listen-port", "51999")
    node.ping(INNER_THERE)
    assert kernel.dump()["endpoint"] == f"{HERE}:51999"


def test_we_follow_when_the_kernel_moves_to_another_port(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node, f"endpoint {HERE}:{node.port}")
    node.setconf(section(kernel))
    node.ping(INNER_THERE)
    kernel.guest.run("wg set wg0 listen-port 51821")
    try:
        kernel.guest.run(f"ping -c 3 {INNER_HERE}")
        assert node.show("endpoints")[str(kernel.public_key)] == f"{THERE}:51821"
    finally:
        kernel.guest.run("wg set wg0 listen-port 51820")
