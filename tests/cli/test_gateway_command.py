"""What `ww gateway` refuses before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .running import ww


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--coordinator https://vpn.example"),
        (("--coordinator", "http://vpn.example"), "not encrypted"),
        (("--coordinator", "nonsense"), "no address of a coordinator"),
        (("--coordinator", "https://vpn.example", "--engine", "fast"), "'fast' is none of auto, kernel"),
        (("--coordinator", "https://vpn.example", "--metrics", "nowhere"), "is no port"),
        (("--coordinator", "https://vpn.example", "--listen-port", "0"), "--listen-port"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = ww("gateway", "--state-directory", str(tmp_path), *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_credential_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    done = ww("gateway", "--state-directory", str(tmp_path), "--coordinator", "https://vpn.example", "--json")
    assert done.returncode == 1
    assert "gateway.credential" in json.loads(done.stdout)["error"]


def test_a_secret_in_the_address_is_not_repeated(tmp_path: Path) -> None:
    address = "https://ann:very-secret@vpn.example"
    done = ww("gateway", "--state-directory", str(tmp_path), "--coordinator", address)
    assert done.returncode == 2
    assert "very-secret" not in done.stderr
