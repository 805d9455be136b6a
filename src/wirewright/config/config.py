"""A configuration as a value."""

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from wirewright._core import HiddenText, reveal_config, write_config
from wirewright.config.model import Interface, Peer
from wirewright.config.parts import RedactedText, plain
from wirewright.config.reader import read
from wirewright.config.render import render
from wirewright.config.source import TEXT_NAME, Source, read_source, text_source

if TYPE_CHECKING:
    from wirewright.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Config:
    """An interface and its peers: what a ``wg-quick(8)`` file says, without how it is spelt.

    To change a file and keep its comments and spacing, use :class:`wirewright.config.Document`.
    """

    interface: Interface = field(default_factory=Interface)
    peers: tuple[Peer, ...] = ()

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file; its keys stay in the core. Raises OSError and :class:`ConfigError`."""
        return cls._read(read_source(path))

    @classmethod
    def from_part(cls, path: str | os.PathLike[str], name: str | None = None) -> Self:
        """Read a file that need not have an [Interface] section, as ``wg addconf`` takes it.

        Errors call the file ``name``, or by its path. Raises OSError and :class:`ConfigError`.
        """
        source = read_source(path, name)
        reading = read(source.text, source.name, partial=True)
        return cls(reading.interface, reading.peers)

    @classmethod
    def loads(cls, text: str | bytes, name: str = TEXT_NAME) -> Self:
        """Read a text, which CPython cannot wipe; errors call it ``name``. Raises :class:`ConfigError`."""
        return cls._read(text_source(text, name))

    def dumps(self, *, expose_keys: bool = False) -> str:
        """Write a text. Without ``expose_keys`` it shows ``(hidden)`` for secrets and cannot be read back.

        The text with keys is a Python string, which CPython cannot wipe; :meth:`write` makes none.
        """
        text = self._render()
        if not expose_keys:
            return plain(text.parts(text.text))
        return reveal_config(text.encode(), text.secrets).decode("utf-8", "surrogateescape")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Replace a file, wholly or not at all, by one that only its owner can read. Raises OSError."""
        text = self._render()
        write_config(path, text.encode(), text.secrets)

    def without_secrets(self) -> Self:
        """Give the same without private key, preshared keys, and hooks, in which keys may be written."""
        interface = replace(
            self.interface, private_key=None, pre_up=(), post_up=(), pre_down=(), post_down=()
        )
        peers = tuple(replace(peer, preshared_key=None) for peer in self.peers)
        return replace(self, interface=interface, peers=peers)

    def effective_peers(self) -> tuple[Peer, ...]:
        """Give the peers a device has after it took in this configuration, each public key once.

        As in the kernel: the interface's own key is no peer; a later section for the same key replaces
        allowed IPs and preshared key, and also endpoint and keepalive if it has them; a network belongs to
        the last peer that lists it.
        """
        own = self.interface.private_key.public_key if self.interface.private_key else None
        peers: dict[PublicKey, Peer] = {}
        for peer in self.peers:
            if peer.public_key != own:
                peers[peer.public_key] = _merge(peers.get(peer.public_key), peer)
        owners = {
            network: peer.public_key
            for peer in self.peers
            if peer.public_key != own
            for network in peer.allowed_ips
        }
        return tuple(
            Peer(
                peer.public_key,
                peer.preshared_key,
                tuple(network for network in peer.allowed_ips if owners[network] == peer.public_key),
                peer.endpoint,
                peer.persistent_keepalive,
            )
            for peer in peers.values()
        )

    @classmethod
    def _read(cls, source: Source) -> Self:
        reading = read(source.text, source.name)
        return cls(reading.interface, reading.peers)

    def _render(self) -> RedactedText:
        secrets: list[HiddenText] = []
        return RedactedText(render(self.interface, self.peers, secrets), tuple(secrets))


def _merge(earlier: Peer | None, later: Peer) -> Peer:
    if earlier is None:
        return later
    keepalive = later.persistent_keepalive
    return Peer(
        later.public_key,
        later.preshared_key,
        later.allowed_ips,
        later.endpoint or earlier.endpoint,
        earlier.persistent_keepalive if keepalive is None else keepalive,
    )
