"""What a lease needs on an interface: addresses that end by themselves, and the way to its own link."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink.rtnl import RTM_GETADDR
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from wirewright.host.dumps import dump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv6Network

    from wirewright.config.values import IPInterface

FOREVER = 0xFFFF_FFFF
"""The lifetime of an address that does not end."""


def temporary_addresses(interface: str) -> list[IPInterface]:
    """Give the addresses that end by themselves. Raises OSError."""
    with _socket(interface) as (_, index):
        return [
            ip_interface((_address(message), message["prefixlen"]))
            for message in _messages(index)
            if _lifetime(message) != FOREVER
        ]


def set_address(interface: str, address: IPInterface, seconds: int) -> None:
    """Give an interface an address for so long; one that it has for a time has it for that time now.

    One that does not end stays so: somebody else gave it. Raises OSError.
    """
    with _socket(interface) as (ip, index):
        for message in _messages(index):
            same = (_address(message), message["prefixlen"]) == (str(address.ip), address.network.prefixlen)
            if same and _lifetime(message) == FOREVER:
                return
        seconds = min(seconds, FOREVER - 1)
        ip.addr(
            "replace",
            index=index,
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            preferred=seconds,
            valid=seconds,
        )


def delete_address(interface: str, address: IPInterface) -> None:
    """Take an address from an interface; one that has gone is no error. Raises OSError."""
    with _socket(interface) as (ip, index):
        try:
            ip.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
        except NetlinkError as error:
            if error.code != errno.EADDRNOTAVAIL:
                raise


def add_link_route(interface: str, network: IPv6Network) -> None:
    """Send a network into an interface, though others may have a route to the same. Raises OSError.

    So it is with link-local addresses: which interface is meant is told beside the address.
    """
    with _socket(interface) as (ip, index):
        ip.route("append", dst=str(network), oif=index, family=socket.AF_INET6)


def delete_link_route(interface: str, network: IPv6Network) -> None:
    """Undo that. Raises OSError."""
    with _socket(interface) as (ip, index):
        ip.route("del", dst=str(network), oif=index, family=socket.AF_INET6)


@contextmanager
def _socket(interface: str) -> Iterator[tuple[Any, int]]:
    with IPRoute() as ip:
        try:
            [link] = ip.link("get", ifname=interface)
            yield ip, link["index"]
        except NetlinkError as error:
            raise OSError(error.code, os.strerror(error.code), interface) from None
        except OSError as error:
            if error.filename is None and error.strerror:
                error.filename = interface
            raise


def _messages(index: int) -> list[Any]:
    """Give what the kernel says of the addresses of an interface, by its number."""
    return [each for each in dump(ifaddrmsg, RTM_GETADDR, index=index) if each["index"] == index]


def _address(message: Any) -> str:  # noqa: ANN401 - pyroute2's, untyped
    return str(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))


def _lifetime(message: Any) -> int:  # noqa: ANN401 - pyroute2's, untyped
    information = message.get_attr("IFA_CACHEINFO")
    return FOREVER if information is None else int(information["ifa_valid"])
