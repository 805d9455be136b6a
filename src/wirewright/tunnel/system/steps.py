"""The steps of which setting an interface up consists.

What goes with the interface itself (its addresses, its routes, its settings) is not undone one by one.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from wirewright.host import firewall
from wirewright.host.network import RT_TABLE_MAIN
from wirewright.tunnel.system import shared

if TYPE_CHECKING:
    from wirewright.config.model import Hook
    from wirewright.config.values import IPAddress, IPInterface
    from wirewright.host.device import DeviceChange
    from wirewright.host.network import Route, Rule
    from wirewright.host.resolver import Resolver
    from wirewright.tunnel.system.host import Host

SRC_VALID_MARK: Final = "net.ipv4.conf.all.src_valid_mark"


class Step:
    """A step that leaves nothing to undo."""

    def undo(self, host: Host) -> None:
        """Do nothing: what was done goes with the interface."""


@dataclass(frozen=True)
class RunHook(Step):
    """A command of the file; what it did is the affair of the file's other hooks."""

    hook: Hook
    interface: str

    def describe(self) -> str:
        """Give the command, with what looks like a key hidden."""
        return str(self.hook).replace("%i", self.interface)

    def do(self, host: Host) -> None:
        """Run it."""
        host.run_hook(self.hook, self.interface)


@dataclass(frozen=True)
class Create(Step):
    """Make the interface."""

    interface: str
    engine: str

    def describe(self) -> str:
        """Give the command that people know for it."""
        if self.engine == "kernel":
            return f"ip link add {self.interface} type wireguard"
        return f"wirewright-tun {self.interface}"

    def do(self, host: Host) -> None:
        """Make it."""
        host.engine.create(self.interface)

    def undo(self, host: Host) -> None:
        """Delete it, and all that belongs to it."""
        host.engine.delete(self.interface)


@dataclass(frozen=True)
class Configure(Step):
    """Give the interface its key, port, mark and peers."""

    interface: str
    change: DeviceChange = field(repr=False)

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"wg setconf {self.interface} (peers: {len(self.change.peers)})"

    def do(self, host: Host) -> None:
        """Set it."""
        host.engine.set(self.interface, self.change)


@dataclass(frozen=True)
class AddAddress(Step):
    """Give the interface an address."""

    interface: str
    address: IPInterface

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"ip -{self.address.version} address add {self.address} dev {self.interface}"

    def do(self, host: Host) -> None:
        """Add it."""
        host.network.add_address(self.interface, self.address)


@dataclass(frozen=True)
class BringUp(Step):
    """Set the interface up."""

    interface: str
    mtu: int

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"ip link set mtu {self.mtu} up dev {self.interface}"

    def do(self, host: Host) -> None:
        """Set it up, with its port."""
        host.network.bring_up(self.interface, self.mtu)
        if host.engine.is_silent(self.interface):
            # When it was set, the port was free; a process in user space has it only now.
            port = host.engine.get(self.interface).listen_port
            raise OSError(errno.EADDRINUSE, f"another program has UDP port {port}")


@dataclass(frozen=True)
class SetResolver(Step):
    """Have names resolved through the tunnel."""

    interface: str
    resolver: Resolver
    servers: tuple[IPAddress, ...]
    domains: tuple[str, ...]

    def describe(self) -> str:
        """Give the command that people know for it."""
        return " && ".join(self.resolver.describe(self.interface, self.servers, self.domains))

    def do(self, host: Host) -> None:
        """Tell the resolver."""
        self.resolver.set(self.interface, host.index(self.interface), self.servers, self.domains)
        try:
            shared.note(shared.RESOLVER, self.interface)
        except OSError:
            self.undo(host)
            raise

    def undo(self, host: Host) -> None:
        """Tell it to forget."""
        self.resolver.unset(self.interface, host.index(self.interface))
        shared.forget(shared.RESOLVER, self.interface)


@dataclass(frozen=True)
class AddRoute(Step):
    """Send packets to a network into the tunnel."""

    interface: str
    route: Route

    def describe(self) -> str:
        """Give the command that people know for it."""
        table = "" if self.route.table == RT_TABLE_MAIN else f" table {self.route.table}"
        network = self.route.network
        return f"ip -{network.version} route add {network} dev {self.interface}{table}"

    def do(self, host: Host) -> None:
        """Add it."""
        host.network.add_route(replace(self.route, link=host.index(self.interface)))


@dataclass(frozen=True)
class AddRule(Step):
    """Have packets look for their route in a table."""

    rule: Rule

    def describe(self) -> str:
        """Give the command that people know for it."""
        rule = self.rule
        if rule.suppress_prefix_length is not None:
            return (
                f"ip -{rule.version} rule add table main suppress_prefixlength {rule.suppress_prefix_length}"
            )
        return f"ip -{rule.version} rule add not fwmark {rule.unless_mark} table {rule.table}"

    def do(self, host: Host) -> None:
        """Add it."""
        host.network.add_rule(self.rule)

    def undo(self, host: Host) -> None:
        """Delete one of its kind."""
        with contextlib.suppress(FileNotFoundError):
            host.network.delete_rule(self.rule)


@dataclass(frozen=True)
class Guard(Step):
    """Refuse packets to the interface's addresses that come from elsewhere, and keep marks of replies."""

    interface: str
    mark: int
    addresses: tuple[IPInterface, ...]
    version: int

    def describe(self) -> str:
        """Give the command that people know for it."""
        family = "ip" if self.version == 4 else "ip6"
        return (
            f"nft add table {family} {firewall.table_of(self.interface)} (addresses: {len(self.addresses)})"
        )

    def do(self, host: Host) -> None:
        """Add the table."""
        firewall.guard(self.interface, self.mark, [address.ip for address in self.addresses], self.version)

    def undo(self, host: Host) -> None:
        """Delete the tables of both families: only one of a row of guards finds something."""
        firewall.unguard(self.interface)


@dataclass(frozen=True)
class NeedSysctl(Step):
    """Set a number of the kernel's, as long as the interface is there."""

    name: str
    value: str
    interface: str

    def describe(self) -> str:
        """Give the command that people know for it."""
        return f"sysctl -q {self.name}={self.value}"

    def do(self, host: Host) -> None:
        """Set it, and note what it was."""
        shared.need(self.name, self.value, self.interface)

    def undo(self, host: Host) -> None:
        """Set it as it was, unless others need it."""
        shared.release(self.name, self.interface)
