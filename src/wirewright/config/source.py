"""Where the text of a configuration comes from."""

import os
from dataclasses import dataclass, replace

from wirewright._core import ConfigText, parse_config_bytes, read_config
from wirewright.config.errors import ConfigError, Problem
from wirewright.config.parts import RedactedText, decode

TEXT_NAME = "configuration"
"""What error messages call a text that comes from no file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text without its secrets, the name messages give it, and who may read the file it came from."""

    name: str
    text: RedactedText
    mode: int | None = None
    """Permission bits, if it came from a regular file."""
    readable_by_others: bool = False
    """Whether every user of the machine can read the file."""
    path: str = ""
    """Where it was read from, if from a file."""

    def with_text(self, text: RedactedText) -> "Source":
        """Keep the name and the rest for an edited text."""
        return replace(self, text=text)


def read_source(path: str | os.PathLike[str], name: str | None = None) -> Source:
    """Read a file into the core; errors call it ``name``, or by its path if there is none.

    Raises OSError, and ConfigError for a text that is none.
    """
    where = os.fspath(path)
    name = where if name is None else name
    try:
        config = read_config(path)
    except ValueError as error:
        raise _refused(name, error) from None
    return replace(_source(name, config), path=where)


def text_source(text: str | bytes, name: str = TEXT_NAME) -> Source:
    """Take a text that Python holds already, and cannot wipe. Raises ConfigError for a text that is none."""
    try:
        content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        config = parse_config_bytes(content)
    except UnicodeEncodeError as error:
        line = str(error.object).count("\n", 0, error.start) + 1
        raise ConfigError(name, [Problem(line, None, "half of a surrogate pair", "text")]) from None
    except ValueError as error:
        raise _refused(name, error) from None
    return _source(name, config)


def _source(name: str, config: ConfigText) -> Source:
    return Source(name, decode(config), config.mode, config.readable_by_others)


def _refused(name: str, error: ValueError) -> ConfigError:
    found, line = error.args
    if line is None:
        return ConfigError(name, [Problem(None, None, f"a text {found}", "a configuration file")])
    return ConfigError(name, [Problem(line, None, "a NUL byte", "text", "is this a configuration file?")])
