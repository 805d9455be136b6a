from __future__ import annotations

from functools import partial
from ipaddress import ip_address, ip_network
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from wirewright.dynamic.pools import Blocked, Pools

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork

SMALL = st.builds(
    lambda base, length: ip_network((base, length), strict=False),
    st.integers(0x0A000000, 0x0A0000FF),
    st.integers(25, 32),
)


def usable(networks: list[IPNetwork]) -> set[IPAddress]:
    """All addresses of the outermost networks but the first and the last of those shorter than /31."""
    outer = [n for n in networks if not any(n != o and n.subnet_of(o) for o in networks)]  # type: ignore[arg-type]
    found: set[IPAddress] = set()
    for network in outer:
        every = [network[number] for number in range(network.num_addresses)]
        found |= set(every[1:-1] if network.prefixlen < 31 else every)
    return found


@given(st.lists(SMALL, min_size=1, max_size=4), st.lists(SMALL, max_size=4), st.data())
def test_an_address_is_found_if_and_only_if_one_is_free(
    networks: list[IPNetwork], blocked: list[IPNetwork], data: st.DataObject
) -> None:
    everything = usable(networks)
    taken = data.draw(st.sets(st.sampled_from(sorted(everything, key=int)))) if everything else set()
    free = {a for a in everything - taken if not any(a in n for n in blocked)}
    pools = Pools(networks)
    assert pools.size(4) == len(everything)
    for seed in range(5):
        chosen = pools.choose(4, taken, len(taken), Blocked(blocked), Random(seed).randrange)
        assert (chosen in free) if free else (chosen is None)


@given(st.lists(SMALL, min_size=1, max_size=4), st.integers(0x0A000000, 0x0A0000FF))
def test_what_may_be_handed_out_is_known(networks: list[IPNetwork], value: int) -> None:
    assert (ip_address(value) in Pools(networks)) == (ip_address(value) in usable(networks))


def test_every_free_address_can_be_chosen() -> None:
    pools = Pools([ip_network("10.0.0.0/29"), ip_network("10.0.1.0/30")])
    chosen = set()
    for number in range(pools.size(4)):
        chosen.add(pools.choose(4, set(), 0, Blocked(()), partial(min, number)))
    assert sorted(map(str, chosen)) == [*(f"10.0.0.{n}" for n in range(1, 7)), "10.0.1.1", "10.0.1.2"]


def test_a_network_of_ipv6_is_chosen_from_without_its_routers_address() -> None:
    network = ip_network("fd00::/64")
    pools = Pools([network])
    assert network[0] not in pools
    assert network[-1] in pools
    assert pools.size(6) == 2**64 - 1
    chosen = pools.choose(6, set(), 0, Blocked(()), Random(1).randrange)
    assert chosen is not None
    assert chosen in pools
    assert Pools([ip_network("fd00::4/127")]).size(6) == 2
    assert ip_network("fd00::4/128")[0] in Pools([ip_network("fd00::4/128")])


def test_few_are_tried_of_a_large_pool_that_is_nearly_all_taken() -> None:
    tried = []

    class Taken:
        def __contains__(self, address: object) -> bool:
            tried.append(address)
            return len(tried) <= 1000

    pools = Pools([ip_network("fd00::/64")])
    assert pools.choose(6, Taken(), 1000, Blocked(()), Random(1).randrange) is not None
    assert len(tried) == 1001
    tried.clear()
    blocked = Blocked([ip_network("fd00::/65"), ip_network("fd00:0:0:0:8000::/66")])
    assert pools.choose(6, set(), 0, blocked, lambda _: 5) == ip_address("fd00:0:0:0:c000::")
