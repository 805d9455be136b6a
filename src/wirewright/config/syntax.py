"""The lines of a configuration file, without loss.

The format is that of ``wg(8)``: lines end with a line feed; ``#`` begins a comment anywhere; a section begins
with ``[Interface]`` or ``[Peer]``; everything else is ``Key = value``. ``wg`` removes all white space of a
line before it looks at it and compares without regard to case, so ``[ peer ]`` and ``Private Key`` mean what
they seem to mean. ``wg-quick(8)`` only removes white space at the ends, so its own keys cannot be spaced out.

Every line keeps its text as it stands, ending included, and remembers where its value lies in it: an edit
replaces that span and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, TypeAlias

from wirewright.config.parts import SPACE

SectionName: TypeAlias = Literal["Interface", "Peer"]

_REMOVE_SPACE = str.maketrans("", "", SPACE)
_HEADERS: dict[str, SectionName] = {"[interface]": "Interface", "[peer]": "Peer"}


class LineKind(Enum):
    """What a line is."""

    BLANK = auto()
    """Nothing, or only white space."""
    COMMENT = auto()
    """Only a comment."""
    HEADER = auto()
    """The beginning of a section."""
    BAD_HEADER = auto()
    """The beginning of a section of another name."""
    ASSIGNMENT = auto()
    """``Key = value``, whatever key and value are."""
    OTHER = auto()
    """Anything else."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file."""

    text: str
    """As it stands, with its line ending if it has one."""
    kind: LineKind
    section: SectionName | None = None
    """The section that a header begins."""
    key: str = ""
    """The key of an assignment, white space at its ends removed."""
    start: int = 0
    """Where the value of an assignment begins in the text."""
    stop: int = 0
    """Where it ends; an empty value has ``start == stop``."""

    @property
    def value(self) -> str:
        """The value of an assignment, without white space at its ends."""
        return self.text[self.start : self.stop]

    def with_value(self, value: str) -> "Line":
        """Put another value into the same place."""
        return read_line(self.text[: self.start] + value + self.text[self.stop :])

    @property
    def spacing(self) -> tuple[str, str]:
        """What stands before the key of an assignment, and what between key and value; else the usual."""
        name, equals, _ = self.text[: self.start].partition("=")
        indent = name[: len(name) - len(name.lstrip(" \t"))]
        between = name[len(name.rstrip(" \t")) :] + equals + self.text[len(name) + 1 : self.start]
        if self.kind is not LineKind.ASSIGNMENT or self.start == self.stop or between.strip(" \t") != "=":
            return "", " = "
        return indent, between


def squeeze(text: str) -> str:
    """Remove all white space and, as far as ASCII goes, the difference of case.

    Only ASCII: ``str.lower`` would make a ``k`` of the Kelvin sign, and so a ``PrivateKey`` of a name that
    the core, which hides the values of that key, does not take for it.
    """
    text = remove_space(text)
    return text.lower() if text.isascii() else text


def remove_space(text: str) -> str:
    """Remove all white space."""
    return text.translate(_REMOVE_SPACE)


def read_lines(text: str) -> list[Line]:
    """Take a text apart; the texts of the lines, joined, are the text."""
    return [read_line(line) for line in _split(text)]


def read_line(text: str) -> Line:
    """Read one line, with or without its ending."""
    code, hash_, _ = text.partition("#")
    stripped = code.strip(SPACE)
    if not stripped:
        return Line(text, LineKind.COMMENT if hash_ else LineKind.BLANK)
    if stripped.startswith("["):
        section = _HEADERS.get(squeeze(stripped))
        return Line(text, LineKind.HEADER, section) if section else Line(text, LineKind.BAD_HEADER)
    name, equals, value = code.partition("=")
    if not equals:
        return Line(text, LineKind.OTHER)
    stop = len(code.rstrip(SPACE))
    start = len(name) + 1 + len(value) - len(value.lstrip(SPACE))
    if start >= stop:
        # A value that is put here later stands behind the first space, if there is one.
        start = stop = min(len(name) + 2, len(code)) if value.startswith((" ", "\t")) else len(name) + 1
    return Line(text, LineKind.ASSIGNMENT, key=name.strip(SPACE), start=start, stop=stop)


@dataclass(frozen=True, slots=True)
class Block:
    """A section of a file: its header, its lines, and the comments directly above its header."""

    section: SectionName | None
    """None for what precedes the first section."""
    lines: tuple[Line, ...]
    first: int
    """Number of the block's first line in the file, from 1."""

    @property
    def header(self) -> int:
        """Number of the header's line, or of the first line where there is no header."""
        return next(
            (number for number, line in enumerate(self.lines, self.first) if line.section), self.first
        )

    @property
    def text(self) -> str:
        """The block as it stands in the file."""
        return "".join(line.text for line in self.lines)


def read_blocks(lines: list[Line]) -> list[Block]:
    """Divide the lines of a file among its sections; the first block is the one before any section."""
    starts = [0]
    sections: list[SectionName | None] = [None]
    for index, line in enumerate(lines):
        if line.section:
            start = index
            while start > starts[-1] and lines[start - 1].kind is LineKind.COMMENT:
                start -= 1
            starts.append(start)
            sections.append(line.section)
    stops = [*starts[1:], len(lines)]
    return [
        Block(section, tuple(lines[start:stop]), start + 1)
        for section, start, stop in zip(sections, starts, stops, strict=True)
    ]


def _split(text: str) -> Iterator[str]:
    # Not str.splitlines: it also splits at carriage returns, form feeds and more.
    start = 0
    while start < len(text):
        stop = text.find("\n", start) + 1 or len(text)
        yield text[start:stop]
        start = stop
