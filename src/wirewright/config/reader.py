"""From the lines of a configuration file to what it says, or to everything that is wrong with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from wirewright.config.errors import MAX_PROBLEMS, ConfigError, Note, Problem, UnreadableError
from wirewright.config.fields import FIELDS, Field, fields_of
from wirewright.config.model import Interface, Peer
from wirewright.config.parts import SPACE, RedactedText, show
from wirewright.config.syntax import Block, Line, LineKind, SectionName, read_blocks, read_lines, squeeze

MAX_LINES = 1 << 20
"""Lines of a file, and items of all of its lists: what bounds the memory that a hostile file takes."""
MAX_NOTES = 1000
"""Notes of one file that are kept."""

_BYTE_ORDER_MARK = "\ufeff"
_USUAL_KEYS = {field.key: field for field in FIELDS}
_QUICK_KEYS = {field.key.lower(): field for field in FIELDS}
_WG_KEYS = {field.key.lower(): field for field in FIELDS if field.of_wg}


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a file and what it says."""

    block: Block
    value: Interface | Peer | None
    """None for what precedes the first section."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that was read."""

    sections: tuple[Section, ...]
    interface: Interface
    peers: tuple[Peer, ...]
    notes: tuple[Note, ...]


def read(text: RedactedText, source: str, *, partial: bool = False) -> Reading:
    """Read a whole file, or peers alone if it may be ``partial``.

    Raises :class:`ConfigError` with all of its problems.
    """
    reader = _Reader(text)
    if text.text.count("\n") >= MAX_LINES:
        problem = Problem(None, None, f"more than {MAX_LINES} lines", "a configuration file")
        raise ConfigError(source, [problem])
    blocks = read_blocks(read_lines(text.text))
    sections = tuple(Section(block, reader.section(block)) for block in blocks)
    reader.check_interfaces(blocks, partial=partial)
    if reader.problems:
        reader.problems.sort(key=lambda problem: problem.line or 0)
        raise ConfigError(source, reader.problems, reader.uncounted)
    values = [section.value for section in sections]
    return Reading(
        sections,
        next((value for value in values if isinstance(value, Interface)), Interface()),
        tuple(value for value in values if isinstance(value, Peer)),
        tuple(reader.notes),
    )


def field_of(line: Line) -> Field | None:
    """Find the key that an assignment sets, whichever section it belongs to."""
    usual = _USUAL_KEYS.get(line.key)
    if usual is not None:
        return usual
    name = squeeze(line.key)
    return _WG_KEYS.get(name) if len(name) < len(line.key) else _QUICK_KEYS.get(name)


def items_of(line: Line, field: Field, text: RedactedText) -> Sequence[Any]:
    """Read a line that has been read before, and so can be read."""
    return field.read(text.parts(line.value), lambda _code, _text: None)


class _Reader:
    def __init__(self, text: RedactedText) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.uncounted = 0
        self.notes: list[Note] = []
        self.items = 0

    def section(self, block: Block) -> Interface | Peer | None:
        """Read a section; what is returned after a problem is not used."""
        items: dict[str, list[Any]] = {}
        lines: dict[str, int] = {}
        for number, line in enumerate(block.lines, block.first):
            if line.kind is LineKind.ASSIGNMENT:
                field = self._field(block.section, line, number)
                if field is None:
                    continue
                if field.attribute in lines and not field.many:
                    text = f"repeated; line {lines[field.attribute]} counts for nothing"
                    self._note(number, field, "repeated-key", text)
                lines[field.attribute] = number
                items.setdefault(field.attribute, []).extend(self._items(field, line, number))
            elif line.kind in {LineKind.BAD_HEADER, LineKind.OTHER}:
                self._unknown_line(line, number)
        if block.section is None:
            return None
        if block.section == "Peer" and "public_key" not in lines:
            found = "a [Peer] section without it"
            self._problem(Problem(block.header, "PublicKey", found, "the peer's public key"))
        values = {
            field.attribute: field.resolve(items[field.attribute])
            for field in fields_of(block.section)
            if field.attribute in items
        }
        if self.problems:
            return None
        return Interface(**values) if block.section == "Interface" else Peer(**values)

    def check_interfaces(self, blocks: list[Block], *, partial: bool) -> None:
        """See to it that there is one [Interface] section; ``wg(8)`` allows no second one."""
        headers = [block.header for block in blocks if block.section == "Interface"]
        if not headers and not partial:
            self._problem(Problem(None, None, "no [Interface] section", "one"))
        for header in headers[1:]:
            hint = f"the first one is on line {headers[0]}"
            self._problem(Problem(header, None, "another [Interface] section", "one only", hint))

    def _field(self, section: SectionName | None, line: Line, number: int) -> Field | None:
        field = field_of(line)
        if field is None and len(self.problems) >= MAX_PROBLEMS:
            # Looking for a name that was meant takes a while, and nobody would see it.
            self.uncounted += 1
        elif field is None:
            self._problem(_unknown_key(section, line, number))
        elif section is None:
            expected = f"[{field.section}] above it"
            self._problem(Problem(number, field.key, "a key before any section", expected))
        elif field.section != section:
            self._problem(Problem(number, field.key, f"it in [{section}]", f"it in [{field.section}]"))
        else:
            return field
        return None

    def _items(self, field: Field, line: Line, number: int) -> Sequence[Any]:
        if field.of_wg and not line.value:
            self._problem(Problem(number, field.key, "no value", "one", "remove the line to leave it unset"))
            return ()
        if field.many and not field.one_a_line:
            # Separators, which are never fewer than items but for one.
            self.items += 1 + sum(map(line.value.count, ", \t\v\f\r"))
            if self.items > MAX_LINES:
                self._problem(Problem(number, field.key, "too many items", f"at most {MAX_LINES} in a file"))
                return ()
        try:
            return field.read(
                self.text.parts(line.value), lambda code, text: self._note(number, field, code, text)
            )
        except UnreadableError as error:
            self._problem(Problem(number, field.key, error.found, error.expected, error.hint))
            return ()

    def _unknown_line(self, line: Line, number: int) -> None:
        if line.kind is LineKind.BAD_HEADER:
            name = _show_name(line.text.partition("#")[0].strip(SPACE))
            self._problem(Problem(number, None, f"the section '{name}'", "[Interface] or [Peer]"))
            return
        # Only the first word: behind it may stand a key whose '=' was forgotten.
        word = re.split(f"[{SPACE}]", line.text.strip(SPACE), maxsplit=1)[0]
        expected = "'Key = value', a section or a '#' comment"
        self._problem(Problem(number, None, f"'{_show_name(word)}'", expected, _hint(word)))

    def _problem(self, problem: Problem) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.uncounted += 1

    def _note(self, number: int, field: Field, code: str, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(Note(number, field.key, code, text))


def _show_name(name: str) -> str:
    # No name is that long, but a piece of a key may stand where a name should.
    return show(name if len(name) <= 24 else name[:8] + "…")[1:-1]


def _unknown_key(section: SectionName | None, line: Line, number: int) -> Problem:
    # The value is not shown: under a misspelt name it may be a key.
    known = fields_of(section) if section else FIELDS
    names = ", ".join(field.key for field in known)
    expected = f"a key of [{section}] ({names})" if section else "a section first"
    suggestion = _suggest(line.key, known) or _suggest(line.key, FIELDS)
    hint = _hint(line.key)
    if suggestion is not None and hint is None:
        place = "" if suggestion.section == section else f", which belongs in [{suggestion.section}]"
        hint = f"did you mean {suggestion.key}{place}?"
    return Problem(number, _show_name(line.key), "an unknown key", expected, hint)


def _hint(text: str) -> str | None:
    """Recognise what other programs put at the beginning of a line."""
    if text.startswith(_BYTE_ORDER_MARK):
        return "the file begins with a byte order mark; save it as plain UTF-8"
    if text.startswith((";", "//")):
        return "a comment begins with '#'"
    return None


def _suggest(key: str, fields: Sequence[Field]) -> Field | None:
    key = squeeze(key).replace("_", "").replace("-", "")[:64]
    by_name = {field.key.lower(): field for field in fields}
    if close := get_close_matches(key, by_name, n=1, cutoff=0.7):
        return by_name[close[0]]
    # Such as KeepAlive, or IPs: part of a name, or a name and more.
    parts = [name for name in by_name if len(key) >= 5 and (key in name or name in key)]
    return by_name[parts[0]] if len(parts) == 1 else None
