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
                     ├─ sets `policy-N-4`, `policy-N-6` ─┐
                     ├─ maps `devices4`, `devices6`     ─┴▶ who began the flow? ─▶ chain `policy-N`
                     └─ dropped
    postrouting ─▶ leaving     what a device sends to the outside gets the address of the host

A policy's chain accepts what it allows, by what is known of the *flow*: to whom and to which port it was
begun. So each packet is judged, answers and ICMP errors among them, by the rules of whoever began; a rule
that is taken away ends its flows at once, and nothing has to be searched for in the kernel's table of
connections.

What changes with devices is in :mod:`wirewright.gateway.firewall.changes`.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from pyroute2.netlink import NLM_F_CREATE
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWTABLE

from wirewright.gateway.firewall.changes import Changes, led_to
from wirewright.host import expressions as e
from wirewright.host.nftables import Request, append_rule, base_chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wirewright.config.values import IPAddress
    from wirewright.gateway.firewall.policies import Plan
    from wirewright.gateway.firewall.reach import Reach
    from wirewright.host.filtering import PacketFilter

NFPROTO_INET: Final = 1
_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING = range(5)
_RAW, _MANGLE, _FILTER, _SOURCE_NAT = -300, -150, 0, 100

_LOOSE_SOURCE_ROUTE, _STRICT_SOURCE_ROUTE = 131, 137
_ICMP_TYPES: Final = {4: (0, 3, 8, 11, 12), 6: (1, 2, 3, 4, 128, 129)}
"""Echo, and errors about a flow."""


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
        self._changes = Changes(self._name, settings)
        self.between: dict[int, list[str]] = {}
        """Interfaces, by IP version, between which nothing is to pass that is not the gateway's."""

    @property
    def is_bounded(self) -> bool:
        """Whether an address has no more than so many flows, which not every kernel can see to."""
        return self._changes.is_bounded

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
            yield from self._changes.create()
            yield from self._plain_chains()
            for name, hook in (("input", _INPUT), ("forward", _FORWARD), ("output", _OUTPUT)):
                yield self._base_chain(name, "filter", hook, _FILTER)
                yield from self._rules(name, self._here(name))
        if self._masquerade:
            yield self._base_chain("leaving", "nat", _POSTROUTING, _SOURCE_NAT)
            yield from self._rules("leaving", self._leaving())

    def unbound(self) -> None:
        """Do without a bound on flows."""
        self._changes.is_bounded = False

    def delete(self) -> Request:
        """Ask for the table to go, with all that is in it."""
        return self._table(NFT_MSG_DELTABLE)

    def forget_flows(self, addresses: Iterable[IPAddress]) -> Iterator[Request]:
        """Ask to count no flows of who had these addresses before; for each that has none, it is refused."""
        return self._changes.forget_flows(addresses)

    def carry_out(self, plan: Plan) -> Iterator[Request]:
        """Ask for what a plan says of devices and their policies."""
        return self._changes.carry_out(plan)

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
        yield from led_to()
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

    # Requests.

    def _table(self, kind: int) -> Request:
        flags = NLM_F_CREATE if kind == NFT_MSG_NEWTABLE else 0
        return Request(kind, flags, [("NFTA_TABLE_NAME", self._name)], "a table of the family inet")

    def _chain(self, name: str) -> Request:
        attributes = [("NFTA_CHAIN_TABLE", self._name), ("NFTA_CHAIN_NAME", name)]
        return Request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, attributes, "a chain")

    def _base_chain(self, name: str, kind: str, hook: int, priority: int) -> Request:
        return base_chain(self._name, name, kind, hook, priority)

    def _rules(self, chain: str, rules: Iterable[e.Expressions]) -> Iterator[Request]:
        for expressions in rules:
            yield append_rule(self._name, chain, f"a rule of the chain {chain}", expressions)


def _known_icmp(version: int) -> Iterator[e.Expressions]:
    for number in _ICMP_TYPES[version]:
        yield [*e.has_icmp_type(number), *e.verdict(e.NFT_RETURN)]
    yield e.drop()
