"""The interface beside the real kernel's WireGuard, in a virtual machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.interop.relay import until
from tests.lab.dumps import Row
from tests.lab.kernel import HERE, INNER_HERE, INNER_THERE, THERE, Kernel, bare, lab_with_guest
from tests.lab.nodes import Node, answer, inside, peer_section
from tests.lab.wire import Wire
from wirewright.keys import PresharedKey

if TYPE_CHECKING:
    from wirewright.lab import Lab

pytestmark = pytest.mark.timeout(240)

# The kernel calls more than 512 waiting messages load (an eighth of its queue), and so do we.
ENOUGH = 1024


@pytest.fixture(scope="module")
def lab_with_kernel() -> Iterator[tuple[Lab, Kernel]]:
    with lab_with_guest() as (lab, guest):
        yield lab, Kernel(guest)


@pytest.fixture
def both(lab_with_kernel: tuple[Lab, Kernel]) -> Iterator[tuple[Node, Kernel]]:
    """Return an interface of ours that is up and without peers, and the kernel's, likewise."""
    lab, kernel = lab_with_kernel
    node = kernel.beside(lab).start()
    kernel.forget()
    yield node, kernel
    node.machine.run("ip", "link", "delete", node.name)
    until(node.is_gone, "the interface ends")


@pytest.fixture
def wire(both: tuple[Node, Kernel]) -> Iterator[Wire]:
    wire = Wire(both[0].machine)
    yield wire
    wire.remove()


def section(kernel: Kernel, outer: int | None = 4, **settings: object) -> str:
    """Write what we know of the kernel; its whereabouts by family."""
    return peer_section(kernel, endpoint=THERE[outer] if outer else None, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("outer", [4, 6])
def test_we_begin_and_the_kernel_answers(both: tuple[Node, Kernel], wire: Wire, outer: int) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel, outer))
    for address in INNER_THERE[0]:
        node.ping(address, count=5)
    assert kernel.row(node).endpoint == endpoint(HERE[outer], node.port)
    assert (wire.went("initiation"), wire.came("response"), wire.came("initiation")) == (1, 1, 0)


@pytest.mark.parametrize("outer", [4, 6])
def test_the_kernel_begins_and_we_answer(both: tuple[Node, Kernel], wire: Wire, outer: int) -> None:
    node, kernel = both
    node.setconf(section(kernel, None))
    kernel.set_peer(node, endpoint=outer)
    for address in INNER_HERE[0]:
        kernel.ping(address, count=3)
    assert node.endpoint_of(kernel) == endpoint(THERE[outer], kernel.port)
    assert (wire.came("initiation"), wire.went("response"), wire.went("initiation")) == (1, 1, 0)


def test_the_dumps_of_both_ends_agree(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    key = PresharedKey.generate()
    # Ours first: whatever the kernel sends is known to us, and counted.
    node.setconf(section(kernel, preshared_key=key))
    kernel.write("psk", key.expose())
    kernel.set_peer(node, "persistent-keepalive 25", "preshared-key /psk", endpoint=4)
    node.ping(INNER_THERE[0][0], count=5)
    kernel.ping(INNER_HERE[0][1], count=2)

    ours, theirs = node.dump(), kernel.dump()
    for dump, end, peer, where, keepalive in (
        (ours, node, kernel, THERE[4], 0),
        (theirs, kernel, node, HERE[4], 25),
    ):
        assert (dump.private_key, dump.public_key) == (end.key.expose(), str(end.public_key))
        assert (dump.port, dump.fwmark, set(dump.peers)) == (end.port, 0, {str(peer.public_key)})
        row = dump.peers[str(peer.public_key)]
        assert row == Row(
            preshared_key=key.expose(),
            endpoint=endpoint(where, peer.port),
            allowed_ips=bare(peer.addresses),
            handshake=row.handshake,
            received=row.received,
            sent=row.sent,
            keepalive=keepalive,
        )
    # The guest's clock was set once, by whole seconds.
    row = theirs.peers[str(node.public_key)]
    assert abs(row.handshake - ours.peers[str(kernel.public_key)].handshake) <= 3
    # Both count whole datagrams: what one sent the other received, to the byte.
    until(lambda: node.sent(kernel) == kernel.row(node).received, "it received what we sent")
    until(lambda: node.received(kernel) == kernel.row(node).sent, "we received what it sent")


def test_a_preshared_key_is_needed_at_both_ends(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    key = PresharedKey.generate()
    kernel.set_peer(node)
    kernel.set_preshared_key(node, key)
    node.setconf(section(kernel))
    assert not node.reaches(INNER_THERE[0][0], seconds=2)
    node.setconf(section(kernel, preshared_key=key))
    node.ping(INNER_THERE[0][0])


def test_a_preshared_key_that_changes_live_counts_from_the_next_handshake_on(
    both: tuple[Node, Kernel], wire: Wire
) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    node.ping(INNER_THERE[0][0])
    # A session goes on, whatever one end or both believe by now.
    key = PresharedKey.generate()
    kernel.set_preshared_key(node, key)
    node.ping(INNER_THERE[0][0])
    us = ("peer", str(kernel.public_key), "preshared-key", "/dev/stdin")
    node.wg("set", *us, input=key.expose() + "\n")
    node.ping(INNER_THERE[0][0])
    assert wire.went("initiation") == 1
    assert kernel.row(node).preshared_key == node.dump().peers[str(kernel.public_key)].preshared_key
    # A new one needs what both have now.
    node.setconf(section(kernel))
    assert not node.reaches(INNER_THERE[0][0], seconds=2)
    node.setconf(section(kernel, preshared_key=key))
    node.ping(INNER_THERE[0][0])


@pytest.mark.parametrize("family", [4, 6])
def test_data_of_every_size_pass_both_ways(both: tuple[Node, Kernel], family: int) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    here, there = (addresses[0][family == 6] for addresses in (INNER_HERE, INNER_THERE))
    fits = 1392 if family == 4 else 1372
    for size in (0, 1, 100, fits - 1, fits, fits + 1, 4000):
        node.ping(there, size=size)
        kernel.ping(here, size=size)


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_streams_arrive_as_they_were_sent(both: tuple[Node, Kernel], inner: int, outer: int) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel, outer))
    here, there = (addresses[0][inner == 6] for addresses in (INNER_HERE, INNER_THERE))
    kernel.start("sum", "nc -l -p 7000 </dev/null | sha256sum")
    until(lambda: ":7000 " in kernel.guest.run("netstat -ltn"), "somebody listens")
    sent = node.machine.python(
        "import hashlib, os, socket, sys\n"
        "data = os.urandom(2_000_000)\n"
        "with socket.create_connection((sys.argv[1], 7000), 30) as stream: stream.sendall(data)\n"
        "print(hashlib.sha256(data).hexdigest())",
        there,
    ).stdout.strip()
    until(partial(kernel.has_written, "sum", sent), "the stream arrives", seconds=60)

    sink = inside(node.machine, "sink")
    digest = kernel.guest.run("head -c 2000000 /dev/urandom >/data; sha256sum </data").split()[0]
    kernel.guest.run(f"nc {here} 7000 </data")
    assert answer(sink) == f"{digest} 2000000"


def test_keepalives_are_understood_both_ways(both: tuple[Node, Kernel], wire: Wire) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel, keepalive=1))
    until(lambda: wire.went("keepalive") >= 3, "we send keepalives without being asked for")
    until(lambda: kernel.row(node).received >= 148 + 3 * 32, "the kernel takes them")

    node.wg("set", "peer", str(kernel.public_key), "persistent-keepalive", "off")
    before, received = wire.came("keepalive"), node.received(kernel)
    kernel.set_peer(node, "persistent-keepalive 1")
    until(lambda: wire.came("keepalive") >= before + 3, "the kernel sends keepalives")
    until(lambda: node.received(kernel) >= received + 3 * 32, "we take them")


def test_data_that_are_not_answered_are_acknowledged_by_a_keepalive(
    both: tuple[Node, Kernel], wire: Wire
) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    node.ping(INNER_THERE[0][0])
    came, went = wire.came("keepalive"), wire.went("keepalive")
    # What comes is not answered. Ten seconds later each end says that it is there.
    deaf = "echo {} >/proc/sys/net/ipv4/icmp_echo_ignore_all"
    kernel.guest.run(deaf.format(1))
    try:
        assert not node.reaches(INNER_THERE[0][0])
        until(lambda: wire.came("keepalive") > came, "the kernel acknowledges", seconds=20)
    finally:
        kernel.guest.run(deaf.format(0))
    node.machine.run("sysctl", "-q", "net.ipv4.icmp_echo_ignore_all=1")
    try:
        kernel.guest.run(f"! ping -c 1 -W 1 {INNER_HERE[0][0]}")
        until(lambda: wire.went("keepalive") > went, "we acknowledge", seconds=20)
    finally:
        node.machine.run("sysctl", "-q", "net.ipv4.icmp_echo_ignore_all=0")


@contextmanager
def flooded(node: Node, victim: Node | Kernel, host: str) -> Iterator[None]:
    """Keep an end under a load of initiations by strangers, from our host."""
    process = node.machine.popen(
        *(sys.executable, "-m", "tests.lab.flooder", str(victim.public_key), host),
        *(str(victim.port), str(ENOUGH)),
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.communicate("", timeout=20)


@pytest.mark.parametrize("outer", [4, 6])
def test_the_kernel_under_load_makes_us_prove_where_we_are(
    both: tuple[Node, Kernel], wire: Wire, outer: int
) -> None:
    node, kernel = both
    kernel.set_peer(node)
    with flooded(node, kernel, THERE[outer]):
        node.setconf(section(kernel, outer))
        node.ping(INNER_THERE[0][0], seconds=40)
    assert wire.came("cookie reply") >= 1
    assert wire.went("initiation with a cookie") >= 1


def test_our_response_proves_where_we_are_to_a_kernel_under_load(
    both: tuple[Node, Kernel], wire: Wire
) -> None:
    node, kernel = both
    node.setconf(section(kernel, None))
    with flooded(node, kernel, THERE[4]):
        kernel.set_peer(node, "persistent-keepalive 1", endpoint=4)
        until(lambda: kernel.row(node).handshake > 0, "the kernel takes our response", seconds=60)
    assert wire.came("cookie reply") >= 1
    assert wire.went("response with a cookie") >= 1


def test_the_kernel_proves_where_it_is_when_we_are_under_load(both: tuple[Node, Kernel], wire: Wire) -> None:
    node, kernel = both
    node.setconf(section(kernel, None))
    with flooded(node, node, HERE[4]):
        kernel.set_peer(node, "persistent-keepalive 1", endpoint=4)
        until(lambda: node.latest_handshake(kernel) > 0, "we take its initiation", seconds=60)
    assert wire.went("cookie reply") >= 1
    assert wire.came("initiation with a cookie") >= 1


def test_the_kernel_follows_when_we_move_to_another_port(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node)
    node.setconf(section(kernel))
    node.ping(INNER_THERE[0][0])
    node.wg("set", "listen-port", "51999")
    node.ping(INNER_THERE[0][0])
    assert kernel.row(node).endpoint == f"{HERE[4]}:51999"


def test_we_follow_when_the_kernel_moves_to_another_port(both: tuple[Node, Kernel]) -> None:
    node, kernel = both
    kernel.set_peer(node, endpoint=4)
    node.setconf(section(kernel))
    node.ping(INNER_THERE[0][0])
    kernel.wg("listen-port 51821")
    kernel.ping(INNER_HERE[0][0], count=3)
    assert node.endpoint_of(kernel) == f"{THERE[4]}:51821"


@pytest.mark.parametrize("family", [4, 6])
def test_each_follows_when_the_other_moves_to_another_address(both: tuple[Node, Kernel], family: int) -> None:
    node, kernel = both
    here, there = (HERE[family] + "9", THERE[family] + "9")
    kernel.set_peer(node)
    node.setconf(section(kernel, family))
    node.ping(INNER_THERE[0][0])
    with moved(node.machine.run, "tap0", HERE[family], here):
        node.ping(INNER_THERE[0][0])
        assert kernel.row(node).endpoint == endpoint(here, node.port)
        with moved(lambda *words: kernel.guest.run(words), "eth0", THERE[family], there):
            kernel.ping(INNER_HERE[0][0])
            assert node.endpoint_of(kernel) == endpoint(there, kernel.port)
            node.ping(INNER_THERE[0][0])


@contextmanager
def moved(run: Callable[..., object], device: str, old: str, new: str) -> Iterator[None]:
    """Give a device another address in place of the one that it has."""
    length = "64" if ":" in old else "24"

    def swap(gone: str, come: str) -> None:
        run("ip", "address", "del", f"{gone}/{length}", "dev", device)
        run("ip", "address", "add", f"{come}/{length}", "dev", device)

    swap(old, new)
    try:
        yield
    finally:
        swap(new, old)


def endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
