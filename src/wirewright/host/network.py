"""Interfaces, addresses, routes and rules of the network namespace that the process is in, by rtnetlink."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Self

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, RTM_GETRULE, RTM_NEWRULE
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from wirewright.host.dumps import dump

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.config.values import IPAddress, IPInterface, IPNetwork

RT_TABLE_MAIN = 254
FR_ACT_TO_TBL = 1
FIB_RULE_INVERT = 2
RTPROT_BOOT = 3
RTPROT_RA = 9
RTN_UNICAST = 1
RTM_F_CLONED = 0x200
"""What the kernel noted of a way, such as its MTU; it is no route."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface."""

    index: int
    name: str
    kind: str | None
    """Such as ``wireguard``; None where the kernel tells none."""
    mtu: int
    is_up: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets to a network go."""

    network: IPNetwork
    link: int
    """Number of the interface; 0 where there is none, as of a route that refuses."""
    table: int = RT_TABLE_MAIN
    mtu: int | None = None
    is_way: bool = True
    """Whether packets go there, rather than being refused or dropped."""
    gateway: IPAddress | None = None
    metric: int = 0
    is_advertised: bool = False
    """Whether a router said so (ICMPv6's router advertisements)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which table is asked for a route, of one family, by a mark or always."""

    version: int
    table: int
    unless_mark: int | None = None
    """It holds for all packets but those with this mark."""
    suppress_prefix_length: int | None = None
    """Routes it finds that are no longer than that are passed over."""
    is_narrower: bool = False
    """Whether it holds for fewer packets than that, such as those from an address."""
    priority: int | None = None
    """Rules of lower numbers are asked first. None: before all but the rule of the local table."""


class Network:
    """A socket of rtnetlink. All methods raise OSError."""

    def __init__(self) -> None:
        self._socket = IPRoute()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        """Give all interfaces."""
        with _errors("the interfaces"):
            return [_link(message) for message in dump(ifinfmsg, RTM_GETLINK)]

    def link(self, name: str) -> Link | None:
        """Find an interface."""
        try:
            with _errors(name):
                return next((_link(message) for message in self._socket.link("get", ifname=name)), None)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def create_link(self, name: str, kind: str) -> None:
        """Make an interface."""
        with _errors(name):
            self._socket.link("add", ifname=name, kind=kind)

    def delete_link(self, name: str) -> None:
        """Delete an interface, with its addresses and routes."""
        with _errors(name):
            self._socket.link("del", index=self._index(name))

    def bring_up(self, name: str, mtu: int) -> None:
        """Set an interface up, with an MTU in bytes."""
        with _errors(name):
            self._socket.link("set", index=self._index(name), mtu=mtu, state="up")

    def addresses(self, name: str) -> list[IPInterface]:
        """Give the addresses of an interface."""
        with _errors(name):
            index = self._index(name)
            return [
                ip_interface(
                    (message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"), message["prefixlen"])
                )
                for message in dump(ifaddrmsg, RTM_GETADDR, index=index)
                if message["index"] == index
            ]

    def add_address(self, name: str, address: IPInterface, *, at_once: bool = False) -> None:
        """Give an interface an address.

        An address of IPv6 can be used a moment later only, when the kernel has seen that nobody else has it
        (it puts that off even where it has nothing to see to). ``at_once`` leaves that out (``IFA_F_NODAD``).
        """
        length = address.network.prefixlen
        flags = {"flags": IFA_F_NODAD} if at_once and address.version == 6 else {}
        with _errors(f"{address} on {name}"):
            self._socket.addr(
                "add", index=self._index(name), address=str(address.ip), prefixlen=length, **flags
            )

    def routes(self, version: int, *, table: int | None = None, link: int | None = None) -> list[Route]:
        """Give the routes of a family, of one table or of all, to one interface or to all."""
        wanted = [("RTA_TABLE", table), ("RTA_OIF", link)]
        attributes = [(name, value) for name, value in wanted if value is not None]
        # A table is there as long as there is something in it.
        absent = (errno.ENOENT, errno.ENODEV) if attributes else ()
        with _errors("the routes"):
            found = dump(rtmsg, RTM_GETROUTE, attributes=attributes, absent=absent, family=_family(version))
        routes = [_route(message) for message in found if not message["flags"] & RTM_F_CLONED]
        return [route for route in routes if table in (None, route.table) and link in (None, route.link)]

    def route_to(self, address: IPAddress) -> Route | None:
        """Give the route that a packet to an address takes now; None where there is none."""
        try:
            with _errors(str(address)):
                answers = self._socket.route("get", dst=str(address), family=_family(address.version))
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES):
                return None
            raise
        return next((_route(message) for message in answers), None)

    def add_route(self, route: Route) -> None:
        """Add a route to an interface. FileExistsError: there is one to the same network."""
        self._change_route("add", route)

    def delete_route(self, route: Route) -> None:
        """Delete a route."""
        self._change_route("del", route)

    def rules(self, version: int) -> list[Rule]:
        """Give the rules of a family, as far as :class:`Rule` tells what they say."""
        with _errors("the rules"):
            found = dump(fibmsg, RTM_GETRULE, family=_family(version))
        return [_rule(version, message) for message in found]

    def add_rule(self, rule: Rule) -> None:
        """Add a rule, also where there is the same already."""
        if rule.priority is None:
            # As the kernel chooses (fib_default_rule_pref); pyroute2 would choose one number for all.
            taken = [other.priority for other in self.rules(rule.version) if other.priority]
            rule = replace(rule, priority=min(taken, default=32_766) - 1)
        # Without NLM_F_EXCL, which refuses a second one: two tunnels may need the same, and each removes
        # its own.
        self._change_rule((RTM_NEWRULE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE), rule)

    def delete_rule(self, rule: Rule) -> None:
        """Delete one rule that says this, of any priority if it tells none. FileNotFoundError: none does."""
        for other in self.rules(rule.version):
            if rule == replace(other, priority=rule.priority) and rule.priority in (None, other.priority):
                self._change_rule("del", other)
                return
        raise FileNotFoundError(errno.ENOENT, "there is no such rule")

    def _index(self, name: str) -> int:
        link = self.link(name)
        if link is None:
            raise OSError(errno.ENODEV, "there is no such interface", name)
        return link.index

    def _change_route(self, verb: str, route: Route) -> None:
        with _errors(f"the route to {route.network}"):
            self._socket.route(
                verb,
                dst=str(route.network),
                family=_family(route.network.version),
                oif=route.link,
                table=route.table,
                proto=RTPROT_BOOT,
                scope=253 if route.network.version == 4 else 0,
            )

    def _change_rule(self, verb: str | tuple[int, int], rule: Rule) -> None:
        options: dict[str, Any] = {
            "family": _family(rule.version),
            "table": rule.table,
            "action": FR_ACT_TO_TBL,
            "priority": rule.priority,
        }
        if rule.unless_mark is not None:
            options |= {"fwmark": rule.unless_mark, "flags": FIB_RULE_INVERT}
        if rule.suppress_prefix_length is not None:
            options["FRA_SUPPRESS_PREFIXLEN"] = rule.suppress_prefix_length
        with _errors("a rule"):
            self._socket.rule(verb, **options)


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn what pyroute2 raises into OSError with the system's words, and say of what it is."""
    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code), what) from None
    except OSError as error:
        if error.filename is None and error.strerror:
            error.filename = what
        raise


def _link(message: Any) -> Link:  # noqa: ANN401 - pyroute2's, untyped
    information = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=information.get_attr("IFLA_INFO_KIND") if information else None,
        mtu=message.get_attr("IFLA_MTU"),
        is_up=bool(message["flags"] & 1),
    )


def _route(message: Any) -> Route:  # noqa: ANN401 - pyroute2's, untyped
    version = 4 if message["family"] == socket.AF_INET else 6
    metrics = message.get_attr("RTA_METRICS")
    gateway = message.get_attr("RTA_GATEWAY")
    nowhere = "0.0.0.0" if version == 4 else "::"  # noqa: S104 - a network here
    return Route(
        network=ip_network((message.get_attr("RTA_DST") or nowhere, message["dst_len"])),
        link=message.get_attr("RTA_OIF") or 0,
        table=message.get_attr("RTA_TABLE") or message["table"],
        mtu=metrics.get_attr("RTAX_MTU") if metrics else None,
        is_way=message["type"] == RTN_UNICAST,
        gateway=ip_address(gateway) if gateway else None,
        metric=message.get_attr("RTA_PRIORITY") or 0,
        is_advertised=message["proto"] == RTPROT_RA,
    )


def _rule(version: int, message: Any) -> Rule:  # noqa: ANN401 - pyroute2's, untyped
    inverted = message["flags"] & FIB_RULE_INVERT
    length = message.get_attr("FRA_SUPPRESS_PREFIXLEN")
    return Rule(
        version=version,
        table=message.get_attr("FRA_TABLE") or message["table"],
        unless_mark=message.get_attr("FRA_FWMARK") if inverted else None,
        suppress_prefix_length=None if length in (None, 0xFFFF_FFFF) else length,
        is_narrower=_is_narrower(message),
        priority=message.get_attr("FRA_PRIORITY") or 0,
    )


_NARROWING = ("IIFNAME", "OIFNAME", "UID_RANGE", "IP_PROTO", "SPORT_RANGE", "DPORT_RANGE", "TUN_ID", "L3MDEV")


def _is_narrower(message: Any) -> bool:  # noqa: ANN401 - pyroute2's, untyped
    """Whether a rule has conditions that :class:`Rule` does not tell, or asks no table."""
    marked = message.get_attr("FRA_FWMARK") is not None
    return bool(
        message["src_len"]
        or message["dst_len"]
        or message["tos"]
        or message["action"] != FR_ACT_TO_TBL
        or marked != bool(message["flags"] & FIB_RULE_INVERT)
        or message.get_attr("FRA_FWMASK") not in (None, 0xFFFF_FFFF)
        or any(message.get_attr(f"FRA_{name}") for name in _NARROWING)
    )
