"""Counters in words."""

from __future__ import annotations

import re
from pathlib import Path

from wirewright.tunnel.system.showing import WORDS, counters_text


def test_every_event_of_the_engine_has_words(root: Path) -> None:
    source = (root / "crates" / "engine" / "src" / "counters.rs").read_text()
    events = set(re.findall(r'^    \w+ = "(\w+)",$', source, re.M))
    assert len(events) > 40
    # And two that are no events, but tell how packets came to their shard.
    assert set(WORDS) == events | {"handed_over_datagrams", "handed_over_packets"}


def test_words_are_one_line_without_a_full_stop() -> None:
    for name, words in WORDS.items():
        assert 0 < len(words) < 90, name
        assert words == words.strip(" .\n")


def test_what_is_not_zero_is_told() -> None:
    text = counters_text({"no_peer": 12, "bad_type": 0, "bad_mac1": 3, "of_tomorrow": 1})
    assert text.splitlines() == [
        "  counters:",
        f"    12  {WORDS['no_peer']} (no_peer)",
        f"     3  {WORDS['bad_mac1']} (bad_mac1)",
        "     1  of_tomorrow (of_tomorrow)",
    ]


def test_nothing_and_no_counters_are_told_apart() -> None:
    assert counters_text({"no_peer": 0}) == "  counters: nothing was dropped or refused\n"
    assert counters_text(None) == "  counters: this engine has none\n"
