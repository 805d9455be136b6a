"""Handles to keys show nothing and leave the process only when asked."""

import copy
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.config.samples import ALICE, LOW_ORDER, PRESHARED, PRIVATE, PUBLIC_OF_PRIVATE
from wirewright import _core
from wirewright.keys import PresharedKey, PublicKey, SecretKey

AnyKey: TypeAlias = SecretKey | PublicKey | PresharedKey

HANDLES: list[Callable[[], object]] = [
    lambda: SecretKey.from_base64(PRIVATE),
    lambda: PresharedKey.from_base64(PRESHARED),
    lambda: _core.HiddenText.of(SecretKey.from_base64(PRIVATE)),
]


def test_the_public_key_is_that_of_wg_pubkey() -> None:
    assert str(SecretKey.from_base64(PRIVATE).public_key) == PUBLIC_OF_PRIVATE


@pytest.mark.parametrize("kind", [SecretKey, PresharedKey])
def test_generated_keys_differ_and_survive_base64(kind: type[SecretKey | PresharedKey]) -> None:
    key = kind.generate()
    assert key != kind.generate()
    assert kind.from_base64(key.expose()) == key


@pytest.mark.parametrize("make", HANDLES)
def test_a_handle_shows_nothing(make: Callable[[], object]) -> None:
    handle = make()
    shown = f"{handle!r}{handle!s}{handle}"
    assert PRIVATE[:8] not in shown
    assert PRESHARED[:8] not in shown
    assert "hidden" in shown


@pytest.mark.parametrize("make", HANDLES)
def test_a_handle_is_not_pickled_or_hashed(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="expose"):
        pickle.dumps(make())
    with pytest.raises(TypeError, match="unhashable"):
        hash(make())


@pytest.mark.parametrize("make", HANDLES)
def test_a_copy_is_the_same_handle(make: Callable[[], object]) -> None:
    handle = make()
    assert copy.copy(handle) is handle
    assert copy.deepcopy([handle])[0] is handle


@pytest.mark.parametrize("make", HANDLES)
def test_handles_are_compared_by_content(make: Callable[[], object]) -> None:
    assert make() == make()
    assert make() != "x"


def test_a_secret_key_is_no_preshared_key() -> None:
    assert SecretKey.from_base64(PRIVATE) != PresharedKey.from_base64(PRIVATE)


@pytest.mark.parametrize("kind", [SecretKey, PublicKey, PresharedKey])
@pytest.mark.parametrize(
    "text", ["", "x", PRIVATE[:-1], f" {PRIVATE}", f"{PRIVATE}\n", PRIVATE[:-2] + "l=", "é" * 22]
)
def test_what_is_no_key_is_refused_without_being_shown(kind: type[AnyKey], text: str) -> None:
    with pytest.raises(ValueError, match=r"^(a key has 44 characters|not a key)") as caught:
        kind.from_base64(text)
    assert PRIVATE[:8] not in str(caught.value)


def test_public_keys_are_values() -> None:
    alice = PublicKey.from_base64(ALICE)
    assert str(alice) == ALICE
    assert repr(alice) == f"PublicKey({ALICE})"
    assert PublicKey.from_hex(bytes(alice).hex()) == alice
    assert {alice: 1}[PublicKey.from_base64(ALICE)] == 1
    assert pickle.loads(pickle.dumps(alice)) == alice
    other = PublicKey.from_base64(PUBLIC_OF_PRIVATE)
    assert sorted([alice, other]) == sorted([other, alice])
    assert (alice < other) == (bytes(alice) < bytes(other))


def test_low_order_is_told() -> None:
    assert PublicKey.from_base64(LOW_ORDER).is_low_order
    assert not PublicKey.from_base64(ALICE).is_low_order


def test_a_key_goes_through_a_descriptor_without_python_seeing_it() -> None:
    reader, writer = os.pipe()
    key = SecretKey.generate()
    key.write(writer)
    os.close(writer)
    assert SecretKey.read(reader) == key
    os.close(reader)


def test_a_descriptor_that_is_not_open_is_an_os_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        SecretKey.generate().write(987_654)
    with pytest.raises(ValueError, match="negative"):
        SecretKey.read(-1)


def test_handles_may_be_used_from_any_thread() -> None:
    key = SecretKey.from_base64(PRIVATE)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(str(key.public_key))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [PUBLIC_OF_PRIVATE] * 4


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"\0", 0), (b"a\0b\0", 0), (b"\0001\0", 1), (b"\0000\0", 0)],
)
def test_text_that_does_not_fit_its_secrets_is_not_spliced(text: bytes, number: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"NUL|no secret"):
        _core.reveal_config(text, [])
    with pytest.raises(ValueError, match=r"NUL|no secret"):
        _core.write_config(tmp_path / "x", text, [])
    assert list(tmp_path.iterdir()) == []
