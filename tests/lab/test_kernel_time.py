"""What WireGuard does by the clock, beside the real kernel's, in real time. It mostly waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.lab.kernel import Kernel, lab_with_guest
from tests.lab.nodes import Node, pass_time, peer_section, steady_pings, until
from tests.lab.wire import Wire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# The paper's section 6.1: the seconds after which who began asks for new keys, and nobody uses the old.
REKEY_AFTER, REJECT_AFTER = 120, 180
RENEWALS = 3


@dataclass
class Pair:
    """A tunnel between an interface of ours and one of the kernel's, and what passes at our end."""

    node: Node
    kernel: Kernel
    wire: Wire
    begun: float = 0.0

    def begin(self, *, we_begin: bool) -> None:
        """Shake hands. Who does not begin does not know where the other is."""
        where = "198.51.100.2" if we_begin else None
        self.node.setconf(peer_section(self.kernel, endpoint=where))
        self.kernel.set_peer(self.node, endpoint=None if we_begin else 4)
        self.begun = time.monotonic()
        if we_begin:
            self.node.ping(self.kernel.addresses[0])
        else:
            self.kernel.ping(self.node.addresses[0])

    def age(self, seconds: float) -> None:
        """Wait until the first keys are so old, and no younger."""
        pass_time(self.begun + seconds - time.monotonic())

    def handshakes(self) -> dict[str, int]:
        """By who began."""
        return {"ours": self.wire.went("initiation"), "the kernel's": self.wire.came("initiation")}


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    """Two tunnels, to be looked at during the same minutes: in one we begin, in one the kernel."""
    with lab_with_guest() as (lab, guest):
        ends = []
        for number in (0, 1):
            kernel = Kernel(guest, number)
            node = kernel.beside(lab).start()
            ends.append(Pair(node, kernel, Wire(lab["a"], node.port)))
        for pair, we_begin in zip(ends, (True, False), strict=True):
            pair.begin(we_begin=we_begin)
        yield ends[0], ends[1]


def test_who_began_renews_the_keys_and_no_ping_is_lost(pairs: tuple[Pair, Pair]) -> None:
    seconds = RENEWALS * REKEY_AFTER + 15
    ours = [steady_pings(pair.node, pair.kernel.addresses[1], seconds) for pair in pairs]
    for pair in pairs:
        pair.kernel.start("pings", f"ping -q -c {seconds} -W 5 {pair.node.addresses[0]}")
    for pings in ours:
        said, _ = pings.communicate(timeout=seconds + 60)
        assert " 0% packet loss" in said
    for pair in pairs:
        until(partial(pair.kernel.has_written, "pings", "packet loss"), "the guest's pings end")
        assert pair.kernel.has_written("pings", " 0% packet loss")

    we_began, it_began = pairs
    assert we_began.handshakes() == {"ours": 1 + RENEWALS, "the kernel's": 0}
    assert it_began.handshakes() == {"ours": 0, "the kernel's": 1 + RENEWALS}
    assert we_began.wire.came("response") == it_began.wire.went("response") == 1 + RENEWALS
    for pair in pairs:
        apart = pair.node.latest_handshake(pair.kernel) - pair.kernel.row(pair.node).handshake
        assert abs(apart) <= 3


def test_keys_that_cannot_be_renewed_are_used_for_three_minutes_and_no_longer(
    pairs: tuple[Pair, Pair],
) -> None:
    for pair in pairs:
        pair.wire.refuse("initiation", "response")
    steady = [steady_pings(pair.node, pair.kernel.addresses[0], REJECT_AFTER + 15) for pair in pairs]
    for pair in pairs:
        pair.kernel.start("pings", f"ping -q -c {REJECT_AFTER + 10} {pair.node.addresses[0]}")
    pairs[0].age(REJECT_AFTER - 20)
    for pair in pairs:
        assert pair.node.reaches(pair.kernel.addresses[0], seconds=3)
        # It has been asking for new ones.
        assert sum(pair.handshakes().values()) >= 5
    # Both were begun in the same seconds; what was on its way has arrived.
    pairs[1].age(REJECT_AFTER + 5)
    before = [(pair.wire.came("data"), pair.wire.went("data")) for pair in pairs]
    pass_time(5)
    assert [(pair.wire.came("data"), pair.wire.went("data")) for pair in pairs] == before
    for pings in steady:
        pings.communicate(timeout=60)
    for pair in pairs:
        pair.wire.admit()
        pair.node.ping(pair.kernel.addresses[0], seconds=30)
        pair.kernel.ping(pair.node.addresses[0])


def test_after_minutes_of_silence_the_first_packet_makes_new_keys_and_arrives(
    pairs: tuple[Pair, Pair],
) -> None:
    pairs[1].age(REJECT_AFTER + 5)
    before = [pair.handshakes() for pair in pairs]
    for pair, word in zip(pairs, ("ours", "the kernel's"), strict=True):
        if word == "ours":
            assert " 0% packet loss" in pair.node.ping(pair.kernel.addresses[0])
        else:
            pair.kernel.ping(pair.node.addresses[0])
    after = [pair.handshakes() for pair in pairs]
    assert [sum(counts.values()) for counts in before] == [1, 1]
    assert after == [{"ours": 2, "the kernel's": 0}, {"ours": 0, "the kernel's": 2}]
