"""The table of a gateway: its chains, what is in them, and the transactions that change it.

::

    prerouting ─▶ guard        packets with an address of the tunnel's that come by another interface: dropped
               ─▶ reach        what comes from the interface to where no device may go (reach.py): dropped
    forward    ─▶ apart        from one other interface to another, where nobody forwarded before: dropped
    input      ─┐
    forward    ─┼▶ decide      what comes from the interface, or leaves by it
    output     ─┘    │
                     ├─ invalid, and ICMP that is neither echo nor error: dropped
                     ├─ of a flow that the host's own address began: accepted
                     ├─ map `devices4`, `devices6`: who began the flow? ─▶ chain of the device
                     └─ dropped
    postrouting ─▶ leaving     what a device sends to the outside gets the address of the host

A device's chain accepts what its policy allows, by what is known of the *flow*: to whom and to which port
it was begun. So each packet is judged, answers and ICMP errors among them, by the rules of whoever began; a
rule that is taken away ends its flows at once, and nothing has to be searched for in the kernel's table of
connections.

One device's change is its chain and its elements of the maps, in one transaction, whatever the number of
devices. The kernel, though, looks through a whole table for circles whenever a rule comes to it
(``nft_table_validate``).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from pyroute2.netlink import NLM_F_APPEND, NLM_F_CREATE
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELCHAIN,
    NFT_MSG_DELRULE,
    NFT_MSG_DELSETELEM,
    NFT_MSG_DELTABLE,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWSET,
    NFT_MSG_NEWSETELEM,
    NFT_MSG_NEWTABLE,
)

from wirewright.gateway.policy import is_inside
from wirewright.host import expressions as e
from wirewright.host.filtering import Protocol
from wirewright.host.nftables import Request, append_rule, attribute, base_chain, text, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wirewright.config.values import IPAddress
    from wirewright.gateway.firewall.reach import Reach
    from wirewright.host.filtering import AllowRule, PacketFilter

NFPROTO_INET: Final = 1
_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING = range(5)
_RAW, _MANGLE, _FILTER, _SOURCE_NAT = -300, -150, 0, 100

_MAPS: Final = {4: "devices4", 6: "devices6"}
_ADDRESS_TYPE: Final = {4: 7, 6: 8}
"""As nft(8) numbers them, so that it can show the maps."""
_SET_MAP: Final = ("NFT_SET_MAP",)
_VERDICT_TYPE: Final = 0xFFFFFF00

# What there is once a device is written without pyroute2, which takes 3 ms for each.
NFTA_TABLE, NFTA_NAME, NFTA_ELEMENTS = 1, 2, 3
"""In messages about rules and elements; the name is that of the chain, or of the map."""
NFTA_CHAIN_NAME = 3
NFTA_RULE_EXPRESSIONS = 4
NFTA_LIST_ELEM = 1
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
MOST_FLOWS: Final = 4096
"""Of one device. The kernel's table of connections is the whole host's: who fills it cuts everybody off."""
MOST_POLICIES: Final = 256
"""That are kept written."""

_LOOSE_SOURCE_ROUTE, _STRICT_SOURCE_ROUTE = 131, 137
_ICMP_TYPES: Final = {4: (0, 3, 8, 11, 12), 6: (1, 2, 3, 4, 128, 129)}
"""Echo, and errors about a flow."""
_NUMBERS: Final = {Protocol.TCP: 6, Protocol.UDP: 17}
_ICMP: Final = {4: 1, 6: 58}


def name_of(interface: str) -> str:
    """Give the name of an interface's table."""
    return f"wirewright_{interface}"


class Table:
    """Writes requests; sends nothing."""

    def __init__(
        self, interface: str, settings: PacketFilter, reach: Reach, *, keep_apart: bool, masquerade: bool
    ) -> None:
        self._interface = interface
        self._settings = settings
        self._reach = reach
        self._keep_apart = keep_apart
        self._masquerade = masquerade
        self._name = name_of(interface)
        self._policies: dict[tuple[AllowRule, ...], list[bytes]] = {}
        self.between: dict[int, list[str]] = {}
        """Interfaces, by IP version, between which nothing is to pass that is not the gateway's."""
        self.is_bounded = True
        """Whether a device has no more than so many flows, which not every kernel can see to."""

    def create(self) -> Iterator[Request]:
        """Ask for the table without any device, in the place of one that is there."""
        yield self._table(NFT_MSG_NEWTABLE)
        yield self._table(NFT_MSG_DELTABLE)
        yield self._table(NFT_MSG_NEWTABLE)
        yield self._base_chain("guard", "filter", _PREROUTING, _RAW)
        yield from self._rules("guard", self._guard())
        for name, rules in self._reach.chains().items():
            yield self._chain(name)
            yield from self._rules(name, rules)
        yield self._base_chain("reach", "filter", _PREROUTING, _MANGLE)
        yield from self._rules("reach", self._reach.judge(self._interface, self._settings))
        if self.between:
            yield from self._separation()
        if self._keep_apart:
            yield from (self._map(version) for version in _MAPS)
            yield from self._plain_chains()
            for name, hook in (("input", _INPUT), ("forward", _FORWARD), ("output", _OUTPUT)):
                yield self._base_chain(name, "filter", hook, _FILTER)
                yield from self._rules(name, self._here(name))
        if self._masquerade:
            yield self._base_chain("leaving", "nat", _POSTROUTING, _SOURCE_NAT)
            yield from self._rules("leaving", self._leaving())

    def unbound(self) -> None:
        """Do without a bound on flows."""
        self.is_bounded = False
        self._policies.clear()

    def delete(self) -> Request:
        """Ask for the table to go, with all that is in it."""
        return self._table(NFT_MSG_DELTABLE)

    def put(self, chain: str, allowed: Iterable[AllowRule]) -> Iterator[Request]:
        """Ask for a device's chain, in the place of one that is there."""
        place = text(NFTA_TABLE, self._name) + text(NFTA_NAME, chain)
        yield self._chain(chain)
        yield Request(NFT_MSG_DELRULE, 0, place, "emptying a chain")
        for rule in self._written(tuple(allowed)):
            yield Request(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, place + rule, f"a rule of {chain}")

    def drop(self, chain: str) -> Request:
        """Ask for a device's chain to go."""
        return Request(NFT_MSG_DELCHAIN, 0, self._chain_of(chain), "a chain")

    def lead(self, addresses: Sequence[IPAddress], chain: str) -> Iterator[Request]:
        """Ask for flows that addresses began to be judged by a chain."""
        code = attribute(NFTA_VERDICT_CODE, e.NFT_JUMP.to_bytes(4, "big", signed=True))
        verdict = attribute(NFTA_DATA_VERDICT, code + text(NFTA_VERDICT_CHAIN, chain))
        yield from self._elements(
            NFT_MSG_NEWSETELEM, NLM_F_CREATE, addresses, attribute(NFTA_SET_ELEM_DATA, verdict)
        )

    def leave(self, addresses: Sequence[IPAddress]) -> Iterator[Request]:
        """Ask for flows that addresses began to be dropped."""
        yield from self._elements(NFT_MSG_DELSETELEM, 0, addresses, b"")

    # What is in the chains.

    def _plain_chains(self) -> Iterator[Request]:
        contents = {
            "icmp4": _known_icmp(4),
            "icmp6": _known_icmp(6),
            "decide": self._decide(),
        }
        for name in contents:
            yield self._chain(name)
        for name, rules in contents.items():
            yield from self._rules(name, rules)

    def _guard(self) -> Iterator[e.Expressions]:
        for option in (_LOOSE_SOURCE_ROUTE, _STRICT_SOURCE_ROUTE):
            yield [*e.came_by(self._interface), *e.has_option(option), *e.drop()]
        for interface in (self._interface, "lo"):
            yield [*e.came_by(interface), *e.accept()]
        own = (ip_network(address) for address in self._settings.own)
        for network in (*self._settings.protected, *own):
            yield [*e.has_source(network), *e.drop()]

    def _here(self, hook: str) -> Iterator[e.Expressions]:
        if hook != "output":
            yield [*e.came_by(self._interface), *e.verdict(e.NFT_JUMP, "decide")]
        if hook != "input":
            yield [*e.leaves_by(self._interface), *e.verdict(e.NFT_JUMP, "decide")]

    def _decide(self) -> Iterator[e.Expressions]:
        yield [*e.is_invalid(), *e.drop()]
        for version in (4, 6):
            yield [*e.is_icmp(version), *e.verdict(e.NFT_JUMP, f"icmp{version}")]
        for address in self._settings.own:
            yield [*e.began_at(address), *e.accept()]
        for version, name in _MAPS.items():
            yield e.decided_by(name, version)
        yield e.drop()

    def _leaving(self) -> Iterator[e.Expressions]:
        for pool in self._settings.protected:
            yield [*e.leaves_by(self._interface, other=True), *e.has_source(pool), *e.masquerade()]

    def _separation(self) -> Iterator[Request]:
        for version, names in self.between.items():
            chain = f"between{version}"
            yield self._chain(chain)
            yield from self._rules(chain, ([*e.leaves_by(name), *e.drop()] for name in names))
        yield self._base_chain("apart", "filter", _FORWARD, _FILTER)
        for version, names in self.between.items():
            for name in names:
                # Within one network nobody is forwarded; a bridge asks nf_tables, too.
                yield from self._rules("apart", [[*e.came_by(name), *e.leaves_by(name), *e.accept()]])
                judged = [
                    *e.is_version(version),
                    *e.came_by(name),
                    *e.verdict(e.NFT_JUMP, f"between{version}"),
                ]
                yield from self._rules("apart", [judged])

    def _device(self, allowed: tuple[AllowRule, ...]) -> Iterator[e.Expressions]:
        if self.is_bounded:
            yield [*e.is_new(), *e.are_over(MOST_FLOWS), *e.drop()]
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

    # Requests.

    def _table(self, kind: int) -> Request:
        flags = NLM_F_CREATE if kind == NFT_MSG_NEWTABLE else 0
        return Request(kind, flags, [("NFTA_TABLE_NAME", self._name)], "a table of the family inet")

    def _chain(self, name: str) -> Request:
        return Request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, self._chain_of(name), "a chain")

    def _base_chain(self, name: str, kind: str, hook: int, priority: int) -> Request:
        return base_chain(self._name, name, kind, hook, priority)

    def _rules(self, chain: str, rules: Iterable[e.Expressions]) -> Iterator[Request]:
        for expressions in rules:
            yield append_rule(self._name, chain, f"a rule of the chain {chain}", expressions)

    def _map(self, version: int) -> Request:
        attributes = [
            ("NFTA_SET_TABLE", self._name),
            ("NFTA_SET_NAME", _MAPS[version]),
            ("NFTA_SET_FLAGS", _SET_MAP),
            ("NFTA_SET_KEY_TYPE", _ADDRESS_TYPE[version]),
            ("NFTA_SET_KEY_LEN", {4: 4, 6: 16}[version]),
            ("NFTA_SET_DATA_TYPE", _VERDICT_TYPE),
            ("NFTA_SET_ID", version),
        ]
        return Request(NFT_MSG_NEWSET, NLM_F_CREATE, attributes, "a map from addresses to chains")

    def _elements(
        self, kind: int, flags: int, addresses: Sequence[IPAddress], data: bytes
    ) -> Iterator[Request]:
        for version, name in _MAPS.items():
            elements = [
                attribute(NFTA_LIST_ELEM, _key(address) + data)
                for address in addresses
                if address.version == version
            ]
            if elements:
                place = text(NFTA_TABLE, self._name) + text(NFTA_NAME, name)
                listed = attribute(NFTA_ELEMENTS, b"".join(elements))
                yield Request(kind, flags, place + listed, "the address of a device")

    def _chain_of(self, name: str) -> bytes:
        return text(NFTA_TABLE, self._name) + text(NFTA_CHAIN_NAME, name)

    def _written(self, allowed: tuple[AllowRule, ...]) -> list[bytes]:
        """Write a device's rules; most devices have the same few policies."""
        known = self._policies.get(allowed)
        if known is None:
            if len(self._policies) >= MOST_POLICIES:
                self._policies.clear()
            rules = self._device(allowed)
            known = [attribute(NFTA_RULE_EXPRESSIONS, written(rule)) for rule in rules]
            self._policies[allowed] = known
        return known


def _key(address: IPAddress) -> bytes:
    return attribute(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, address.packed))


def _known_icmp(version: int) -> Iterator[e.Expressions]:
    for number in _ICMP_TYPES[version]:
        yield [*e.has_icmp_type(number), *e.verdict(e.NFT_RETURN)]
    yield e.drop()


def _by_protocol(rule: AllowRule) -> e.Expressions:
    if rule.protocol is Protocol.ANY:
        return []
    number = _NUMBERS.get(rule.protocol) or _ICMP[rule.network.version]
    ports = e.began_to_ports(rule.ports.first, rule.ports.last) if rule.ports else []
    return [*e.is_protocol(number), *ports]
