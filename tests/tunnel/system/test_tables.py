"""Which table a full tunnel gets."""

from __future__ import annotations

import os
from ipaddress import ip_network
from itertools import count

import pytest

from wirewright.host.network import Route
from wirewright.tunnel.system import InterfaceError, tables
from wirewright.tunnel.system.tables import claimed, free_table

BASES = count(1_000_000 + os.getpid() * 1000, 50)


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> int:
    """Numbers that no other test tries."""
    base = next(BASES)
    monkeypatch.setattr(tables, "FIRST_TABLE", base)
    monkeypatch.setattr(tables, "MOST", 10)
    return base


class Known:
    """A host whose tables are used so far."""

    def __init__(self, *used: tuple[int, int]) -> None:
        self.used = set(used)

    def routes(self, version: int, *, table: int | None = None) -> list[Route]:
        network = ip_network("0.0.0.0/0" if version == 4 else "::/0")
        return [Route(network, 1, table or 0)] if (version, table) in self.used else []


def test_it_is_the_first_that_is_used_in_neither_family(first: int) -> None:
    with free_table(Known((4, first), (6, first + 1), (4, first + 3))) as table:
        assert table == first + 2
        # What was passed over is left to others.
        with claimed(first) as ours:
            assert ours


def test_two_that_plan_at_once_get_two(first: int) -> None:
    host = Known()
    with free_table(host) as one, free_table(host) as other, free_table(host) as third:
        assert [one, other, third] == [first, first + 1, first + 2]
    with free_table(host) as again:
        assert again == first


def test_a_number_that_a_file_names_is_not_chosen_by_another(first: int) -> None:
    with claimed(first) as ours, free_table(Known()) as table:
        assert ours
        assert table == first + 1
        with claimed(first) as theirs:
            assert not theirs


def test_what_was_used_while_it_was_claimed_is_passed_over(first: int) -> None:
    host = Known()
    with free_table(host) as one:
        host.used.add((4, one))
    with free_table(host) as other:
        assert other == first + 1


def test_that_all_are_used_is_told(first: int) -> None:
    host = Known(*((6, first + number) for number in range(10)))
    with pytest.raises(InterfaceError, match="are all in use"), free_table(host):
        raise AssertionError
