"""What people write after --socks5, --forward and --expose, and in the file of credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirewright.proxy.addresses import parse_expose, parse_forward, parse_listen
from wirewright.proxy.credentials import ENVIRONMENT, Credentials, CredentialsError, find_credentials


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1080", ("127.0.0.1", 1080)),
        ("localhost:1080", ("127.0.0.1", 1080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:1080", ("::1", 1080)),
    ],
)
def test_a_place_to_listen(text: str, place: tuple[str, int]) -> None:
    assert parse_listen(text, "--socks5") == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":1080",
        "x",
        "x:1080",
        "::1:1080",
        "[::1]",
        "127.0.0.1",
        "127.0.0.1:",
        "1.2.3.4:65536",
        "1:-1",
        "²",
    ],
)
def test_a_place_that_cannot_be_is_told_with_its_option(text: str) -> None:
    with pytest.raises(ValueError, match="--socks5"):
        parse_listen(text, "--socks5")


def test_both_sides_of_a_forward() -> None:
    assert parse_forward("5432=db:5432", "-") == (("127.0.0.1", 5432), ("db", 5432))
    assert parse_forward("[::1]:80=[fd00::1]:80", "-") == (("::1", 80), ("fd00::1", 80))
    assert parse_expose("80=127.0.0.1:8000", "-") == (("", 80), ("127.0.0.1", 8000))
    assert parse_expose("10.0.0.2:80=localhost:8000", "-") == (("10.0.0.2", 80), ("localhost", 8000))
    assert str(parse_forward("80=[fd00::1]:80", "-").to) == "[fd00::1]:80"


@pytest.mark.parametrize(
    "text", ["", "80", "80=", "=db:80", "80=db", "80=:80", "80=db:0", "80=db:x", "80=fd00::1:80"]
)
@pytest.mark.parametrize("parse", [parse_forward, parse_expose])
def test_a_side_that_cannot_be_is_told(text: str, parse: object) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match="--option"):
        parse(text, "--option")


def test_credentials_come_from_a_file_before_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "proxy.credentials"
    path.write_text("ann:se:cret\nmore\n")
    path.chmod(0o600)
    environment = {ENVIRONMENT: "bob:other"}
    assert find_credentials(path, environment) == (Credentials(b"ann", b"se:cret"), None)
    assert find_credentials(None, environment).credentials == Credentials(b"bob", b"other")
    assert find_credentials(None, {}).credentials is None


def test_a_file_that_others_may_read_is_warned_of(open_folder: Path) -> None:
    path = open_folder / "proxy.credentials"
    path.write_text("ann:secret")
    path.chmod(0o644)
    assert "chmod 600" in (find_credentials(path, {}).warning or "")


@pytest.mark.parametrize("text", ["", "ann", ":secret", "ann:", "a" * 256 + ":x", "x:" + "a" * 256])
def test_credentials_that_cannot_be_are_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    for where in (path, None):
        with pytest.raises(CredentialsError) as told:
            find_credentials(where, {ENVIRONMENT: text})
        assert "secret" not in str(told.value)


def test_a_folder_is_no_file_of_credentials(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        find_credentials(tmp_path, {})
