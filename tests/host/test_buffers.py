"""Keys between handles and buffers."""

from __future__ import annotations

import pytest

from wirewright.host.wiped import Wiped
from wirewright.keys import PresharedKey, SecretKey


@pytest.mark.parametrize("kind", [SecretKey, PresharedKey])
def test_a_key_goes_into_a_buffer_and_comes_back(kind: type[SecretKey | PresharedKey]) -> None:
    key = kind.generate()
    with Wiped(40) as buffer, memoryview(buffer) as view:
        key.copy_into(view[4:36])
        assert kind.from_buffer(view[4:36]) == key
        assert not any(buffer[:4] + buffer[36:])
    assert not any(buffer)


@pytest.mark.parametrize("kind", [SecretKey, PresharedKey])
def test_a_buffer_of_another_size_or_that_is_not_to_be_written_is_refused(
    kind: type[SecretKey | PresharedKey],
) -> None:
    key = kind.generate()
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            key.copy_into(bytearray(size))
        with pytest.raises(ValueError, match="32 bytes"):
            kind.from_buffer(bytes(size))
    place = bytes(32)
    with pytest.raises(TypeError, match="written"):
        key.copy_into(place)
    assert place == bytes(32)


def test_a_buffer_is_wiped_also_when_its_block_fails() -> None:
    with pytest.raises(RuntimeError), Wiped(b"secret") as buffer:
        raise RuntimeError
    assert bytes(buffer) == bytes(6)
