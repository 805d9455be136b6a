"""What changes with devices in a gateway's table: chains of policies, and the addresses that lead to them.

::

    decide ─┬─ common4, common6      rules for policies with sets, `policy-N-4` and `policy-N-6` ─▶ policy-N
            └─ devices4, devices6    maps to the chains of the other policies ────────────────────▶ policy-N

    policy-N ─┬─ bound      of an address that has as many flows as it may: a new one is dropped
              ├─ what the policy allows: accepted
              └─ dropped

A change of devices whose policies are there already is a few elements, in one transaction, whatever the
number of devices. A rule, or an element with a verdict, has the kernel look through all that can be reached
in the table (``nft_table_validate``), each element of the maps too; an element of a set does not.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from pyroute2.netlink import NLM_F_APPEND, NLM_F_CREATE
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELCHAIN,
    NFT_MSG_DELRULE,
    NFT_MSG_DELSET,
    NFT_MSG_DELSETELEM,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWSET,
    NFT_MSG_NEWSETELEM,
)

from wirewright.gateway.policy import is_inside
from wirewright.host import expressions as e
from wirewright.host.filtering import Protocol
from wirewright.host.nftables import Request, append_rule, attribute, text, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wirewright.config.values import IPAddress
    from wirewright.gateway.firewall.policies import Allowed, Place, Plan, Policy
    from wirewright.host.filtering import AllowRule, PacketFilter

MOST_FLOWS: Final = 4096
"""Of one address. The kernel's table of connections is the whole host's: who fills it cuts everybody off."""
MOST_COUNTED: Final = 65_536
"""Addresses of a family with flows at one time; another one begins none."""
AT_ONCE: Final = 500
"""Elements of one request, whose attributes have at most 64 KiB."""

BOUND: Final = "a bound on flows"
"""What is asked for that not every kernel has."""

_COMMON: Final = {4: "common4", 6: "common6"}
_MAPS: Final = {4: "devices4", 6: "devices6"}
_COUNTED: Final = {4: "flows4", 6: "flows6"}
_BOUND: Final = "bound"

# What comes and goes with devices is written without pyroute2, which takes up to 1 ms for each rule.
NFTA_TABLE, NFTA_NAME, NFTA_ELEMENTS = 1, 2, 3
"""In messages about rules, sets and elements; the name is that of the chain, or of the set."""
NFTA_CHAIN_NAME = 3
NFTA_RULE_EXPRESSIONS = 4
NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN, NFTA_SET_DATA_TYPE = 3, 4, 5, 6
NFTA_SET_DESC, NFTA_SET_ID = 9, 10
NFTA_SET_DESC_SIZE = 1
NFT_SET_MAP, NFT_SET_EVAL = 8, 32
NFTA_LIST_ELEM = 1
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
_ADDRESS_TYPE: Final = {4: 7, 6: 8}
"""As nft(8) numbers them, so that it can show sets."""
_ADDRESS_LENGTH: Final = {4: 4, 6: 16}
_VERDICT_TYPE: Final = 0xFFFFFF00

_NUMBERS: Final = {Protocol.TCP: 6, Protocol.UDP: 17}
_ICMP: Final = {4: 1, 6: 58}


def led_to() -> Iterator[e.Expressions]:
    """Give the rules that lead to the policy of whoever began a flow."""
    for version, chain in _COMMON.items():
        yield [*e.is_version(version), *e.verdict(e.NFT_JUMP, chain)]
    for version, name in _MAPS.items():
        yield e.decided_by(name, version)


class Changes:
    """Writes requests; sends nothing."""

    def __init__(self, table: str, settings: PacketFilter) -> None:
        self._table = table
        self._settings = settings
        self.is_bounded = True
        """Whether an address has no more than so many flows, which not every kernel can see to."""

    def create(self) -> Iterator[Request]:
        """Ask for what there is without any device, in a table that has none of it."""
        for version, name in _MAPS.items():
            data = _number(NFTA_SET_DATA_TYPE, _VERDICT_TYPE)
            yield self._new_set(name, version, _number(NFTA_SET_FLAGS, NFT_SET_MAP) + data)
        yield from (self._new_chain(name) for name in _COMMON.values())
        if self.is_bounded:
            for version, name in _COUNTED.items():
                size = attribute(NFTA_SET_DESC, _number(NFTA_SET_DESC_SIZE, MOST_COUNTED))
                yield self._new_set(name, version, _number(NFTA_SET_FLAGS, NFT_SET_EVAL) + size)
            yield self._new_chain(_BOUND)
            for version, name in _COUNTED.items():
                within = [*e.are_within(MOST_FLOWS, name, version), *e.verdict(e.NFT_RETURN)]
                yield append_rule(self._table, _BOUND, BOUND, within)
            yield append_rule(self._table, _BOUND, BOUND, e.drop())

    def carry_out(self, plan: Plan) -> Iterator[Request]:
        """Ask for what a plan says."""
        # First all addresses go that do, for one may come to another device.
        yield from self._elements(NFT_MSG_DELSETELEM, 0, plan.left)
        for policy in plan.begun:
            yield from self._begin(policy)
        if plan.have_sets != plan.had_sets:
            yield from self._exchange_sets(plan.had_sets, plan.have_sets)
        for policy in plan.ended:
            place = text(NFTA_TABLE, self._table) + text(NFTA_CHAIN_NAME, _chain(policy.number))
            yield Request(NFT_MSG_DELCHAIN, 0, place, "a chain")
        yield from self._elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, plan.entered)

    def forget_flows(self, addresses: Iterable[IPAddress]) -> Iterator[Request]:
        """Ask to count no flows of who had these addresses before; for each that has none, it is refused."""
        for address in addresses if self.is_bounded else ():
            element = attribute(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, address.packed))
            listed = attribute(NFTA_ELEMENTS, attribute(NFTA_LIST_ELEM, element))
            place = text(NFTA_TABLE, self._table) + text(NFTA_NAME, _COUNTED[address.version])
            yield Request(NFT_MSG_DELSETELEM, 0, place + listed, "flows of an address")

    def _begin(self, policy: Policy) -> Iterator[Request]:
        chain = _chain(policy.number)
        yield self._new_chain(chain)
        for rule in self._rules(policy.allowed):
            yield self._append(chain, written(rule))

    def _exchange_sets(self, before: Sequence[Policy], after: Sequence[Policy]) -> Iterator[Request]:
        for policy in after:
            if policy not in before:
                for version in _COMMON:
                    yield self._new_set(_set(policy.number, version), version)
        # A rule has no name by which it could be deleted alone.
        for version, chain in _COMMON.items():
            place = text(NFTA_TABLE, self._table) + text(NFTA_NAME, chain)
            yield Request(NFT_MSG_DELRULE, 0, place, "emptying a chain")
            for policy in after:
                yield self._append(chain, _leading(policy.number, version))
        for policy in before:
            if policy not in after:
                for version in _COMMON:
                    place = text(NFTA_TABLE, self._table) + text(NFTA_NAME, _set(policy.number, version))
                    yield Request(NFT_MSG_DELSET, 0, place, "a set of addresses")

    def _rules(self, allowed: Allowed) -> Iterator[e.Expressions]:
        if self.is_bounded:
            yield [*e.is_new(), *e.verdict(e.NFT_JUMP, _BOUND)]
        pools = self._settings.protected
        inside = [rule for rule in allowed if is_inside(rule.network, pools)]
        outside = [rule for rule in allowed if not is_inside(rule.network, pools)]
        for rule in inside:
            yield [*e.began_towards(rule.network), *_by_protocol(rule), *e.accept()]
        for rule in outside:
            for address in self._settings.own:
                if address in rule.network:
                    yield [*e.began_towards(ip_network(address)), *_by_protocol(rule), *e.accept()]
        for pool in pools:
            yield [*e.began_towards(pool), *e.drop()]
        for rule in outside:
            yield [*e.began_towards(rule.network), *_by_protocol(rule), *e.accept()]
        yield e.drop()

    def _elements(
        self, kind: int, flags: int, addresses: Iterable[tuple[Place, IPAddress]]
    ) -> Iterator[Request]:
        by_set: dict[str, list[bytes]] = {}
        for place, address in addresses:
            element = attribute(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, address.packed))
            name = _set(place.number, address.version) if place.has_sets else _MAPS[address.version]
            if kind == NFT_MSG_NEWSETELEM and not place.has_sets:
                element += _verdict(place.number)
            by_set.setdefault(name, []).append(attribute(NFTA_LIST_ELEM, element))
        for name, elements in by_set.items():
            place_of_set = text(NFTA_TABLE, self._table) + text(NFTA_NAME, name)
            for first in range(0, len(elements), AT_ONCE):
                listed = attribute(NFTA_ELEMENTS, b"".join(elements[first : first + AT_ONCE]))
                yield Request(kind, flags, place_of_set + listed, "addresses of devices")

    def _new_chain(self, name: str) -> Request:
        place = text(NFTA_TABLE, self._table) + text(NFTA_CHAIN_NAME, name)
        return Request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, place, "a chain")

    def _new_set(self, name: str, version: int, more: bytes = b"") -> Request:
        place = text(NFTA_TABLE, self._table) + text(NFTA_NAME, name)
        kind = _number(NFTA_SET_KEY_TYPE, _ADDRESS_TYPE[version])
        length = _number(NFTA_SET_KEY_LEN, _ADDRESS_LENGTH[version])
        # The number is for referring to it within the transaction, which nothing does.
        attributes = place + kind + length + _number(NFTA_SET_ID, 1) + more
        return Request(NFT_MSG_NEWSET, NLM_F_CREATE, attributes, "a set of addresses")

    def _append(self, chain: str, expressions: bytes) -> Request:
        place = text(NFTA_TABLE, self._table) + text(NFTA_NAME, chain)
        rule = place + attribute(NFTA_RULE_EXPRESSIONS, expressions)
        return Request(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rule, f"a rule of {chain}")


@lru_cache(maxsize=256)
def _leading(number: int, version: int) -> bytes:
    """Write the rule that leads from a policy's set to its chain."""
    return written([*e.began_in(_set(number, version), version), *e.verdict(e.NFT_JUMP, _chain(number))])


def _verdict(number: int) -> bytes:
    """Write what an element of a map says: that a policy's chain decides."""
    code = attribute(NFTA_VERDICT_CODE, e.NFT_JUMP.to_bytes(4, "big", signed=True))
    verdict = attribute(NFTA_DATA_VERDICT, code + text(NFTA_VERDICT_CHAIN, _chain(number)))
    return attribute(NFTA_SET_ELEM_DATA, verdict)


def _number(kind: int, number: int) -> bytes:
    return attribute(kind, number.to_bytes(4, "big"))


def _chain(number: int) -> str:
    return f"policy-{number}"


def _set(number: int, version: int) -> str:
    return f"policy-{number}-{version}"


def _by_protocol(rule: AllowRule) -> e.Expressions:
    if rule.protocol is Protocol.ANY:
        return []
    number = _NUMBERS.get(rule.protocol) or _ICMP[rule.network.version]
    ports = e.began_to_ports(rule.ports.first, rule.ports.last) if rule.ports else []
    return [*e.is_protocol(number), *ports]
