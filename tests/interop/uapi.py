"""The configuration protocol of userspace WireGuard: lines of ``key=value`` over a Unix socket, keys in hex.

See https://www.wireguard.com/xplatform/.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wirewright.keys import PresharedKey, PublicKey, SecretKey

Setting = tuple[str, str | int]


@dataclass
class Device:
    """What a device answers about itself; the values are as it writes them."""

    settings: dict[str, str] = field(default_factory=dict)
    peers: dict[PublicKey, dict[str, str]] = field(default_factory=dict)


def set_device(path: Path, settings: Iterable[Setting]) -> None:
    """Change settings; a peer's follow its ``public_key``."""
    answer = _ask(path, ["set=1", *(f"{key}={value}" for key, value in settings)])
    if answer != ["errno=0"]:
        raise OSError(f"the device refused its settings: {answer}")


def get_device(path: Path) -> Device:
    """Read all settings and counters."""
    device = Device()
    into = device.settings
    for line in _ask(path, ["get=1"]):
        key, _, value = line.partition("=")
        if key == "public_key":
            into = device.peers[PublicKey.from_hex(value)] = {}
        into[key] = value
    return device


def to_hex(key: SecretKey | PresharedKey | PublicKey) -> str:
    """Write a key as this protocol does."""
    text = str(key) if isinstance(key, PublicKey) else key.expose()
    return base64.b64decode(text).hex()


def _ask(path: Path, lines: Iterable[str]) -> list[str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall("".join(f"{line}\n" for line in [*lines, ""]).encode())
        with connection.makefile() as answer:
            said = []
            while line := answer.readline().rstrip("\n"):
                said.append(line)
    return said
