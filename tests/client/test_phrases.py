"""Policies and times as people say them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wirewright.client import phrases

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "said", ["10.0.0.0/8", "10.0.0.0/8,fd00::/8 tcp", "0.0.0.0/0 udp 53,1000-2000", "0.0.0.0/0 icmp"]
)
def test_a_rule_is_said_back_as_it_was_said(said: str) -> None:
    assert phrases.rule_in_words(phrases.rule(said)) == said


@pytest.mark.parametrize("said", ["", "a b c d"])
def test_what_is_no_rule_is_told_with_how_one_is_said(said: str) -> None:
    with pytest.raises(ValueError, match="NETWORK"):
        phrases.rule(said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("90s", "2026-01-01T00:01:30+00:00"),
        ("2w", "2026-01-15T00:00:00+00:00"),
        ("2027-01-31", "2027-01-31T00:00:00+00:00"),
        ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00+00:00"),
        ("2027-01-31T12:00:00+02:00", "2027-01-31T12:00:00+02:00"),
    ],
)
def test_moments(said: str, meant: str) -> None:
    assert phrases.moment(said, NOW) == meant


@pytest.mark.parametrize("said", ["", "soon", "0d", "5", "-1d", "1.5h", "999999w", "2027-13-01"])
def test_what_is_no_moment_is_told(said: str) -> None:
    with pytest.raises(ValueError, match=r"neither|no time span|beyond"):
        phrases.moment(said, NOW)


@pytest.mark.parametrize("text", ["{", '{"a": 1}', " " * 300_000])
def test_a_file_without_a_policy_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy"
    file.write_text(text)
    with pytest.raises(ValueError, match="policy"):
        phrases.policy(file)
