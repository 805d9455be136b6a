"""Files on the disk: what is read stays in the core, and what is written is its owner's alone."""

import base64
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from tests.config.samples import OFFICE, PRESHARED, PRIVATE
from wirewright.config import Config, ConfigError, Document
from wirewright.config.reader import MAX_LINES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "office.conf"
    path.write_text(OFFICE)
    path.chmod(0o640)
    return path


def test_a_file_is_read_without_its_keys_reaching_python(path: Path) -> None:
    document = Document.from_file(path)
    assert PRIVATE not in document.source.text.text
    assert PRESHARED not in document.source.text.text
    assert document.config == Config.loads(OFFICE)


def test_a_written_file_is_byte_for_byte_the_same_and_private(path: Path) -> None:
    Document.from_file(path).write(path)
    assert path.read_text() == OFFICE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_bytes_that_are_not_utf8_survive(path: Path) -> None:
    path.write_bytes(OFFICE.encode() + b"# caf\xe9\n")
    Document.from_file(path).write(path)
    assert path.read_bytes() == OFFICE.encode() + b"# caf\xe9\n"


def test_a_configuration_is_written_as_a_new_file(tmp_path: Path) -> None:
    config = Config.loads(OFFICE)
    config.write(tmp_path / "new.conf")
    assert Config.from_file(tmp_path / "new.conf") == config


def test_who_may_read_the_file_is_told(path: Path) -> None:
    path.parent.chmod(0o755)
    source = Document.from_file(path).source
    assert (source.mode, source.readable_by_others) == (0o640, False)
    path.chmod(0o644)
    assert Document.from_file(path).source.readable_by_others


def test_a_missing_file_is_an_os_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Config.from_file(tmp_path / "nowhere.conf")
    assert caught.value.filename == str(tmp_path / "nowhere.conf")


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Config.from_file(tmp_path)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than 16777216 bytes"):
        Config.from_file("/dev/zero")


def test_a_binary_file_is_refused_with_the_line(path: Path) -> None:
    path.write_bytes(b"[Interface]\n\0\n")
    with pytest.raises(ConfigError, match=r"office\.conf:2: found a NUL byte"):
        Config.from_file(path)


def test_a_path_with_a_nul_character_is_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        Config.from_file("a\0b")
    assert not isinstance(caught.value, ConfigError)


def test_a_file_without_a_name_cannot_be_written() -> None:
    for config in (Config.loads(OFFICE), Document.loads(OFFICE)):
        with pytest.raises(FileNotFoundError):
            config.write("")


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_file_in_a_directory_that_takes_none_is_not_said_to_be_missing() -> None:
    # Only root gets as far as to the directory.
    expected = (
        "its directory takes no new files: '/proc/version'" if os.geteuid() == 0 else "Permission denied"
    )
    with pytest.raises(OSError, match=expected):
        Document.loads(OFFICE).write("/proc/version")


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=(OFFICE,))
    writer.start()
    assert Config.from_file(fifo) == Config.loads(OFFICE)
    writer.join()


def test_what_is_hidden_cannot_be_read_back() -> None:
    with pytest.raises(ConfigError):
        Config.loads(Config.loads(OFFICE).dumps())


def test_a_file_of_endless_lines_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than 1048576 lines"):
        Config.loads("\n" * MAX_LINES)


def test_an_endless_list_is_refused() -> None:
    for key, item in (("Address", "::,"), ("DNS", "a ")):
        with pytest.raises(ConfigError, match=f"x:2: {key}: found too many items"):
            Config.loads(f"[Interface]\n{key} = {item * (MAX_LINES + 1)}", "x")


@pytest.mark.parametrize("size", [20_000])
def test_a_large_file_is_read_in_time(size: int) -> None:
    keys = (base64.b64encode(index.to_bytes(32, "big")).decode() for index in range(size))
    text = "[Interface]\n" + "".join(
        f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.{index >> 8}.{index & 255}.0/24\n"
        for index, key in enumerate(keys)
    )
    assert len(Config.loads(text).effective_peers()) == size
