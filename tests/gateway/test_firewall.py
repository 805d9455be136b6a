"""What the firewall of a gateway asks the kernel for, without a kernel."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from wirewright.gateway.firewall import Device, Firewall, Surroundings
from wirewright.gateway.firewall import firewall as module
from wirewright.gateway.policy import DEFAULT_POLICY
from wirewright.host.filtering import PacketFilter
from wirewright.host.nftables import RefusedError, Request

SETTINGS = PacketFilter(
    (ip_address("10.88.0.1"), ip_address("fd88::1")), (ip_network("10.88.0.0/16"), ip_network("fd88::/64"))
)
QUIET = Surroundings(forward=False)


class Kernel:
    """Takes transactions, or refuses them."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Request]] = []
        self.refusal: RefusedError | None = None

    def transact(self, family: int, requests: Sequence[Request]) -> None:
        assert family == 1, "inet"
        if self.refusal:
            raise self.refusal
        self.asked.append(requests)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(module, "transact", kernel.transact)
    return kernel


def device(number: int, name: str | None = None) -> Device:
    address = ip_address("10.88.0.0") + number
    return Device(name or f"number-{number}", (address,), DEFAULT_POLICY.allowed())


def test_a_change_of_one_device_asks_for_as_much_among_a_thousand_as_alone(kernel: Kernel) -> None:
    asked = []
    for count in (1, 1000):
        firewall = Firewall("wg0", SETTINGS, QUIET)
        firewall.up(device(number) for number in range(2, count + 2))
        firewall.change([device(2)])
        firewall.change([device(5000)], ["number-2"])
        asked.append([[request.what for request in each] for each in kernel.asked[-2:]])
    assert asked[0] == asked[1]
    assert max(map(len, asked[0])) < 14


def test_a_gateway_whose_engine_judges_has_no_chains_of_devices(kernel: Kernel) -> None:
    firewall = Firewall("wg0", SETTINGS, Surroundings(keep_apart=False, forward=False))
    firewall.up([device(2)])
    firewall.change([device(3)], ["number-2"])
    (asked,) = kernel.asked
    attributes = [request.attributes for request in asked]
    names = [dict(each).get("NFTA_CHAIN_NAME") for each in attributes if not isinstance(each, bytes)]
    assert [name for name in names if name] == ["guard", "reach", "leaving"]
    assert not any(b"device-number" in each for each in attributes if isinstance(each, bytes))


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
        (errno.EEXIST, "two devices have one address"),
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
    firewall.change(removed=["number-2", "number-3"])
    assert len(kernel.asked[-1]) == 2, "one address and one chain"


def test_a_kernel_that_cannot_bound_a_devices_flows_is_asked_without_and_it_is_known(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def transact(family: int, requests: Sequence[Request]) -> None:
        if any(
            b"connlimit" in request.attributes for request in requests if bytes is type(request.attributes)
        ):
            raise RefusedError(errno.ENOENT, "a rule of a device")
        kernel.transact(family, requests)

    firewall = Firewall("wg0", SETTINGS, QUIET)
    firewall.up([device(2)])
    assert firewall.is_bounded
    monkeypatch.setattr(module, "transact", transact)
    firewall.up([device(2)])
    assert not firewall.is_bounded
    firewall.change([device(3)])
    assert len(kernel.asked) == 3
