"""Which files with secrets lie open to other users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wirewright.host.exposure import is_exposed


@pytest.mark.parametrize(
    ("mode", "exposed"), [(0o600, False), (0o640, False), (0o711, False), (0o604, True), (0o602, True)]
)
def test_a_file_is_exposed_if_others_may_read_or_write_it(
    mode: int, exposed: bool, open_folder: Path
) -> None:
    file = open_folder / "wg0.conf"
    file.touch()
    file.chmod(mode)
    assert is_exposed(file) == is_exposed(str(file)) == exposed
    with file.open() as opened:
        assert is_exposed(opened.fileno()) == exposed


def test_a_closed_folder_on_the_way_protects(open_folder: Path) -> None:
    inner = open_folder / "wireguard" / "inner"
    inner.mkdir(parents=True, mode=0o755)
    file = inner / "wg0.conf"
    file.touch()
    file.chmod(0o644)
    assert is_exposed(file)
    inner.parent.chmod(0o700)
    assert not is_exposed(file)
    # It is where the file is that counts, and not where its name is.
    link = open_folder / "link.conf"
    link.symlink_to(file)
    assert not is_exposed(link)
    with file.open() as opened:
        assert not is_exposed(opened.fileno())
    # To list a folder is not to enter it.
    inner.parent.chmod(0o704)
    assert not is_exposed(file)
    inner.parent.chmod(0o701)
    assert is_exposed(file)


def test_of_a_pipe_nothing_is_said(open_folder: Path) -> None:
    pipe = open_folder / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    assert not is_exposed(pipe)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_exposed(tmp_path / "nowhere.conf")
