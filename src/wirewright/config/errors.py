"""What is wrong with a configuration, in words for the person who wrote it."""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_PROBLEMS = 100
"""Problems of one file that are kept; the rest are only counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what would be right."""

    line: int | None
    """Number of the line, from 1; None if the problem is the file as a whole."""
    key: str | None
    """The key, as it is usually written, or as it stands in the file if it is unknown."""
    found: str
    expected: str
    hint: str | None = None

    def __str__(self) -> str:
        what = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{what}found {self.found}, expected {self.expected}{hint}"


class ConfigError(ValueError):
    """A configuration that cannot be used; tells all of its problems at once, in the order of their lines."""

    def __init__(self, source: str, problems: Sequence[Problem], uncounted: int = 0) -> None:
        """``source`` names the file; ``uncounted`` is how many more problems there are than are listed."""
        self.source = source
        self.problems = tuple(problems)
        self.uncounted = uncounted
        super().__init__(source, self.problems, uncounted)

    def __str__(self) -> str:
        lines = []
        for problem in self.problems:
            where = self.source if problem.line is None else f"{self.source}:{problem.line}"
            lines.append(f"{where}: {problem}")
        if self.uncounted:
            lines.append(f"{self.source}: and {self.uncounted} more")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is allowed but hardly meant."""

    line: int
    key: str
    code: str
    """A stable name of the kind of note, such as ``host-bits``."""
    text: str


class UnreadableError(ValueError):
    """A value that cannot be read. The reader of the file adds line and key and makes a :class:`Problem`."""

    def __init__(self, found: str, expected: str, hint: str | None = None) -> None:
        """All three are phrases that fit into :class:`Problem`."""
        super().__init__(found, expected, hint)
        self.found = found
        self.expected = expected
        self.hint = hint
