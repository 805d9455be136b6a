"""Where a proxy listens and where a forward leads, as people write them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from wirewright.config.values import host_and_port

LOOPBACK = "127.0.0.1"


class Place(NamedTuple):
    """A host and a port. Its text is "host:port", an IPv6 address in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


class Pair(NamedTuple):
    """One place that leads to another."""

    listen: Place
    to: Place


def parse_listen(text: str, option: str) -> Place:
    """Return where to listen on this machine: "[ADDRESS:]PORT", with port 0 for any free one."""
    host, port = _split(text, option, "[ADDRESS:]PORT", least=0)
    if host in {"", "localhost"}:
        return Place(LOOPBACK, port)
    return Place(_address(host, option, text), port)


def parse_forward(text: str, option: str) -> Pair:
    """Return both sides of "[ADDRESS:]PORT=HOST:PORT": here, and behind the tunnel."""
    listen, to = _sides(text, option, "LOCAL=REMOTE, as in 5432=db:5432")
    return Pair(parse_listen(listen, option), _destination(to, option))


def parse_expose(text: str, option: str) -> Pair:
    """Return both sides of "[ADDRESS:]PORT=HOST:PORT": in the tunnel, and here. No address is every one."""
    listen, to = _sides(text, option, "REMOTE=LOCAL, as in 80=127.0.0.1:8000")
    host, port = _split(listen, option, "[ADDRESS:]PORT", least=0)
    return Pair(Place(_address(host, option, listen) if host else "", port), _destination(to, option))


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an IP address."""
    return ip_address(host).is_loopback


def _sides(text: str, option: str, form: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (left and equals and right):
        raise ValueError(f"{option} {text!r}: expected {form}")
    return left, right


def _destination(text: str, option: str) -> Place:
    host, port = _split(text, option, "HOST:PORT", least=1)
    if not host:
        raise ValueError(f"{option}: {text!r} names no host; expected HOST:PORT")
    return Place(host, port)


def _split(text: str, option: str, form: str, least: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{option} {text!r}: an IPv6 address stands in brackets, as in [::1]:1080")
    elif colon and not host:
        raise ValueError(f"{option} {text!r}: expected {form}")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if not least <= number <= 65535:
        raise ValueError(f"{option} {text!r}: {port!r} is no port; expected {form}")
    return host, number


def _address(host: str, option: str, text: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise ValueError(f"{option} {text!r}: {host!r} is no IP address to listen on") from None
