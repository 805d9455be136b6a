"""What is special is so to each engine."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest

from wirewright.gateway.special import SPECIAL, is_special, lies_in

FORWARDER = Path(__file__).parents[2] / "crates/netstack/src/forward/reach.rs"


def of_the_forwarder() -> list[str]:
    """Read the networks that the rootless engine's source lists."""
    table = FORWARDER.read_text().partition("const SPECIAL")[2].partition("];\n")[0].partition("=")[2]
    found = []
    for numbers in re.findall(r"v4\(([\d, ]+)\)", table):
        *address, length = map(int, numbers.split(","))
        found.append(f"{IPv4Address(bytes(address))}/{length}")
    for parts, length in re.findall(r"v6\(\[([0-9a-fx, ]+)\], (\d+)\)", table):
        words = b"".join(int(part, 16).to_bytes(2, "big") for part in parts.split(","))
        found.append(f"{IPv6Address(words)}/{length}")
    return found


def test_what_is_special_to_the_rootless_engine_is_so_to_the_others() -> None:
    networks = [ip_network(text) for text in of_the_forwarder()]
    assert len(networks) >= 18
    assert not [network for network in networks if not lies_in(network, SPECIAL)]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "fd00:ec2::23", "ff02::1"]
)
def test_the_loopback_links_groups_and_metadata_are_special(address: str) -> None:
    assert is_special(ip_address(address))


@pytest.mark.parametrize("address", ["10.0.0.1", "8.8.8.8", "100.64.0.1", "fd00::1", "2001:db8::1"])
def test_ordinary_addresses_are_not(address: str) -> None:
    assert not is_special(ip_address(address))
