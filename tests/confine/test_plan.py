"""What the interface inside will be."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirewright.config import Config
from wirewright.confine.errors import ConfineError
from wirewright.confine.plan import Plan, interface_name, make_plan
from wirewright.keys import SecretKey

CONF = Path("office.conf")


def config(interface: str, *allowed: str) -> Config:
    peers = (
        f"[Peer]\nPublicKey = {SecretKey.generate().public_key}\nAllowedIPs = {networks}\n"
        for networks in allowed
    )
    return Config.loads(f"[Interface]\n{interface}\n{''.join(peers)}")


def routes(plan: Plan) -> list[str]:
    return [str(network) for network in plan.routes]


def test_neighbouring_networks_of_all_peers_are_one_route() -> None:
    asked = config("Address = 10.0.0.2/24", "10.0.0.0/25, 10.1.0.0/16", "10.0.0.128/25, 10.1.2.0/24")
    assert routes(make_plan(CONF, asked, 1420)) == ["10.0.0.0/24", "10.1.0.0/16"]


def test_a_family_without_an_address_has_no_route() -> None:
    everything = "0.0.0.0/0, ::/0"
    assert routes(make_plan(CONF, config("Address = 10.0.0.2/32", everything), 1420)) == ["0.0.0.0/0"]
    assert routes(make_plan(CONF, config("Address = fd00::2/128", everything), 1420)) == ["::/0"]


def test_the_mtu_is_the_files_or_what_fits_the_way() -> None:
    address = "Address = 10.0.0.2/32"
    assert make_plan(CONF, config(f"{address}\nMTU = 1000"), 1420).mtu == 1000
    assert make_plan(CONF, config(address), 1320).mtu == 1320


def test_an_mtu_that_is_too_small_for_ipv6_is_refused() -> None:
    small = "Address = fd00::2/128\nMTU = 1279"
    with pytest.raises(ConfineError, match=r"office.conf: an MTU of 1279 .* takes 1280"):
        make_plan(CONF, config(small), 1420)
    assert make_plan(CONF, config(small.replace("1279", "1280")), 1420).mtu == 1280


def test_a_plan_is_read_as_it_was_written_and_has_no_key() -> None:
    key = SecretKey.generate()
    asked = config(
        f"PrivateKey = {key.expose()}\nAddress = 10.0.0.2/24, fd00::2/64\nDNS = 10.0.0.1, fd00::1, example",
        "0.0.0.0/0, fd00::/8",
    )
    plan = make_plan(CONF, asked, 1420)
    assert Plan.loads(plan.dumps()) == plan
    assert (plan.servers, plan.search) == (("10.0.0.1", "fd00::1"), ("example",))
    assert key.expose().encode() not in plan.dumps()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("office.conf", "office"),
        ("/etc/wireguard/wg0.conf", "wg0"),
        ("a23456789012345", "a23456789012345"),
        ("a234567890123456.conf", "tunnel"),
        ("büro.conf", "tunnel"),
        ("lo.conf", "tunnel"),
        ("all.conf", "tunnel"),
        ("...conf", "tunnel"),
        ("%d.conf", "tunnel"),
        ("", "tunnel"),
    ],
)
def test_the_interface_has_the_files_name_if_an_interface_can(file: str, name: str) -> None:
    assert interface_name(Path(file)) == name
