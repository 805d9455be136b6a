"""Numbers, addresses and endpoints as they are written in a configuration file.

Each ``read_*`` takes the text of a value and raises :class:`UnreadableError` if it is not what it should be.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Literal, TypeAlias

from wirewright.config.errors import UnreadableError
from wirewright.config.parts import SPACE, show

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPInterface: TypeAlias = IPv4Interface | IPv6Interface
IPNetwork: TypeAlias = IPv4Network | IPv6Network
Table: TypeAlias = Literal["off", "auto"] | int

MTU_RANGE = range(68, 65536)
"""From what every IPv4 link carries (RFC 791) to what a UDP datagram can hold."""
U32_MAX = 0xFFFF_FFFF

_TABLES = {"main": 254, "default": 253, "local": 255}
"""Tables whose names the kernel gives; other names are the host's (``rt_tables``)."""

# ASCII digits only (int() reads those of every script), and not so many that reading them takes long.
_DECIMAL = re.compile(r"[0-9]{1,40}", re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,40}", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?", re.ASCII)
_SCOPE = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}", re.ASCII)
_SEPARATORS = re.compile(f"[,{SPACE}]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer is reached over the outer network: an address or a name, and a UDP port."""

    host: str
    """An IPv4 or IPv6 address (the latter without brackets, perhaps with ``%scope``) or a name."""
    port: int

    def __post_init__(self) -> None:
        if self.port not in range(1, 65536):
            raise ValueError(f"port {self.port} is not from 1 to 65535")
        object.__setattr__(self, "host", read_host(self.host))

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)

    @property
    def is_name(self) -> bool:
        """Whether the host is a name that has yet to be resolved."""
        return _address(self.host) is None


def host_and_port(host: str, port: int) -> str:
    """Write where something is; an address of IPv6 stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_number(text: str, numbers: range, expected: str) -> int:
    """Read decimal digits, leading zeros allowed."""
    if _DECIMAL.fullmatch(text) and int(text) in numbers:
        return int(text)
    raise UnreadableError(show(text), expected)


def read_u32(text: str, expected: str) -> int:
    """Read a 32-bit number, decimal or, after ``0x``, hexadecimal."""
    if _HEXADECIMAL.fullmatch(text):
        number = int(text[2:], 16)
    elif _DECIMAL.fullmatch(text):
        number = int(text)
    else:
        raise UnreadableError(show(text), expected)
    if number > U32_MAX:
        raise UnreadableError(show(text), expected)
    return number


def read_table(text: str) -> Table:
    """Read what ``Table`` says: ``off``, ``auto`` or a routing table."""
    if text == "off":
        return "off"
    if text == "auto":
        return "auto"
    if text in _TABLES:
        return _TABLES[text]
    expected = "off, auto or the number of a routing table"
    if text.lower() in {"off", "auto"}:
        raise UnreadableError(show(text), expected, "wg-quick wants it in lower case")
    if number := read_u32(text, expected):
        return number
    raise UnreadableError(show(text), expected)


def items(text: str) -> Iterator[str]:
    """Divide a list as ``wg-quick`` does: at commas and white space, empty items passed over."""
    return filter(None, _SEPARATORS.split(text))


def read_address(text: str) -> IPInterface:
    """Read an address of the interface, with or without the length of its network's prefix."""
    expected = "an address such as 10.0.0.2/32 or fd00::2/128"
    address, length = _address_and_length(text, expected)
    return ip_interface((address, length))


def read_network(text: str) -> tuple[IPNetwork, bool]:
    """Read allowed IPs; also tell whether bits behind the prefix are set, which the kernel then clears."""
    address, length = _address_and_length(text, "a network such as 10.0.0.0/24 or fd00::/64")
    network = ip_network((address, length), strict=False)
    return network, network.network_address != address


def read_name_server(text: str) -> IPAddress | str:
    """Read an item of ``DNS``: what looks like an address is a server, anything else a search domain."""
    if ":" in text or not text.strip("0123456789."):
        address = _address(text)
        if address is None:
            hint = "the port cannot be chosen" if _address(text.rpartition(":")[0]) else None
            raise UnreadableError(show(text), "the address of a DNS server, or a search domain", hint)
        return address
    if not _is_search_domain(text):
        raise UnreadableError(show(text), "the address of a DNS server, or a search domain")
    return text


def read_endpoint(text: str) -> tuple[Endpoint, bool]:
    """Read an endpoint; also tell whether it is an IPv6 address without its brackets."""
    host, colon, port = text.rpartition(":")
    expected = "host:port, such as vpn.example.com:51820 or [2001:db8::1]:51820"
    if not colon or not port or "]" in port:
        raise UnreadableError(show(text), expected, "the port is missing")
    if not _DECIMAL.fullmatch(port) or int(port) not in range(1, 65536):
        raise UnreadableError(show(text), expected, "the port is a number from 1 to 65535")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        endpoint = Endpoint(host[1:-1] if bracketed else host, int(port))
    except ValueError as error:
        hint = "an IPv6 address stands in brackets" if text.count(":") > 1 and not bracketed else str(error)
        raise UnreadableError(show(text), expected, hint) from None
    return endpoint, ":" in host and not bracketed


def read_host(text: str) -> str:
    """Give the usual form of an address or name; raises ValueError if it is neither."""
    address = _address(text)
    if address is not None:
        return str(address)
    if ":" in text or "%" in text:
        raise ValueError("the address is malformed")
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("a host name has letters, digits and hyphens between dots")
    if labels[-1].isdecimal():
        # No top-level domain is a number: this is an address with a mistake in it.
        raise ValueError("an IPv4 address has four numbers from 0 to 255, without leading zeros")
    return text


def _is_search_domain(text: str) -> bool:
    return len(text) <= 253 and text.isprintable() and not set(" ,#=") & set(text)


def _address(text: str) -> IPAddress | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id and not _SCOPE.fullmatch(address.scope_id):
        return None
    return address


def _address_and_length(text: str, expected: str) -> tuple[IPAddress, int]:
    # ipaddress would also read netmasks, such as 10.0.0.0/255.0.0.0, which wg and ip do not.
    address_text, slash, length_text = text.partition("/")
    address = _address(address_text)
    if address is None or "%" in address_text:
        raise UnreadableError(show(text), expected)
    if not slash:
        return address, address.max_prefixlen
    if not _DECIMAL.fullmatch(length_text) or int(length_text) > address.max_prefixlen:
        hint = f"the length of an IPv{address.version} prefix is at most {address.max_prefixlen}"
        raise UnreadableError(show(text), expected, hint)
    return address, int(length_text)
