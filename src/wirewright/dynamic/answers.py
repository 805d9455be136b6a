"""What servers answer, in both dialects."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.lines import ProtocolError, error_text
from wirewright.dynamic.messages import REGISTER_KEY, REQUEST_IP, Code, Dialect, address, extensions, number

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.dynamic.lines import Message

MAX_ROUTES: Final = 64


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a request for addresses."""

    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    start: int = 0
    """Seconds since 1970, by the server's clock."""
    duration: int = 0
    """Seconds from ``start`` on."""
    errno: int = 0
    errmsg: str = ""
    routes: tuple[IPNetwork, ...] = ()
    extensions: frozenset[str] | None = None
    """Those the server knows; None of a server that knows of none."""

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """What was granted."""
        return tuple(each for each in (self.ipv4, self.ipv6) if each is not None)


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a request to take another key."""

    link_local: IPv6Address | None = None
    """From where the client is to speak with its new key."""
    errno: int = 0
    errmsg: str = ""


def write_grant(grant: Grant, dialect: Dialect) -> Message:
    """Write an answer in a dialect; the program's has no command."""
    is_document = dialect is Dialect.DOCUMENT
    lines = [(REQUEST_IP, "1")] if is_document else []
    for found in grant.addresses:
        key = f"ipv{found.version}" if is_document else "ip"
        lines.append((key, f"{found}/{found.max_prefixlen}"))
    if grant.addresses:
        lines += [("leasestart", str(grant.start)), ("leasetime", str(grant.duration))]
    lines.append(("errno", str(grant.errno)))
    if grant.errmsg:
        lines.append(("errmsg", error_text(grant.errmsg)))
    lines += [("route", str(network)) for network in grant.routes[:MAX_ROUTES]]
    if grant.extensions is not None:
        lines.append(("extensions", ",".join(sorted(grant.extensions))))
    return tuple(lines)


def write_registered(answer: Registered) -> Message:
    """Write the answer to a request to take another key."""
    lines = [(REGISTER_KEY, "1")]
    if answer.link_local is not None:
        lines.append(("lladdr", f"{answer.link_local}/128"))
    lines.append(("errno", str(answer.errno)))
    if answer.errmsg:
        lines.append(("errmsg", error_text(answer.errmsg)))
    return tuple(lines)


def parse_grant(message: Message) -> Grant:
    """Read an answer of either dialect. Raises ProtocolError, also if an address is not one address."""
    attributes = _without_command(message, REQUEST_IP)
    found: dict[int, IPAddress] = {}
    numbers: dict[str, int] = {}
    routes: list[IPNetwork] = []
    errmsg, named = "", None
    for key, value in attributes:
        if key in {"ip", "ipv4", "ipv6"}:
            granted = _granted(key, value)
            if granted.version in found:
                raise ProtocolError(f"the server gives two addresses of IPv{granted.version}")
            found[granted.version] = granted
        elif key in {"errno", "leasestart", "leasetime"}:
            numbers[key] = number(key, value)
        elif key == "errmsg":
            errmsg = error_text(value)
        elif key == "route":
            routes.append(_route(value))
        elif key == "extensions":
            named = extensions(value)
    if "errno" not in numbers:
        raise ProtocolError("the server's answer has no errno")
    if found and not {"leasestart", "leasetime"} <= numbers.keys():
        raise ProtocolError("the server gives a lease without its time")
    if len(routes) > MAX_ROUTES:
        raise ProtocolError(f"the server gives more than {MAX_ROUTES} routes")
    ipv4, ipv6 = found.get(4), found.get(6)
    return Grant(
        ipv4 if isinstance(ipv4, IPv4Address) else None,
        ipv6 if isinstance(ipv6, IPv6Address) else None,
        numbers.get("leasestart", 0),
        numbers.get("leasetime", 0),
        numbers["errno"],
        errmsg,
        tuple(routes),
        named,
    )


def parse_registered(message: Message) -> Registered:
    """Read the answer to a request to take another key. Raises ProtocolError."""
    attributes = dict(_without_command(message, REGISTER_KEY))
    if "errno" not in attributes:
        raise ProtocolError("the server's answer has no errno")
    place = None
    if "lladdr" in attributes:
        found, length = address("lladdr", attributes["lladdr"])
        if not isinstance(found, IPv6Address) or length != 128 or not found.is_link_local:
            raise ProtocolError("lladdr: not a link-local address")
        place = found
    return Registered(place, number("errno", attributes["errno"]), error_text(attributes.get("errmsg", "")))


def words(errno: int, errmsg: str) -> str:
    """Say why a server refused."""
    if errmsg:
        return errmsg
    names = {Code.INVALID.value: "invalid request", Code.UNSUPPORTED.value: "unsupported protocol"}
    names[Code.UNAVAILABLE.value] = "no such address is free"
    return names.get(errno, f"error {errno}")


def _without_command(message: Message, command: str) -> Message:
    for position, (key, value) in enumerate(message):
        if key in {REQUEST_IP, REGISTER_KEY} and (position or key != command or number(key, value) != 1):
            raise ProtocolError(f"the server's answer is to another command: {key}")
    return message[1:] if message[0][0] == command else message


def _granted(key: str, text: str) -> IPAddress:
    found, length = address(key, text)
    if key != "ip" and int(key[-1]) != found.version:
        raise ProtocolError(f"{key}: an address of the other family")
    if length != found.max_prefixlen:
        raise ProtocolError(f"the server gives {text}, a whole network and not one address: refused")
    if found.is_unspecified or found.is_multicast or found.is_loopback or found.is_link_local:
        raise ProtocolError(f"the server gives {found}, which cannot be a client's address: refused")
    return found


def _route(text: str) -> IPNetwork:
    try:
        if "%" in text:
            raise ValueError
        network: IPv4Network | IPv6Network = ip_network(text)
    except ValueError:
        raise ProtocolError("route: not a network") from None
    if network.is_multicast or network.is_loopback or (network.is_link_local and network.prefixlen):
        raise ProtocolError(f"the server gives a route to {network}, which no tunnel carries: refused")
    return network
