"""The kernel's forwarding, for as long as a gateway needs it.

It is one number a family for the whole host. What it was is noted by :mod:`wirewright.tunnel.system.shared`,
so that several gateways may need it and the last one takes it back. Three things need care:

- Whoever forwards IPv6 is a router, and learns no routes from others: Linux drops those that it has learnt by
  router advertisements at the moment in which forwarding begins, the default route among them, unless
  ``accept_ra`` of their interface is 2.
- Forwarding is for everybody: neighbours on one network of the host would reach its others. What could not
  pass before goes on being dropped, between the interfaces that are there when a gateway begins
  (:func:`apart`).
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
_WAS_OFF: Final = "off"
"""A line of what is said, beside names of chains, where nobody forwarded before."""
_ACCEPT_RA: Final = "net.ipv6.conf.{}.accept_ra"


def apart(interface: str, versions: Collection[int]) -> dict[int, list[str]]:
    """Name the interfaces, by IP version, between which nothing could pass but for this gateway.

    To be asked before :func:`begin`. None if others came meanwhile who forward. Raises OSError.
    """
    found: dict[int, list[str]] = {}
    for version in versions:
        name = FORWARDING[version]
        said = (shared.said_of(name, interface) or "").splitlines()
        is_ours = _WAS_OFF in said and not set(_others()) - set(said)
        if is_ours or sysctl.read(name) == "0":
            with Network() as network:
                links = [link.name for link in network.links()]
            # Another gateway's devices are that one's.
            found[version] = [
                link for link in links if link not in {interface, "lo"} and name not in shared.needs_of(link)
            ]
    return found


def begin(interface: str, versions: Collection[int]) -> None:
    """Have the kernel forward, for an interface that is there. Raises OSError."""
    others = _others() if versions else []
    for version in versions:
        was = [_WAS_OFF] if sysctl.read(FORWARDING[version]) == "0" else []
        if version == 6 and sysctl.read(FORWARDING[6]) == "0":
            for name in _taught():
                shared.need(name, "2", interface)
        shared.need(FORWARDING[version], "1", interface, "\n".join([*was, *others]))


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
