"""How many shards an interface may have: the core and `Tunnel`, which refuses earlier, say the same."""

import pytest

from wirewright._core import VirtualDevice
from wirewright.sim import Randomness
from wirewright.tunnel.tunnel import MAX_SHARDS


@pytest.mark.parametrize("shards", [1, MAX_SHARDS])
def test_so_many_shards_can_be_made(shards: int) -> None:
    VirtualDevice(Randomness(b"seed"), shards=shards)


@pytest.mark.parametrize("shards", [0, MAX_SHARDS + 1])
def test_so_many_cannot(shards: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and {MAX_SHARDS}, not {shards}"):
        VirtualDevice(Randomness(b"seed"), shards=shards)
