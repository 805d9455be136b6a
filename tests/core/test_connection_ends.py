"""What reading from and writing to a connection that is over raises: the error names the cause."""

from __future__ import annotations

import errno
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.core.test_fork import pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright._core import Connection, RootlessTunnel

SERVER = "10.0.0.2"


@contextmanager
def tunnels() -> Iterator[tuple[RootlessTunnel, RootlessTunnel]]:
    left, right = pair()
    try:
        yield left, right
    finally:
        left.close()
        right.close()


def event(tunnel: RootlessTunnel, wanted: str) -> object:
    """Wait for an event of a kind and give its detail; what else comes is passed over."""
    while True:
        select.select([tunnel], [], [])
        for kind, _, detail in tunnel.events():
            if kind == wanted:
                return detail


def joined(left: RootlessTunnel, right: RootlessTunnel) -> tuple[Connection, Connection]:
    """Connect through the tunnels."""
    listener = right.listen(80)
    client = left.connect(SERVER, 80)
    event(left, "connected")
    event(right, "accepted")
    server = listener.accept()
    assert server is not None
    return client, server


def assert_over(connection: Connection, kind: type[OSError], number: int, words: str) -> None:
    """Reading into a new or an old buffer and writing all fail with this error."""
    for attempt in (
        lambda: connection.read(100),
        lambda: connection.readinto(bytearray(100)),
        lambda: connection.write(b"x"),
    ):
        with pytest.raises(kind, match=words) as caught:
            attempt()
        assert type(caught.value) is kind
        assert caught.value.errno == number


def test_a_connection_that_the_other_end_reset_says_so() -> None:
    with tunnels() as (left, right):
        client, server = joined(left, right)
        server.abort()
        assert event(left, "closed") == errno.ECONNRESET
        assert_over(client, ConnectionResetError, errno.ECONNRESET, "reset by the remote side")


def test_a_connection_that_was_aborted_here_says_so() -> None:
    with tunnels() as (left, right):
        client, _ = joined(left, right)
        client.abort()
        assert_over(client, ConnectionAbortedError, errno.ECONNABORTED, "aborted")


def test_a_connection_that_ended_well_reads_its_end_and_refuses_more() -> None:
    with tunnels() as (left, right):
        client, server = joined(left, right)
        server.write_eof()
        event(left, "readable")
        client.write_eof()
        assert event(left, "closed") is None
        assert client.read(100) == b""
        with pytest.raises(BrokenPipeError):
            client.write(b"x")


@pytest.mark.slow
def test_a_connection_that_was_never_answered_says_so() -> None:
    with tunnels() as (left, right):
        right.close()
        silent = left.connect("10.0.0.2", 80)
        assert event(left, "failed") == errno.ETIMEDOUT
        assert_over(silent, TimeoutError, errno.ETIMEDOUT, "no longer answers")


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_connection_whose_other_end_fell_silent_says_so() -> None:
    with tunnels() as (left, right):
        client, _ = joined(left, right)
        right.close()
        client.write(b"anybody there?")
        assert event(left, "closed") == errno.ETIMEDOUT
        assert_over(client, TimeoutError, errno.ETIMEDOUT, "no longer answers")


@pytest.mark.parametrize("attempt", range(20))
def test_a_tunnel_that_closes_at_once_after_a_connection_was_aborted_still_says_so_to_the_other_end(
    attempt: int,
) -> None:
    with tunnels() as (left, right):
        client, _ = joined(left, right)
        client.abort()
        left.close()
        assert event(right, "closed") == errno.ECONNRESET, attempt
