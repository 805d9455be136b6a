"""Policies of devices: what they allow, how they are written, and what is none."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from wirewright.gateway.policy import (
    ALLOWED,
    DEFAULT_POLICY,
    DESTINATIONS,
    NOTHING,
    PORTS,
    RULES,
    Policy,
    PolicyError,
    Rule,
    opens,
)
from wirewright.host.filtering import AllowRule, PortRange, Protocol

OWN = [ip_address("10.88.0.1"), ip_address("fd88::1")]
POOLS = [ip_network("10.88.0.0/16"), ip_network("fd88::/64")]


@pytest.mark.parametrize(
    ("network", "address", "expected"),
    [
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "10.88.0.1", True),
        ("0.0.0.0/0", "10.88.0.7", False),
        ("10.0.0.0/8", "10.88.0.7", False),
        ("10.0.0.0/8", "10.89.0.7", True),
        ("10.88.0.0/16", "10.88.0.7", True),
        ("10.88.0.7/32", "10.88.0.7", True),
        ("10.88.0.7/32", "10.88.0.8", False),
        ("10.88.0.1/32", "10.88.0.1", True),
        ("192.0.2.0/24", "10.88.0.1", False),
        ("::/0", "2001:db8::1", True),
        ("::/0", "fd88::1", True),
        ("::/0", "fd88::7", False),
        ("fd88::/64", "fd88::7", True),
        ("::/0", "192.0.2.1", False),
    ],
)
def test_a_device_is_opened_only_by_a_network_inside_the_pool(
    network: str, address: str, expected: bool
) -> None:
    rule = AllowRule(ip_network(network))
    assert opens(rule, ip_address(address), OWN, POOLS) is expected


networks = some.one_of(
    some.builds(
        lambda a, n: ip_network((a, n), strict=False), some.integers(0, 2**32 - 1), some.integers(0, 32)
    ),
    some.builds(
        lambda a, n: ip_network((a.to_bytes(16), n), strict=False),
        some.integers(0, 2**128 - 1),
        some.integers(0, 128),
    ),
)
ranges = some.tuples(some.integers(0, 65_535), some.integers(0, 65_535)).map(
    lambda ends: PortRange(min(ends), max(ends))
)
rules = some.one_of(
    some.builds(
        Rule,
        some.lists(networks, min_size=1, max_size=4).map(tuple),
        some.sampled_from([Protocol.ANY, Protocol.ICMP]),
    ),
    some.builds(
        Rule,
        some.lists(networks, min_size=1, max_size=4).map(tuple),
        some.sampled_from([Protocol.TCP, Protocol.UDP]),
        some.lists(ranges, max_size=4).map(tuple),
    ),
)


@given(some.lists(rules, max_size=4).map(tuple).map(Policy))
def test_a_policy_survives_json(policy: Policy) -> None:
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_a_policy_may_leave_out_what_is_plain() -> None:
    data = [
        {"destinations": ["10.0.0.0/8", "::/0"]},
        {"destinations": ["10.0.0.1"], "protocol": "tcp", "ports": [22, "80-90"]},
    ]
    policy = Policy.from_json(data)
    assert [str(allowed) for allowed in policy.allowed()] == [
        "any 10.0.0.0/8",
        "any ::/0",
        "tcp 10.0.0.1/32 22",
        "tcp 10.0.0.1/32 80-90",
    ]


def test_a_new_device_may_start_anything_and_one_without_rules_nothing() -> None:
    assert [str(allowed) for allowed in DEFAULT_POLICY.allowed()] == ["any 0.0.0.0/0", "any ::/0"]
    assert NOTHING.allowed() == ()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "a list of rules"),
        ("10.0.0.0/8", "a list of rules"),
        (["10.0.0.0/8"], "rule 1: a rule is an object"),
        ([{"destinations": []}], "rule 1: a rule has 1 to"),
        ([{}], "`destinations` is a list"),
        ([{"destinations": "10.0.0.0/8"}], "`destinations` is a list"),
        ([{"destinations": ["10.0.0.1/8"]}], "host bits"),
        ([{"destinations": ["fe80::%eth0/64"]}], "no network"),
        ([{"destinations": [10]}], "no network"),
        ([{"destinations": ["10.0.0.0/8"], "via": 1}], "no 'via'"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "gre"}], "none of any, tcp, udp, icmp"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": []}], "none of any, tcp, udp, icmp"),
        ([{"destinations": ["10.0.0.0/8"], "ports": [1]}], "any has no ports"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "icmp", "ports": [1]}], "icmp has no ports"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": [65536]}], "neither a port"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": ["9-8"]}], "neither a port"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": ["-8"]}], "neither a port"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": [True]}], "neither a port"),
        ([{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": ["٢"]}], "neither a port"),
        ([{"destinations": ["10.0.0.0/8"]}, 7], "rule 2: "),
        ([{"destinations": ["10.0.0.0/8"]}] * (RULES + 1), f"at most {RULES} rules"),
        ([{"destinations": ["10.0.0.0/8"] * (DESTINATIONS + 1)}], f"at most {DESTINATIONS} entries"),
        (
            [{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": [1] * (PORTS + 1)}],
            f"at most {PORTS} entries",
        ),
        (
            [{"destinations": ["10.0.0.0/8"] * DESTINATIONS, "protocol": "tcp", "ports": [1] * PORTS}],
            f"at most {ALLOWED} combinations",
        ),
    ],
)
def test_what_is_no_policy_is_refused_and_says_why(data: Any, told: str) -> None:
    with pytest.raises(PolicyError, match=told.replace("(", r"\(")):
        Policy.from_json(data)
