"""A configuration file as it stands: what it says, and every comment, blank line and space around that."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from wirewright._core import reveal_config, write_config
from wirewright.config.config import Config
from wirewright.config.edit import edited
from wirewright.config.errors import Note
from wirewright.config.parts import plain
from wirewright.config.reader import Reading, read
from wirewright.config.source import TEXT_NAME, Source, read_source, text_source


@dataclass(frozen=True)
class Document:
    r"""A valid file, immutable: an edit gives a new document.

    >>> document = Document.loads("[Interface]\nMTU = 1400 # as the provider says\n")
    >>> document.updated(Config(Interface(mtu=1280))).dumps()
    '[Interface]\nMTU = 1280 # as the provider says\n'
    """

    source: Source
    reading: Reading

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], name: str | None = None) -> "Document":
        """Read a file; its keys stay in the core. Raises OSError and :class:`ConfigError`.

        Errors call the file ``name``, or by its path if there is none.
        """
        return cls._read(read_source(path, name))

    @classmethod
    def loads(cls, text: str | bytes, name: str = TEXT_NAME) -> "Document":
        """Read a text, which CPython cannot wipe; errors call it ``name``. Raises :class:`ConfigError`."""
        return cls._read(text_source(text, name))

    @cached_property
    def config(self) -> Config:
        """What the file says."""
        return Config(self.reading.interface, self.reading.peers)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the file says in a way that is hardly meant."""
        return self.reading.notes

    def updated(self, config: Config) -> "Document":
        """Make the file say ``config``, touching only the lines that have to change.

        A value is replaced in its place; new keys go behind the last one of their section; a peer's section
        goes and moves as a whole, with the comments directly above its header.
        """
        text = edited(self.source.text, self.reading, config.interface, config.peers)
        return self._read(self.source.with_text(text))

    def edit(self, change: Callable[[Config], Config]) -> "Document":
        """Make the file say what ``change`` makes of its configuration."""
        return self.updated(change(self.config))

    def dumps(self, *, expose_keys: bool = False) -> str:
        """Give the text. Without ``expose_keys`` it shows ``(hidden)`` for secrets and cannot be read back.

        The text with keys is a Python string, which CPython cannot wipe; :meth:`write` makes none.
        """
        text = self.source.text
        if not expose_keys:
            return plain(text.parts(text.text))
        return reveal_config(text.encode(), text.secrets).decode("utf-8", "surrogateescape")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Replace a file, wholly or not at all, by one that only its owner can read. Raises OSError."""
        write_config(path, self.source.text.encode(), self.source.text.secrets)

    @classmethod
    def _read(cls, source: Source) -> "Document":
        return cls(source, read(source.text, source.name))
