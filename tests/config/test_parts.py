"""Files of one key, files without an interface, and texts written without what only `wg-quick` knows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.config.samples import OFFICE, PRESHARED, PRIVATE, PUBLIC_OF_PRIVATE
from tests.conftest import missing
from wirewright.config import Config, ConfigError, Document
from wirewright.config.keyfile import read_preshared_key, read_secret_key
from wirewright.config.parts import RedactedText, placeholder, redacted
from wirewright.config.strip import stripped
from wirewright.keys import SecretKey


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("text", ["{}", "{}\n", "  {}\r\n\n"])
def test_a_file_of_one_key_is_read(file: Path, text: str) -> None:
    file.write_text(text.format(PRIVATE))
    key = read_secret_key(file)
    assert key is not None
    assert str(key.public_key) == PUBLIC_OF_PRIVATE
    file.write_text(text.format(PRESHARED))
    shared = read_preshared_key(file)
    assert shared is not None
    assert shared.expose() == PRESHARED


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_no_key(file: Path, text: str) -> None:
    file.write_text(text)
    assert read_secret_key(file) is None
    assert read_preshared_key("/dev/null") is None


@pytest.mark.parametrize(
    "text", ["x", PRIVATE[:-1], f"{PRIVATE} {PRIVATE}", f"PrivateKey = {PRIVATE}", f"{PRIVATE}x"]
)
def test_a_file_of_anything_else_is_refused_without_showing_it(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match="key") as raised:
        read_secret_key(file)
    assert PRIVATE[:8] not in str(raised.value)


def test_peers_alone_are_a_part(file: Path) -> None:
    file.write_text(f"[Peer]\nPublicKey = {PUBLIC_OF_PRIVATE}\n")
    assert [str(peer.public_key) for peer in Config.from_part(file).peers] == [PUBLIC_OF_PRIVATE]
    with pytest.raises(ConfigError, match=r"no \[Interface"):
        Config.from_file(file)


def test_two_interfaces_are_too_many_for_a_part(file: Path) -> None:
    file.write_text("[Interface]\n[Interface]\n")
    with pytest.raises(ConfigError, match=r"another \[Interface"):
        Config.from_part(file)


def test_what_is_stripped_is_what_wg_quick_strips(tmp_path: Path) -> None:
    file = tmp_path / "office.conf"
    more = "SaveConfig = false\n  postup = echo hi # now\nTable=off\n# a comment\n\n"
    file.write_text(OFFICE.replace("MTU=1400", f"MTU=1400\n{more}"))
    file.chmod(0o600)
    text = stripped(Document.from_file(file))
    assert not {"MTU", "DNS", "Address", "SaveConfig", "postup", "Table"} & set(text.text.split())
    assert "# a comment" in text.text
    assert PRIVATE not in text.text
    if shutil.which("wg-quick") is None or os.geteuid() != 0:
        missing("wg-quick", "install wireguard-tools, and run as root")
    # It adds an empty line.
    theirs = subprocess.run(["wg-quick", "strip", str(file)], capture_output=True, check=True).stdout
    assert written(text) + b"\n" == theirs


def test_a_text_is_written_with_its_secrets() -> None:
    secrets: list[object] = []
    key = SecretKey.from_base64(PRIVATE)
    text = f"one {placeholder(key, secrets)} two\n"  # type: ignore[arg-type]
    assert PRIVATE not in text
    assert written(RedactedText(text, tuple(secrets))) == f"one {PRIVATE} two\n".encode()  # type: ignore[arg-type]


def test_a_text_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full, pytest.raises(OSError, match="No space left"):
        redacted("text").write_to(full.fileno())
    with pytest.raises(ValueError, match="not negative"):
        redacted("text").write_to(-1)


def written(text: RedactedText) -> bytes:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        text.write_to(writing)
        os.close(writing)
        return reader.read()
