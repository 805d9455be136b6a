"""What ``wg show INTERFACE dump`` tells, whoever answers it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A peer."""

    preshared_key: str | None
    endpoint: str | None
    allowed_ips: frozenset[str]
    handshake: int
    received: int
    sent: int
    keepalive: int


@dataclass(frozen=True)
class Dump:
    """An interface."""

    private_key: str | None
    public_key: str | None
    port: int
    fwmark: int
    peers: dict[str, Row]


def parse(text: str) -> Dump:
    """Read the text that ``wg`` writes: a line for the interface, and one for each peer."""
    first, *rest = (line.split("\t") for line in text.splitlines())
    private_key, public_key, port, fwmark = first
    return Dump(known(private_key), known(public_key), int(port), number(fwmark), dict(map(row, rest)))


def row(fields: list[str]) -> tuple[str, Row]:
    key, preshared_key, endpoint, allowed_ips, handshake, received, sent, keepalive = fields
    networks = frozenset((known(allowed_ips) or "").split(",")) - {""}
    counted = int(handshake), int(received), int(sent), number(keepalive)
    return key, Row(known(preshared_key), known(endpoint), networks, *counted)


def known(word: str) -> str | None:
    return None if word == "(none)" else word


def number(word: str) -> int:
    return 0 if word == "off" else int(word, 0)
