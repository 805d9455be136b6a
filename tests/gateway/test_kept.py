"""What a gateway keeps of what it was told."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.gateway.core import GatewayCore
from wirewright.gateway.instructions import Device, GatewayState, Instruction, PutDevice
from wirewright.gateway.kept import StateFile

from .models import SETTINGS, key, single


def device(number: int) -> Device:
    return Device(f"number-{number}", key(number), (single(number),), expires=number or None)


STATE = GatewayState(7, SETTINGS[1], (device(0), device(1)), "log")
CHANGES = [PutDevice(8 + number, device(2 + number)) for number in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "gateway.state"


def kept_of(path: Path) -> tuple[Instruction, ...]:
    found = StateFile(path).load()
    return found.instructions if found else ()


def test_what_was_written_is_read_by_the_next_and_by_nobody_else(path: Path) -> None:
    file = StateFile(path)
    assert file.load() is None
    assert not file.takes(CHANGES, 2), "there is no state yet that they could follow"
    file.write(STATE, 10)
    assert file.takes(CHANGES, 2)
    file.add(CHANGES[:2], 11)
    file.add(CHANGES[2:], 12)
    found = StateFile(path).load()
    assert found is not None
    assert found.instructions == (STATE, *CHANGES)
    assert found.at == 12
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@given(cut=st.integers(0, 3000))
def test_a_file_that_was_cut_off_has_what_was_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "gateway.state"
    file = StateFile(path)
    file.write(STATE, 10)
    file.add(CHANGES, 11)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    found = kept_of(path)
    assert found == (STATE, *CHANGES)[: whole[:cut].count(b"\n")]


@pytest.mark.parametrize(
    "wrong", [b"{}\n", b"nonsense\n", b'{"at":1,"name":"state","value":{}}\n', b"\xff\n", b"[]\n"]
)
def test_what_follows_nonsense_is_not_believed(path: Path, wrong: bytes) -> None:
    file = StateFile(path)
    file.write(STATE, 10)
    path.write_bytes(path.read_bytes() + wrong)
    later = StateFile(path)
    later.load()
    assert not later.takes(CHANGES, 2), "it is written anew, and not added to"
    path.write_bytes(path.read_bytes() + wrong)
    assert kept_of(path) == (STATE,)


def test_nothing_is_added_to_a_line_that_was_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(path)
    file.write(STATE, 10)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            file.add(CHANGES, 11)
        assert not file.takes(CHANGES, 2)
        with pytest.raises(OSError, match="No space"):
            file.write(replace(STATE, revision=11), 12)
    assert kept_of(path)[0] == STATE, "the old one is there until the new one is whole"
    assert not file.takes(CHANGES, 2)
    file.write(STATE, 13)
    assert file.takes(CHANGES, 2)


def test_a_file_is_written_anew_once_it_has_as_many_changes_as_devices(path: Path) -> None:
    file = StateFile(path)
    file.write(STATE, 10)
    file.add(CHANGES * 85, 11)
    assert file.takes(CHANGES[:1], 2)
    assert not file.takes(CHANGES, 2)
    assert file.takes(CHANGES, 300)


def test_a_core_that_begins_with_it_knows_what_the_other_knew(path: Path) -> None:
    first = GatewayCore()
    file = StateFile(path)
    first.take(STATE)
    file.write(STATE, 10)
    for told in CHANGES:
        first.take(told)
        file.add([told], 11)
    second = GatewayCore()
    for each in kept_of(path):
        second.take(each)
    assert second.state() == first.state()
    assert second.log == "log"
