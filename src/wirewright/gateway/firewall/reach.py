"""Where devices may go at most, whatever a coordinator allows: the operator's word, the same for each engine.

It is judged by the destination as the device wrote it, before anything translates it, where a flow begins:

- The gateway's own addresses and those of devices are for the policies alone.
- What is *special* (:mod:`wirewright.gateway.special`) is reached only if a network of the operator's lies
  inside it; so is what embeds such an address of IPv4, for a translator behind the host would lead there.
- The host's other addresses are reached where the operator says so, for all or by naming one alone.
- Everything else is reached if a network of the operator's contains it.

An operator who names nothing means everything that is not special, and none of the host's other addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from wirewright.gateway.special import EVERYWHERE, SPECIAL, lies_in
from wirewright.host import expressions as e

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.config.values import IPNetwork
    from wirewright.host.filtering import PacketFilter

_OUTSIDE: Final = {4: "outside4", 6: "outside6"}
_EMBEDDED: Final = "embedded"
# linux/rtnetlink.h
_LOCAL, _BROADCAST, _ANYCAST, _MULTICAST = 2, 3, 4, 5
_WRAPPED: Final = (
    # NAT64 (RFC 6052), 6to4 (RFC 3056), and Teredo (RFC 4380), where the address stands inverted.
    (IPv6Network("64:ff9b::/96"), 12, False),
    (IPv6Network("2002::/16"), 2, False),
    (IPv6Network("2001::/32"), 12, True),
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What an operator lets devices reach."""

    networks: tuple[IPNetwork, ...] = EVERYWHERE
    host: bool = False
    """Whether the host's addresses outside of the tunnel are reached as any other."""

    def judge(self, interface: str, settings: PacketFilter) -> Iterator[e.Expressions]:
        """Give the rules of the chain that each packet comes to before its destination is translated."""
        yield [*e.came_by(interface, other=True), *e.accept()]
        yield [*e.is_answer(), *e.accept()]
        yield [*e.is_established(), *e.accept()]
        own = (ip_network(address) for address in settings.own)
        for network in (*own, *settings.protected):
            yield [*e.has_destination(network), *e.accept()]
        for version, chain in _OUTSIDE.items():
            yield [*e.is_version(version), *e.verdict(e.NFT_JUMP, chain)]

    def chains(self) -> dict[str, list[e.Expressions]]:
        """Give the chains that :meth:`judge` goes on in, each before those that lead to it."""
        found = {_EMBEDDED: list(self._embedded())}
        return found | {chain: list(self._outside(version)) for version, chain in _OUTSIDE.items()}

    def _outside(self, version: int) -> Iterator[e.Expressions]:
        networks = [network for network in self.networks if network.version == version]
        special = [network for network in SPECIAL if network.version == version]
        for each in sorted(special, key=lambda network: -network.prefixlen):
            for network in networks:
                if lies_in(network, (each,)):
                    yield [*e.has_destination(network), *e.accept()]
            yield [*e.has_destination(each), *e.drop()]
        if version == 6:
            yield e.verdict(e.NFT_JUMP, _EMBEDDED)
        for network in networks:
            if network.prefixlen == network.max_prefixlen:
                yield [*e.has_destination(network), *e.accept()]
        for kind in (_BROADCAST, _MULTICAST) if self.host else (_LOCAL, _BROADCAST, _ANYCAST, _MULTICAST):
            yield [*e.goes_to(kind), *e.drop()]
        for network in networks:
            yield [*e.has_destination(network), *e.accept()]
        yield e.drop()

    def _embedded(self) -> Iterator[e.Expressions]:
        named = [network for network in self.networks if isinstance(network, IPv4Network)]
        for each in SPECIAL:
            if not isinstance(each, IPv4Network):
                continue
            opened = [network for network in named if lies_in(network, (each,))]
            for around, at, inverted in _WRAPPED:
                prefix = e.has_destination(around)
                for network in opened:
                    yield [*prefix, *e.embeds(network, at, inverted=inverted), *e.verdict(e.NFT_RETURN)]
                yield [*prefix, *e.embeds(each, at, inverted=inverted), *e.drop()]


NOT_THE_HOST: Final = Reach()
"""Everything that is neither special nor the host's."""
