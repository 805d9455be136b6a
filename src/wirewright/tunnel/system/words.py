"""The words of ``set``: what ``wg set`` takes, in its order.

A value that may be a secret is the name of a file, since every user of the machine can read arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from wirewright.config.errors import UnreadableError
from wirewright.config.values import read_endpoint, read_network, read_number, read_u32
from wirewright.host.device import NO_KEY, DeviceChange, PeerChange
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wirewright.config.values import Endpoint, IPNetwork
    from wirewright.host.device import SocketAddress
    from wirewright.keys import PresharedKey, SecretKey

DEVICE_WORDS = ("listen-port", "fwmark", "private-key")
PEER_WORDS = ("remove", "preshared-key", "endpoint", "persistent-keepalive", "allowed-ips")

_K = TypeVar("_K")


class WordError(ValueError):
    """A word is wrong, or missing; the text is for a person."""


@dataclass(frozen=True)
class Sources:
    """Where values come from that do not stand among the words."""

    read_secret_key: Callable[[str], SecretKey | None]
    """Reads a file; None if it is empty. Raises OSError and ValueError."""
    read_preshared_key: Callable[[str], PresharedKey | None]
    resolve: Callable[[Endpoint], SocketAddress]


def change_of(words: Sequence[str], sources: Sources) -> DeviceChange:
    """Read the words. Raises WordError, and OSError of a file or a name."""
    if not words:
        raise WordError(f"nothing to set: name {', '.join(DEVICE_WORDS)} or peer")
    reader = _Reader(words, sources)
    while reader.rest:
        reader.step()
    peers = tuple(PeerChange(**peer) for peer in reader.peers)
    return DeviceChange(**reader.device, peers=peers)


@dataclass
class _Reader:
    words: Sequence[str]
    sources: Sources
    device: dict[str, Any] = field(default_factory=dict)
    peers: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rest = list(self.words)

    def step(self) -> None:
        """Read a word, and its value."""
        word = self.rest.pop(0)
        if word == "peer":
            self.peers.append({"public_key": _public_key(self._value(word))})
        elif word in DEVICE_WORDS and self.peers:
            raise WordError(f"{word} is the interface's: it stands before the first peer")
        elif word in PEER_WORDS and not self.peers:
            raise WordError(f"{word} is a peer's: it stands behind 'peer KEY'")
        elif word in DEVICE_WORDS:
            self._of_device(word)
        elif word in PEER_WORDS:
            self._of_peer(word, self.peers[-1])
        else:
            known = PEER_WORDS if self.peers else DEVICE_WORDS
            raise WordError(f"{word!r} cannot be set: {', '.join(known)} or peer can")

    def _of_device(self, word: str) -> None:
        value = self._value(word)
        match word:
            case "listen-port":
                port = _read(word, lambda: read_number(value, range(65536), "a port from 0 to 65535"))
                self.device["listen_port"] = port
            case "fwmark":
                self.device["fwmark"] = 0 if value == "off" else _read(word, lambda: _mark(value))
            case _:
                self.device["private_key"] = _key(word, value, self.sources.read_secret_key) or NO_KEY

    def _of_peer(self, word: str, peer: dict[str, Any]) -> None:
        if word == "remove":
            peer["remove"] = True
            return
        value = self._value(word)
        match word:
            case "preshared-key":
                peer["preshared_key"] = _key(word, value, self.sources.read_preshared_key) or NO_KEY
            case "endpoint":
                endpoint, _ = _read(word, lambda: read_endpoint(value))
                peer["endpoint"] = self.sources.resolve(endpoint)
            case "persistent-keepalive":
                peer["persistent_keepalive"] = 0 if value == "off" else _read(word, lambda: _seconds(value))
            case _:
                peer |= _allowed_ips(value)

    def _value(self, word: str) -> str:
        if not self.rest:
            raise WordError(f"{word} has no value")
        return self.rest.pop(0)


def _allowed_ips(value: str) -> dict[str, Any]:
    """Read networks: all that the peer shall have, unless one of them is to be added or removed."""
    added: list[IPNetwork] = []
    removed: list[IPNetwork] = []
    items = [item.strip() for item in value.split(",")] if value.strip() else []
    for item in items:
        network = _network(item)
        chosen, other = (removed, added) if item.startswith("-") else (added, removed)
        # The last word about a network counts.
        chosen.append(network)
        if network in other:
            other.remove(network)
    return {
        "replace_allowed_ips": not any(item[:1] in ("+", "-") for item in items),
        "allowed_ips": tuple(dict.fromkeys(added)),
        "removed_allowed_ips": tuple(dict.fromkeys(removed)),
    }


def _network(item: str) -> IPNetwork:
    network, _ = _read("allowed-ips", lambda: read_network(item[1:] if item[:1] in ("+", "-") else item))
    return network


def _mark(text: str) -> int:
    return read_u32(text, "off, or a number from 0 to 0xffffffff")


def _seconds(text: str) -> int:
    return read_number(text, range(65536), "off, or seconds from 1 to 65535")


def _public_key(text: str) -> PublicKey:
    try:
        return PublicKey.from_base64(text)
    except ValueError as error:
        # Not shown: it may be a key of another kind.
        raise WordError(f"peer: {error}; expected a key as `ww pubkey` prints it") from None


def _key(word: str, path: str, read: Callable[[str], _K | None]) -> _K | None:
    try:
        return read(path)
    except ValueError as error:
        raise WordError(f"{word}: {path}: {error}") from None


def _read(word: str, read: Callable[[], _K]) -> _K:
    try:
        return read()
    except UnreadableError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise WordError(f"{word}: found {error.found}, expected {error.expected}{hint}") from None
