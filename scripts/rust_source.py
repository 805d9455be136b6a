"""Rust source as the checks want to read it: what ships, without comments, strings and tests, lines kept."""

from __future__ import annotations

import re
from pathlib import Path

# A comment, a string (raw ones too) or a character; a lifetime is none of them.
QUIET = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | \bb?r(\#*)".*?"\1
      | \bb?"(?:\\.|[^"\\])*"
      | "(?:\\.|[^"\\])*"
      | '(?:\\[^\n]+?|[^'\\\n])'
    """,
    re.VERBOSE | re.DOTALL,
)
TEST_ITEM = re.compile(r"#\[cfg\((?:test\)|(?:all|any)\(test\b[^\]]*)\]")


def without_tests_and_comments(path: Path) -> str:
    """Return the text of `path` with everything that does not ship replaced by blank lines."""
    if is_test_file(path):
        return ""
    text = QUIET.sub(lambda found: blank(found.group()), path.read_text())
    while found := TEST_ITEM.search(text):
        end = end_of_item(text, found.end())
        text = text[: found.start()] + blank(text[found.start() : end]) + text[end:]
    return text


def is_test_file(path: Path) -> bool:
    """Whether a module above includes this file, or a folder it lies in, for tests only."""
    if path.name in {"lib.rs", "main.rs"}:
        return False
    module = path.parent if path.name == "mod.rs" else path.with_suffix("")
    folder = module.parent
    declared = re.compile(TEST_ITEM.pattern + rf"\s*(?:pub(?:\([a-z]+\))? )?mod {module.name};")
    for above in (folder / "lib.rs", folder / "main.rs", folder / "mod.rs", folder.with_suffix(".rs")):
        if above.is_file():
            return bool(declared.search(above.read_text())) or is_test_file(above)
    return False


def end_of_item(text: str, start: int) -> int:
    """Return where the item after an attribute ends: at its semicolon or its closing brace."""
    depth = 0
    for position in range(start, len(text)):
        character = text[position]
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
            if depth == 0 and character == "}":
                return position + 1
        elif character == ";" and depth == 0:
            return position + 1
    return len(text)


def blank(text: str) -> str:
    """Return the line ends of `text` only."""
    return "\n" * text.count("\n")
