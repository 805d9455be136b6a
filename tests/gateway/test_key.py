"""The file of a gateway's key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from wirewright.gateway.key import read_or_make_key


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "gateway.key"
    key = read_or_make_key(path)
    assert read_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_what_an_interrupted_one_left_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "gateway.key.new").write_text("half a k")
    key = read_or_make_key(tmp_path / "gateway.key")
    assert read_or_make_key(tmp_path / "gateway.key") == key


def test_a_key_that_is_open_to_others_is_refused(open_folder: Path) -> None:
    path = open_folder / "gateway.key"
    read_or_make_key(path)
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        read_or_make_key(path)


@pytest.mark.parametrize(("text", "told"), [("", "is empty"), ("nonsense\n", "no private key")])
def test_a_file_that_has_no_key_is_not_replaced(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "gateway.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(OSError, match=told):
        read_or_make_key(path)
    assert path.read_text() == text
