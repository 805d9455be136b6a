"""From a configuration and what is known of the host to the steps that set the interface up.

The order is ``wg-quick``'s: the commands before, the interface, its settings, addresses, the resolver,
routes from the longest prefix to the shortest, the commands after. Packets for everything (a network of
length zero) get a table of their own, which all packets ask but the outer ones, known by their mark; and
before it the main table is asked for all but its default route, so that what is near is reached as before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wirewright.host.network import RT_TABLE_MAIN, Route, Rule
from wirewright.tunnel.system import steps
from wirewright.tunnel.system.changes import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.config import Config
    from wirewright.config.model import Hook, Interface
    from wirewright.config.values import IPNetwork
    from wirewright.host.engine import EngineName
    from wirewright.host.resolver import Resolver
    from wirewright.tunnel.system.facts import Facts
    from wirewright.tunnel.system.plan import Step


def plan(
    name: str,
    config: Config,
    facts: Facts,
    engine: EngineName,
    resolver: Resolver | None,
) -> list[Step]:
    """Give the steps; `resolver` is that of the host, where the configuration names servers."""
    interface = config.interface
    mark = interface.fwmark or facts.table
    row: list[Step] = [
        *hooks(name, interface.pre_up),
        steps.Create(name, engine),
        steps.Configure(name, replace(whole(config, facts.endpoints), fwmark=mark or interface.fwmark or 0)),
        *(steps.AddAddress(name, address) for address in interface.addresses),
        steps.BringUp(name, interface.mtu or facts.mtu),
    ]
    if interface.dns_servers and resolver is not None:
        row.append(steps.SetResolver(name, resolver, interface.dns_servers, interface.search_domains))
    row += _routes(name, config, mark)
    return [*row, *hooks(name, interface.post_up)]


def hooks(name: str, commands: tuple[Hook, ...]) -> list[Step]:
    """Give the steps that run commands of the file, ``%i`` being the interface."""
    return [steps.RunHook(hook, name) for hook in commands]


def routed(config: Config) -> list[IPNetwork]:
    """Give the networks that peers are reached by, the longest prefixes first."""
    networks = {network for peer in config.effective_peers() for network in peer.allowed_ips}
    return sorted(networks, key=lambda network: (-network.prefixlen, network.version, network))


def _routes(name: str, config: Config, mark: int | None) -> Iterator[Step]:
    table = config.interface.table
    if table == "off":
        return
    for network in routed(config):
        if isinstance(table, int):
            yield steps.AddRoute(name, Route(network, 0, table))
        elif network.prefixlen == 0 and mark is not None:
            yield from _default(name, config.interface, network, mark)
        elif not is_connected(config.interface, network):
            yield steps.AddRoute(name, Route(network, 0))


def is_connected(interface: Interface, network: IPNetwork) -> bool:
    """Whether the interface's own addresses make the kernel add a route to the network, or one around it."""
    return any(
        address.version == network.version
        # One address of IPv4 is in the table of local ones alone.
        and (address.version == 6 or address.network.prefixlen < 32)
        and network.subnet_of(address.network)  # type: ignore[arg-type]
        for address in interface.addresses
    )


def _default(name: str, interface: Interface, network: IPNetwork, mark: int) -> Iterator[Step]:
    version = network.version
    yield steps.AddRoute(name, Route(network, 0, mark))
    yield steps.AddRule(Rule(version, mark, unless_mark=mark))
    yield steps.AddRule(Rule(version, RT_TABLE_MAIN, suppress_prefix_length=0))
    if version == 4:
        yield steps.NeedSysctl(steps.SRC_VALID_MARK, "1", name)
    addresses = tuple(address for address in interface.addresses if address.version == version)
    yield steps.Guard(name, mark, addresses, version)
