from __future__ import annotations

import json

import pytest

from wirewright.bench import proc
from wirewright.bench.errors import BenchError
from wirewright.bench.machine import processor_in
from wirewright.bench.parsing import round_trips_in, streams_in, system_calls_in

PING = """\
PING 10.7.0.2 (10.7.0.2) 56(84) bytes of data.
64 bytes from 10.7.0.2: icmp_seq=1 ttl=64 time=0.200 ms
64 bytes from 10.7.0.2: icmp_seq=2 ttl=64 time=12.5 ms
64 bytes from 10.7.0.2: icmp_seq=4 ttl=64 time=0.300 ms

--- 10.7.0.2 ping statistics ---
4 packets transmitted, 3 received, 25% packet loss, time 31ms
rtt min/avg/max/mdev = 0.200/4.333/12.5/5.775 ms
"""
PERF = """\
# started on Thu Nov 26 19:40:00 2026

134234,,raw_syscalls:sys_enter,1609680,100.00,,
"""
STAT = "77 (a) name (of) mine) S " + " ".join(map(str, range(1, 50)))
STATUS = "Name:\tx\nVmPeak:\t   99999 kB\nVmHWM:\t   15000 kB\nVmRSS:\t   14000 kB\nThreads:\t3\n"


def test_what_arrived_is_what_counts_of_a_stream() -> None:
    end = {
        "sum_sent": {"bytes": 9, "bits_per_second": 9},
        "sum_received": {"bytes": 7, "bits_per_second": 56.0},
    }
    streams = streams_in(json.dumps({"end": end}))
    assert (streams.bytes, streams.bits_per_second) == (7, 56.0)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('{"end": {}, "error": "unable to connect to server"}', "^iperf3: unable to connect to server$"),
        ('{"end": {"sum_received": {"bytes": 0, "bits_per_second": 0}}}', "nothing arrived"),
        ('{"end": {}}', "nothing that is understood"),
        ("iperf3: command not found", "command not found"),
        ("", "nothing that is understood"),
    ],
)
def test_a_stream_that_failed_is_an_error_that_says_why(said: str, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        streams_in(said)


def test_round_trips_are_told_by_median_tail_and_loss() -> None:
    trips = round_trips_in(PING)
    assert trips.median == pytest.approx(0.0003)
    assert trips.within(0.99) == pytest.approx(0.0125)
    assert trips.loss == pytest.approx(0.25)


def test_a_ping_that_was_answered_twice_is_no_negative_loss() -> None:
    twice = PING.replace("4 packets transmitted", "2 packets transmitted")
    assert round_trips_in(twice).loss == 0


def test_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(BenchError, match="no answer"):
        round_trips_in("4 packets transmitted, 0 received, 100% packet loss, time 31ms\n")


def test_system_calls_are_read_from_perf() -> None:
    assert system_calls_in(PERF) == 134_234


@pytest.mark.parametrize("said", ["", "<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"])
def test_system_calls_that_were_not_counted_are_an_error(said: str) -> None:
    with pytest.raises(BenchError, match="no system calls"):
        system_calls_in(said)


def test_a_process_is_charged_for_user_and_system_time() -> None:
    # Fields 14 and 15, counted from the process's number.
    assert proc.processor_seconds(STAT) == (11 + 12) / proc.TICKS


def test_a_machine_is_charged_for_all_but_idling() -> None:
    said = "cpu  1 2 4 1000 1000 8 16 1000 1000 1000\ncpu0 9 9 9 9 9 9 9 9 9 9\n"
    assert proc.machine_seconds(said) == (1 + 2 + 4 + 8 + 16) / proc.TICKS


def test_memory_is_read_now_and_at_its_peak() -> None:
    assert proc.memory(STATUS) == proc.Memory(now=14_000 * 1024, peak=15_000 * 1024)


def test_a_processor_without_a_name_has_that_of_its_kind() -> None:
    assert processor_in("processor: 0\nmodel name\t: Imagined 9000\n") == "Imagined 9000"
    assert processor_in("processor: 0\n")
