"""What the firewall of a gateway asks the kernel for, without a kernel."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from wirewright.gateway.firewall import Device, Firewall, Surroundings
from wirewright.gateway.firewall import firewall as module
from wirewright.gateway.firewall.reach import Reach
from wirewright.gateway.policy import DEFAULT_POLICY
from wirewright.host.filtering import AllowRule, PacketFilter, PortRange, Protocol
from wirewright.host.nftables import RefusedError, Request

SETTINGS = PacketFilter(
    (ip_address("10.88.0.1"), ip_address("fd88::1")), (ip_network("10.88.0.0/16"), ip_network("fd88::/64"))
)
QUIET = Surroundings(forward=False)


class Kernel:
    """Takes transactions, or refuses them."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Request]] = []
        self.forgotten = 0
        """Addresses whose flows it was asked to forget."""
        self.refusal: RefusedError | None = None

    def transact(self, family: int, requests: Sequence[Request]) -> None:
        assert family == 1, "inet"
        if self.refusal:
            raise self.refusal
        if [request.what for request in requests] == ["flows of an address"]:
            self.forgotten += 1
            raise RefusedError(errno.ENOENT, requests[0].what)
        self.asked.append(requests)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(module, "transact", kernel.transact)
    return kernel


def policy(number: int) -> tuple[AllowRule, ...]:
    return (AllowRule(ip_network("0.0.0.0/0"), Protocol.TCP, PortRange(number, number)),)


def device(number: int, allowed: tuple[AllowRule, ...] = DEFAULT_POLICY.allowed()) -> Device:
    return Device(f"number-{number}", (ip_address("10.88.0.0") + number,), allowed)


def shape(requests: Sequence[Request]) -> list[tuple[str, int]]:
    """Tell what is asked for, and how much is said of it."""
    return [(request.what, len(request.attributes)) for request in requests]


@pytest.mark.parametrize("policies", [4, 40])
def test_a_change_of_one_device_asks_for_as_much_among_a_thousand_as_among_few(
    kernel: Kernel, policies: int
) -> None:
    asked = []
    for count in (3 * policies, 1200):
        firewall = Firewall("wg0", SETTINGS, QUIET)
        firewall.up(device(number, policy(1 + number % policies)) for number in range(count))
        done = len(kernel.asked)
        for allowed in (policy(2), policy(policies), policy(99), policy(1)):
            firewall.change([device(0, allowed)])
        firewall.change([device(5000, policy(1))], ["number-0"])
        asked.append([shape(each) for each in kernel.asked[done:]])
    assert asked[0] == asked[1]
    assert [len(each) for each in asked[0]][:2] == [2, 2], "an address goes and comes"
    assert len(asked[0]) == 5


def test_a_gateway_whose_engine_judges_has_no_chains_of_devices(kernel: Kernel) -> None:
    firewall = Firewall("wg0", SETTINGS, Surroundings(keep_apart=False, forward=False))
    firewall.up([device(2)])
    firewall.change([device(3)], ["number-2"])
    (asked,) = kernel.asked
    names = [dict(request.attributes).get("NFTA_CHAIN_NAME") for request in asked]  # type: ignore[arg-type]
    assert [name for name in names if name] == ["guard", *Reach().chains(), "reach", "leaving"]


def test_what_is_not_there_is_removed_without_a_word(kernel: Kernel) -> None:
    firewall = Firewall("wg0", SETTINGS, QUIET)
    firewall.up()
    firewall.change(removed=["nobody"])
    assert len(kernel.asked) == 1
    kernel.refusal = RefusedError(errno.ENOENT, "a table")
    firewall.down()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EPERM, "takes root"),
        (errno.EOPNOTSUPP, "no nf_tables"),
        (errno.EINVAL, "refuses a part of the firewall .a chain."),
    ],
)
def test_a_refusal_is_told_in_words_and_nothing_is_taken_for_done(
    kernel: Kernel, number: int, told: str
) -> None:
    firewall = Firewall("wg0", SETTINGS, QUIET)
    firewall.up([device(2)])
    kernel.refusal = RefusedError(number, "a chain")
    with pytest.raises(OSError, match=told):
        firewall.change([device(3)], ["number-2"])
    kernel.refusal = None
    firewall.change([device(3)])
    firewall.change(removed=["number-2", "number-3"])
    came, went = map(shape, kernel.asked[-2:])
    assert [what for what, _ in came] == ["addresses of devices"], "the policy is there"
    assert "a chain" in [what for what, _ in went]


def test_an_address_of_another_device_is_refused_in_words_and_the_kernel_is_not_asked(kernel: Kernel) -> None:
    firewall = Firewall("wg0", SETTINGS, QUIET)
    firewall.up([device(2), device(3)])
    for allowed in (DEFAULT_POLICY.allowed(), ()):
        taking = Device("new", (ip_address("10.88.0.3"),), allowed)
        with pytest.raises(OSError, match=r"two devices have one address \(10.88.0.3\)") as caught:
            firewall.change([taking], ["number-2"])
        assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, "wg0")
    assert len(kernel.asked) == 1
    firewall.change([taking], ["number-3"])


def test_a_table_of_many_devices_is_asked_for_in_pieces_that_fit(kernel: Kernel) -> None:
    firewall = Firewall("wg0", SETTINGS, QUIET)
    for policies in (1, 24):
        # With as many as that a third of the devices is in the maps.
        firewall.up(
            Device(f"number-{number}", (ip_address("fd88::2") + number,), policy(number % policies))
            for number in range(6000)
        )
    assert max(max(size for _, size in shape(each)) for each in kernel.asked) < 65_536


def test_a_kernel_that_lacks_something_else_is_not_asked_for_less(kernel: Kernel) -> None:
    firewall = Firewall("wg0", SETTINGS, QUIET)
    kernel.refusal = RefusedError(errno.ENOENT, "a rule of forward")
    with pytest.raises(OSError, match="a rule of forward"):
        firewall.up([device(2)])
    assert firewall.is_bounded


def test_a_kernel_that_cannot_bound_flows_is_asked_without_and_it_is_known(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def transact(family: int, requests: Sequence[Request]) -> None:
        if any("connlimit" in str(request.attributes) for request in requests):
            raise RefusedError(errno.ENOENT, "a bound on flows")
        kernel.transact(family, requests)

    firewall = Firewall("wg0", SETTINGS, QUIET)
    firewall.up([device(2)])
    assert firewall.is_bounded
    monkeypatch.setattr(module, "transact", transact)
    firewall.up([device(2)])
    assert not firewall.is_bounded
    firewall.change([device(3)])
    assert len(kernel.asked) == 3
