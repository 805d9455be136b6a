"""The kernel's forwarding, for as long as a gateway needs it.

It is one number a family for the whole host. What it was is noted by :mod:`wirewright.tunnel.system.shared`,
so that several gateways may need it and the last one takes it back. Two things need care:

- Whoever forwards IPv6 is a router, and learns no routes from others: Linux drops those that it has learnt by
  router advertisements at the moment in which forwarding begins, the default route among them, unless
  ``accept_ra`` of their interface is 2.
- Another program that forwards and began later, such as Docker, relies on the number as it found it. Such
  programs come with chains of their own; if there are new ones in the end, the number stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wirewright.host import sysctl
from wirewright.host.network import Network
from wirewright.host.nftables import base_chains
from wirewright.tunnel.system import shared

if TYPE_CHECKING:
    from collections.abc import Collection

FORWARDING: Final = {4: "net.ipv4.conf.all.forwarding", 6: "net.ipv6.conf.all.forwarding"}
FORWARD, POSTROUTING = 2, 4
"""The numbers of hooks."""
OURS: Final = "wirewright_"
"""What the names of our own tables begin with."""
_ACCEPT_RA: Final = "net.ipv6.conf.{}.accept_ra"


def begin(interface: str, versions: Collection[int]) -> None:
    """Have the kernel forward, for an interface that is there. Raises OSError."""
    others = "\n".join(_others()) if versions else ""
    for version in versions:
        if version == 6 and sysctl.read(FORWARDING[6]) == "0":
            for name in _taught():
                shared.need(name, "2", interface)
        shared.need(FORWARDING[version], "1", interface, others)


def end(interface: str) -> list[str]:
    """Have it as it was, unless others need it; name the chains of others that came meanwhile.

    Raises OSError.
    """
    needed = set(shared.needs_of(interface))
    forwarding = [name for name in FORWARDING.values() if name in needed]
    said = "\n".join(shared.said_of(name, interface) or "" for name in forwarding)
    newer = [chain for chain in _others() if chain not in said.splitlines()] if forwarding else []
    prefix, _, suffix = _ACCEPT_RA.partition("{}")
    listening = [name for name in needed if name.startswith(prefix) and name.endswith(suffix)]
    for name in (*forwarding, *listening):
        shared.release(name, interface, restore=not newer)
    return newer


def _others() -> list[str]:
    """Name the chains of others that are about what is forwarded."""
    return sorted(
        str(chain)
        for chain in base_chains()
        if chain.hook in (FORWARD, POSTROUTING) and not chain.table.startswith(OURS)
    )


def _taught() -> list[str]:
    """Name the settings of interfaces whose default route came from a router, by the kernel."""
    with Network() as network:
        links = {link.index: link.name for link in network.links()}
        learnt = {
            route.link
            for route in network.routes(6)
            if route.is_advertised and not route.network.prefixlen and route.link in links
        }
    names = [_ACCEPT_RA.format(links[index].replace(".", "/")) for index in sorted(learnt)]
    # Where it is 0, somebody else listens to routers, and the kernel drops nothing of it.
    return [name for name in names if sysctl.read(name) == "1"]
