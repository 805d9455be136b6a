"""The least change to a file that makes it say something else.

A file is a sequence of blocks (sections with the comments above them). Peers are found again by their public
key, the first section of a key for the first peer with it and so on; their blocks are kept, moved or left out
whole. Within a block only the lines of keys whose value changes are touched.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wirewright.config.fields import Field, Removal, fields_of
from wirewright.config.model import Interface, Peer
from wirewright.config.parts import RedactedText, compact, place
from wirewright.config.reader import Reading, Section, field_of, items_of
from wirewright.config.render import render_section
from wirewright.config.syntax import Line, LineKind, read_line

if TYPE_CHECKING:
    from wirewright._core import HiddenText
    from wirewright.keys import PublicKey


def edited(text: RedactedText, reading: Reading, interface: Interface, peers: Sequence[Peer]) -> RedactedText:
    """Give the text that says ``interface`` and ``peers``."""
    editor = _Editor(text)
    head, *sections = reading.sections
    waiting: defaultdict[PublicKey, deque[int]] = defaultdict(deque)
    place_of_interface = 0
    for index, section in enumerate(sections):
        if isinstance(section.value, Peer):
            waiting[section.value.public_key].append(index)
        else:
            place_of_interface = index

    # The interface goes before the first peer it stood before, or else behind the last it stood behind.
    blocks: list[_Block] = []
    before: int | None = None
    behind = 0
    for peer in peers:
        if waiting[peer.public_key]:
            index = waiting[peer.public_key].popleft()
            if index < place_of_interface:
                behind = len(blocks) + 1
            elif before is None:
                before = len(blocks)
            blocks.append(editor.kept_section(sections[index], peer))
        else:
            blocks.append(editor.new_section(peer))
    own_block = editor.kept_section(sections[place_of_interface], interface)
    blocks.insert(behind if before is None else before, own_block)
    return compact(editor.joined([_Block(head.block.text), *blocks]), editor.secrets)


@dataclass(frozen=True, slots=True)
class _Block:
    text: str
    is_new: bool = False


class _Editor:
    def __init__(self, text: RedactedText) -> None:
        self.text = text
        self.secrets: list[HiddenText] = list(text.secrets)
        self.ending = "\r\n" if text.text.partition("\n")[0].endswith("\r") else "\n"

    def kept_section(self, section: Section, value: Interface | Peer) -> _Block:
        """Make a section of the file say something else."""
        old = section.value
        if old is None or old == value:
            return _Block(section.block.text)
        lines = _Lines(self, section.block.lines)
        for field in fields_of("Interface" if isinstance(value, Interface) else "Peer"):
            wanted = getattr(value, field.attribute)
            if wanted != getattr(old, field.attribute):
                lines.set(field, field.items(wanted))
        return _Block("".join(line.text for line in lines.lines if line is not None))

    def new_section(self, peer: Peer) -> _Block:
        """Write a section that is not in the file yet."""
        return _Block(render_section(peer, self.secrets, self.ending), is_new=True)

    def joined(self, blocks: Iterable[_Block]) -> str:
        """Put blocks one behind the other: each ends its last line, and an empty line precedes a new one."""
        text: list[str] = []
        for block in blocks:
            if not block.text:
                continue
            if text and not text[-1].endswith("\n"):
                text.append(self.ending)
            if text and block.is_new and not _ends_blank(text[-1]):
                text.append(self.ending)
            text.append(block.text)
        return "".join(text)


class _Lines:
    """The lines of a section while they change; a line that goes becomes None."""

    def __init__(self, editor: _Editor, lines: Iterable[Line]) -> None:
        self.editor = editor
        self.lines: list[Line | None] = list(lines)

    def set(self, field: Field, wanted: tuple[Any, ...]) -> None:
        """Change the lines of one key so that they give the items ``wanted``."""
        places = [index for index, line in enumerate(self.lines) if _sets(line, field)]
        if not wanted:
            shares: list[tuple[Any, ...]] = [()] * len(places)
            rest = wanted
        elif not field.many and places:
            # Of several lines the last one counts; those above it say nothing and may stay.
            places, shares, rest = places[-1:], [wanted], ()
        else:
            shares, rest = self._shares(field, places, wanted)
        for index, share in zip(places, shares, strict=True):
            if not share:
                self.lines[index] = None
            elif share != self._items(index, field):
                self._put(index, field, share)
        if rest:
            self._add(field, rest)

    def _shares(
        self, field: Field, places: list[int], wanted: tuple[Any, ...]
    ) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
        """Deal the items of a list out to the lines it has, so that as many as can be stay as they are.

        Also gives the items that need lines of their own.
        """
        if not places:
            return [], wanted
        had = [self._items(index, field) for index in places]
        if field.one_a_line and len(wanted) == len(places):
            return [(item,) for item in wanted], ()
        if any(isinstance(item, Removal) for items in had for item in items):
            # A removal makes a line depend on those above it: from now on one line says it all.
            return [wanted, *[()] * (len(places) - 1)], ()
        shares: list[tuple[Any, ...]] = []
        dealt = 0
        still_wanted = None if field.one_a_line else set(wanted)
        for items in had:
            start = dealt
            for item in items:
                if dealt < len(wanted) and item == wanted[dealt]:
                    dealt += 1
                elif still_wanted is None or item in still_wanted:
                    break
            shares.append(wanted[start:dealt])
        rest = wanted[dealt:]
        if field.one_a_line:
            return shares, rest
        last = max((number for number, share in enumerate(shares) if share), default=0)
        shares[last] += rest
        return shares, ()

    def _items(self, index: int, field: Field) -> tuple[Any, ...]:
        line = self.lines[index]
        return tuple(items_of(line, field, self.editor.text)) if line is not None else ()

    def _put(self, index: int, field: Field, items: tuple[Any, ...]) -> None:
        line = self.lines[index]
        if line is not None:
            self.lines[index] = line.with_value(place(field.parts(items), self.editor.secrets))

    def _add(self, field: Field, items: tuple[Any, ...]) -> None:
        """Add lines behind the last one of the same key, or of the section, and space them like that one."""
        used = [
            (index, line)
            for index, line in enumerate(self.lines)
            if line is not None and line.kind in {LineKind.HEADER, LineKind.ASSIGNMENT}
        ]
        index, above = next(((index, line) for index, line in reversed(used) if _sets(line, field)), used[-1])
        if not above.text.endswith("\n"):
            self.lines[index] = read_line(above.text + self.editor.ending)
        indent, equals = above.spacing
        groups = [(item,) for item in items] if field.one_a_line else [items]
        values = [place(field.parts(group), self.editor.secrets) for group in groups]
        self.lines[index + 1 : index + 1] = [
            read_line(f"{indent}{field.key}{equals}{value}{self.editor.ending}") for value in values
        ]


def _sets(line: Line | None, field: Field) -> bool:
    return line is not None and line.kind is LineKind.ASSIGNMENT and field_of(line) is field


def _ends_blank(text: str) -> bool:
    """Whether the last line of a text, which has its ending, is blank."""
    return read_line(text[text.rfind("\n", 0, -1) + 1 :]).kind is LineKind.BLANK
