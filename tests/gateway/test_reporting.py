"""What a gateway reports: what changed, in pieces, and again what was not taken."""

from __future__ import annotations

from wirewright.gateway.engine import Observed
from wirewright.gateway.reporting import AT_ONCE, Reporter
from wirewright.keys import PublicKey

from .models import key

OWNERS = {key(number): f"number-{number}" for number in range(2000)}


def seen(number: int, received: int) -> Observed:
    return Observed(key(number), received, 0, 1, "192.0.2.1:5000")


def reporter() -> Reporter:
    return Reporter(OWNERS.get)


def test_only_what_changed_is_reported() -> None:
    ours = reporter()
    (first,) = ours.reports([seen(1, 10), seen(2, 20), Observed(key(3))])
    assert [report.device_id for report in first] == ["number-1", "number-2"], "one never spoke"
    ours.reported(first)
    assert ours.reports([seen(1, 10), seen(2, 20), Observed(key(3))]) == []
    (second,) = ours.reports([seen(1, 10), seen(2, 21)])
    assert [(report.device_id, report.received) for report in second] == [("number-2", 21)]


def test_what_was_not_taken_is_reported_again() -> None:
    ours = reporter()
    first = ours.reports([seen(1, 10)])
    assert ours.reports([seen(1, 10)]) == first


def test_a_counter_that_begins_anew_is_reported() -> None:
    ours = reporter()
    for report in ours.reports([seen(1, 10)]):
        ours.reported(report)
    (told,) = ours.reports([Observed(key(1))])
    assert told[0].received == 0


def test_many_come_in_pieces_and_strangers_not_at_all() -> None:
    ours = reporter()
    stranger = PublicKey.from_hex("ff" * 32)
    pieces = ours.reports([*(seen(number, 1) for number in range(1200)), Observed(stranger, 5)])
    assert [len(piece) for piece in pieces] == [AT_ONCE, AT_ONCE, 1200 - 2 * AT_ONCE]


def test_who_has_gone_is_forgotten() -> None:
    ours = reporter()
    for report in ours.reports([seen(1, 10), seen(2, 10)]):
        ours.reported(report)
    ours.reports([seen(2, 10)])
    assert len(ours._told) == 1
