"""The one link-local address that an interface of wg-dynamic has, and the route that goes with it.

Where IPv6 is forwarded, Linux takes the first address of every prefix that an interface has for its own, as
the routers' anycast address, and speaks no TCP from it. Of ``fe80::/64`` that is ``fe80::``, the server's.
So while wg-dynamic runs at either end, the interface has its link-local address with a mask of 128 bits and
no other, such as the one that the kernel gives to TUN devices. What is changed for that is put back.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from functools import partial
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING

from wirewright.dynamic.identity import LINK, SERVER
from wirewright.host.addresses import add_link_route, delete_address, delete_link_route
from wirewright.host.network import RT_TABLE_MAIN, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.config.values import IPInterface


class LinkLocal:
    """What was changed of one interface. All methods raise OSError but ``restore``."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._undo: list[Callable[[Network], None]] = []

    def found(self, network: Network) -> list[IPv6Address]:
        """Give the link-local addresses that the interface has with a mask of 128 bits."""
        addresses = network.addresses(self.interface)
        return [_bare(each) for each in addresses if _is_link_local(each) and each.network.prefixlen == 128]

    def have(self, network: Network, address: IPv6Address, reached: IPv6Network) -> None:
        """Have this address and no other, and send a network into the interface."""
        for other in network.addresses(self.interface):
            if _is_link_local(other) and other.network.prefixlen < 127:
                delete_address(self.interface, other)
                self._undo.append(partial(_add, self.interface, other))
        if address not in self.found(network):
            own = IPv6Interface((address, 128))
            # Who asks for a lease binds to it next.
            network.add_address(self.interface, own, at_once=True)
            self._undo.append(lambda _: delete_address(self.interface, own))
        link = network.link(self.interface)
        index = link.index if link else 0
        ways = [each.network for each in network.routes(6, table=RT_TABLE_MAIN, link=index) if each.is_way]
        if not any(isinstance(way, IPv6Network) and reached.subnet_of(way) for way in ways):
            add_link_route(self.interface, reached)
            self._undo.append(lambda _: delete_link_route(self.interface, reached))

    def restore(self) -> None:
        """Put back what was changed, as far as it can be."""
        with Network() as network:
            while self._undo:
                with suppress(OSError):
                    self._undo.pop()(network)


def found_by_clients(interface: str) -> LinkLocal:
    """Have an interface that is up be one that clients find a server on; say what was changed for that.

    Raises OSError, and then nothing was changed.
    """
    link_local = LinkLocal(interface)
    with Network() as network:
        link = network.link(interface)
        if link is None or not link.is_up:
            raise OSError(errno.ENETDOWN, f"{interface} is not up: ip link set {interface} up")
        try:
            link_local.have(network, SERVER, LINK)
        except BaseException:
            link_local.restore()
            raise
    return link_local


def _is_link_local(address: IPInterface) -> bool:
    return isinstance(address.ip, IPv6Address) and address.ip in LINK


def _bare(address: IPInterface) -> IPv6Address:
    return IPv6Address(int(address.ip))


def _add(interface: str, address: IPInterface, network: Network) -> None:
    network.add_address(interface, address)
