"""From an interface as it is to what takes it down.

Nothing is remembered from the time it was set up: what there is, is looked for, so that an interface that
``wg-quick`` set up can be taken down as well. Each part is taken away whatever became of the others.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirewright.host import firewall
from wirewright.host.network import RT_TABLE_MAIN, Rule
from wirewright.tunnel.system import shared, steps
from wirewright.tunnel.system.tables import FIRST_TABLE
from wirewright.tunnel.system.up import hooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config import Config
    from wirewright.host.device import DeviceState
    from wirewright.host.network import Network
    from wirewright.host.resolver import Resolver
    from wirewright.tunnel.system.host import Host
    from wirewright.tunnel.system.plan import Step


@dataclass(frozen=True)
class RemoveRule(steps.Step):
    """Have packets look for their route in a table no more."""

    rule: Rule

    def describe(self) -> str:
        """Give the command that people know for it."""
        return steps.AddRule(self.rule).describe().replace("rule add", "rule delete")

    def do(self, host: Host) -> None:
        """Delete it; it may be gone."""
        with contextlib.suppress(FileNotFoundError):
            host.network.delete_rule(self.rule)


@dataclass(frozen=True)
class Delete(steps.Step):
    """Delete the interface, and with it its addresses and routes."""

    interface: str

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"ip link delete dev {self.interface}"

    def do(self, host: Host) -> None:
        """Delete it; it may be gone."""
        try:
            host.engine.delete(self.interface)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


@dataclass(frozen=True)
class UnsetResolver(steps.Step):
    """Have names resolved as before."""

    interface: str
    resolver: Resolver

    def describe(self) -> str:
        """Give the command that people know for it."""
        return " && ".join(self.resolver.describe_unset(self.interface))

    def do(self, host: Host) -> None:
        """Tell the resolver."""
        link = host.network.link(self.interface)
        self.resolver.unset(self.interface, link.index if link else 0)
        shared.forget(shared.RESOLVER, self.interface)


@dataclass(frozen=True)
class ReleaseSysctl(steps.Step):
    """Need a number of the kernel's no more."""

    name: str
    interface: str

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"sysctl -q {self.name}=... (as it was before)"

    def do(self, host: Host) -> None:
        """Set it as it was, unless others need it."""
        steps.NeedSysctl(self.name, "", self.interface).undo(host)


@dataclass(frozen=True)
class Unguard(steps.Step):
    """Refuse packets from elsewhere no more."""

    interface: str
    owner: firewall.Owner

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"nft delete table {firewall.table_of(self.interface, self.owner)}"

    def do(self, host: Host) -> None:
        """Delete the tables, if there are any."""
        firewall.unguard(self.interface, self.owner)


def plan(  # noqa: PLR0917
    name: str,
    config: Config | None,
    state: DeviceState | None,
    network: Network,
    resolvers: Sequence[Resolver],
    save: Step | None = None,
) -> list[Step]:
    """Give the steps; without a configuration there are no hooks to run."""
    row: list[Step] = []
    if config is not None:
        row += hooks(name, config.interface.pre_down)
    if save is not None:
        row.append(save)
    row += _rules(name, config, state, network)
    row += [UnsetResolver(name, resolver) for resolver in resolvers]
    row.append(Delete(name))
    row += [Unguard(name, owner) for owner in firewall.OWNERS if firewall.guarded(name, owner)]
    if shared.is_needed_by(steps.SRC_VALID_MARK, name):
        row.append(ReleaseSysctl(steps.SRC_VALID_MARK, name))
    if config is not None:
        row += hooks(name, config.interface.post_down)
    return row


def has_traces(name: str) -> bool:
    """Whether something is left of an interface that was set up, though it may have gone itself."""
    is_guarded = any(firewall.guarded(name, owner) for owner in firewall.OWNERS)
    noted = (steps.SRC_VALID_MARK, shared.RESOLVER)
    return is_guarded or any(shared.is_needed_by(what, name) for what in noted)


def _rules(name: str, config: Config | None, state: DeviceState | None, network: Network) -> list[Step]:
    """Give the steps that remove the rules of a default route: of its table, and one of the main table's.

    They are the interface's if its default route is in the table. Where the interface has gone, with its
    routes, those are to be removed whose table is empty, and of the numbers that we choose or the file tells.
    """
    if config is not None and config.interface.table not in (None, "auto"):
        return []
    link = network.link(name)
    mark = state.fwmark if state else config.interface.fwmark if config else None
    row: list[Step] = []
    for version in (4, 6):
        for rule in network.rules(version):
            if rule.is_narrower or rule.unless_mark != rule.table:
                continue
            routes = network.routes(version, table=rule.table)
            if link is not None:
                defaults = [route for route in routes if not route.network.prefixlen]
                is_ours = rule.table == mark and any(route.link == link.index for route in defaults)
            else:
                is_ours = not routes and (rule.table >= FIRST_TABLE or rule.table == mark)
            if is_ours:
                suppress = Rule(version, RT_TABLE_MAIN, suppress_prefix_length=0)
                row += [RemoveRule(rule), RemoveRule(suppress)]
    return row
