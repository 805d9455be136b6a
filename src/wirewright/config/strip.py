"""A configuration without what only ``wg-quick(8)`` knows, as ``wg(8)`` takes it."""

from wirewright.config.document import Document
from wirewright.config.parts import RedactedText, compact
from wirewright.config.reader import field_of
from wirewright.config.syntax import Line, LineKind


def stripped(document: Document) -> RedactedText:
    """Leave out the lines of those keys; all others, comments too, stay as they stand."""
    text = "".join(
        line.text
        for section in document.reading.sections
        for line in section.block.lines
        if not _is_of_quick(line)
    )
    return compact(text, document.source.text.secrets)


def _is_of_quick(line: Line) -> bool:
    field = field_of(line) if line.kind is LineKind.ASSIGNMENT else None
    return field is not None and not field.of_wg
