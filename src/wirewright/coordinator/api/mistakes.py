"""What is wrong with a request, in words for people; without the value, which may be a misplaced secret."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wirewright.coordinator.api.models import HANDLE, PUBLIC_KEY, UUID

_MISTAKES: Final = 20
"""Mistakes of a request that are told, at most."""
_PART: Final = 64
"""Letters of a key that are told: it is the one who asks that chose it."""
_PATTERNS: Final = {
    UUID: "is no identifier",
    HANDLE: "has letters, digits and . _ @ - only, begins with a letter or digit, and has 64 of them at most",
    PUBLIC_KEY: "is no public key in base64",
}
_KINDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "means nothing here",
    "json_invalid": "is no JSON",
    "string_pattern_mismatch": "has a form that cannot be",
    "string_too_short": "is too short",
    "string_too_long": "has more than {max_length} letters",
    "too_short": "has fewer than {min_length} entries",
    "too_long": "has more than {max_length} entries",
    "enum": "is none of {expected}",
    "literal_error": "is none of {expected}",
    "greater_than_equal": "is less than {ge}",
    "less_than_equal": "is more than {le}",
    "timezone_aware": "needs a time zone, such as the Z of 2027-01-08T12:00:00Z",
    "model_type": "is no object",
}
_TYPES: Final = {
    "string": "is no text",
    "int": "is no whole number",
    "bool": "is neither true nor false",
    "list": "is no list",
    "dict": "is no object",
    "model": "is no object",
    "datetime": "is no time, such as 2027-01-08T12:00:00Z",
    "ip": "is no IP address",
}
"""By how the kind begins."""


def mistakes(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return where and what is wrong, of the errors of a validation."""
    found = [{"where": _where(error), "what": _what(error)} for error in errors]
    # A choice of types has an error for each of them.
    return [each for number, each in enumerate(found) if each not in found[:number]][:_MISTAKES]


def in_a_line(found: Sequence[Mapping[str, str]]) -> str:
    """Return the first mistake as a sentence for people."""
    if not found:
        return "The request cannot be read."
    where = found[0]["where"].split(".")
    # Whether it stands in the body or the path is nothing to who typed a command.
    return f"{'.'.join(where[1:] or where)} {found[0]['what']}."


def _where(error: Mapping[str, Any]) -> str:
    place = error["loc"]
    if error["type"] == "json_invalid":
        place = place[:1]
    elif error["type"] != "extra_forbidden":
        # The types that one may choose between have such names.
        place = [part for part in place if not (isinstance(part, str) and "[" in part)]
    return ".".join(str(part)[:_PART] for part in place)


def _what(error: Mapping[str, Any]) -> str:
    kind, context = str(error["type"]), error.get("ctx") or {}
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return _PATTERNS[context["pattern"]]
    if kind in _KINDS:
        return _KINDS[kind].format_map(context)
    return _TYPES.get(kind.split("_", 1)[0], "cannot be used")
