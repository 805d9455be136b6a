"""How often somebody may try to log in; time is an argument."""

from __future__ import annotations

import pytest

from wirewright.coordinator.errors import TooManyError
from wirewright.coordinator.login import throttle as module
from wirewright.coordinator.login.throttle import FOR_CODES, FOR_ONE, FROM_ALL, FROM_ONE, Throttle
from wirewright.dynamic.churn import MAX_CLIENTS

HOUR = 3600.0


def wait(throttle: Throttle, source: str, name: str, now: float, *, code: bool = False) -> int:
    """Try, and return after how many seconds to come again."""
    try:
        throttle.admit(source, name, now, code=code)
    except TooManyError as error:
        return error.retry_after or -1
    return 0


def guess(throttle: Throttle, source: str, name: str, now: float, *, code: bool = False) -> bool:
    """Try with something wrong; return whether it was looked at."""
    if wait(throttle, source, name, now, code=code):
        return False
    throttle.failed(source, name, now, code=code)
    return True


def test_one_network_tries_so_often_and_then_as_often_as_its_bucket_fills() -> None:
    throttle = Throttle()
    tried = [wait(throttle, "192.0.2.7", f"user{number}", 0.0) for number in range(FROM_ONE.burst + 1)]
    assert tried == [0] * FROM_ONE.burst + [int(FROM_ONE.seconds)]
    assert not wait(throttle, "192.0.2.8", "user", 0.0)
    assert not wait(throttle, "192.0.2.7", "user", FROM_ONE.seconds)
    assert wait(throttle, "192.0.2.7", "user", FROM_ONE.seconds)


def test_all_addresses_of_one_ipv6_network_are_one() -> None:
    throttle = Throttle()
    tried = [wait(throttle, f"2001:db8::{number:x}", f"user{number}", 0.0) for number in range(40)]
    assert sum(not each for each in tried) == FROM_ONE.burst


def test_many_networks_guess_at_one_name_no_quicker_than_one() -> None:
    throttle = Throttle()
    looked = sum(guess(throttle, f"192.0.2.{number}", "Anna"[:4], 0.0) for number in range(200))
    assert looked == FOR_ONE.burst
    assert wait(throttle, "198.51.100.1", "anna", 0.0)
    assert not wait(throttle, "198.51.100.1", "bert", 0.0)
    # It passes by itself.
    assert not wait(throttle, "198.51.100.1", "anna", FOR_ONE.seconds)


def test_who_guesses_for_ever_keeps_nobody_out_of_where_they_were_in_before() -> None:
    throttle = Throttle()
    throttle.succeeded("203.0.113.5", "anna")
    for second in range(4 * int(HOUR)):
        guess(throttle, f"192.0.2.{second % 250}", "anna", float(second))
    now = 4 * HOUR
    assert wait(throttle, "198.51.100.1", "anna", now)
    assert not wait(throttle, "203.0.113.5", "Anna", now)
    # But from there one guesses no more often than from anywhere.
    looked = sum(guess(throttle, "203.0.113.5", "anna", now + 4 * number) for number in range(400))
    assert looked <= FOR_ONE.burst + 1 + 1600 / FOR_ONE.seconds


def test_a_success_gives_nothing_back() -> None:
    throttle = Throttle()
    for number in range(FOR_ONE.burst):
        assert guess(throttle, f"192.0.2.{number}", "anna", 0.0)
    throttle.succeeded("198.51.100.1", "bert")
    throttle.succeeded("198.51.100.2", "anna")
    assert wait(throttle, "192.0.2.200", "anna", 0.0)
    # Attempts that were right cost their network, though not their name.
    other = Throttle()
    for _ in range(FROM_ONE.burst):
        assert not wait(other, "192.0.2.7", "anna", 0.0)
        other.succeeded("192.0.2.7", "anna")
    assert wait(other, "192.0.2.7", "anna", 0.0)


def test_codes_of_a_second_factor_are_guessed_seldom() -> None:
    throttle = Throttle()
    looked = sum(
        guess(throttle, f"192.0.{number % 200}.7", "anna", 5.0 * number, code=True)
        for number in range(int(24 * HOUR / 5))
    )
    assert looked <= FOR_CODES.burst + 24 * HOUR / FOR_CODES.seconds + 1
    # Three codes of a million are right at a time.
    assert looked * 3 / 1_000_000 < 0.005
    # Passwords of the same name are counted by themselves.
    assert not wait(throttle, "198.51.100.1", "anna", 24 * HOUR)


def test_all_together_are_bounded() -> None:
    throttle = Throttle()
    tried = [
        wait(throttle, f"10.{number >> 8}.{number & 255}.1", f"user{number}", 0.0)
        for number in range(2 * FROM_ALL.burst)
    ]
    assert sum(not each for each in tried) == FROM_ALL.burst


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle()
    for number in range(2 * MAX_CLIENTS):
        source = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        wait(throttle, source, f"user{number}", float(number))
        throttle.failed(source, f"user{number}", float(number))
        throttle.succeeded(source, f"user{number}")
    for buckets in (throttle._from_one, throttle._for_one):
        assert len(buckets._buckets) <= MAX_CLIENTS
    assert len(throttle._places) == module._PLACES


@pytest.mark.parametrize("source", ["", "nonsense", "fe80::1%eth0", "::ffff:192.0.2.7"])
def test_any_source_can_be_counted(source: str) -> None:
    throttle = Throttle()
    assert sum(not wait(throttle, source, "anna", 0.0) for _ in range(100)) == FROM_ONE.burst
