"""What a tunnel takes of the system, and gives back when it is closed."""

import gc
import socket
import sys
from pathlib import Path

import pytest

from wirewright._core import RootlessTunnel, SecretKey

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to count in")

CYCLES = 200


@pytest.fixture(autouse=True)
def _collected() -> None:
    """Let go of what earlier tests left to the collector, which might close it during one of these."""
    gc.collect()


def held() -> tuple[int, int]:
    """Count the descriptors and the threads of this process."""
    return _entries("fd"), _entries("task")


def _entries(directory: str) -> int:
    return len(list(Path("/proc/self", directory).iterdir()))


def test_two_hundred_tunnels_leave_neither_descriptors_nor_threads() -> None:
    key = SecretKey.generate()
    before = held()
    for _ in range(CYCLES):
        tunnel = RootlessTunnel(key, ["10.0.0.1/24"])
        assert held() > before
        tunnel.close()
        # Closing, not collecting, ends the thread.
        assert held()[1] == before[1]
        del tunnel
    assert held() == before


def test_a_tunnel_that_cannot_have_its_port_leaves_nothing_behind() -> None:
    key = SecretKey.generate()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        before = held()
        for _ in range(CYCLES):
            with pytest.raises(OSError, match="in use"):
                RootlessTunnel(key, ["10.0.0.1/24"], listen_port=port)
        assert held() == before


def test_the_port_is_free_once_a_tunnel_is_closed_though_its_object_lives() -> None:
    key = SecretKey.generate()
    first = RootlessTunnel(key, ["10.0.0.1/24"])
    port = first.listen_port
    first.close()
    second = RootlessTunnel(key, ["10.0.0.1/24"], listen_port=port)
    assert second.listen_port == port
    second.close()
    assert first.closed
