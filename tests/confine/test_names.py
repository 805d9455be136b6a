"""The files that say who is asked for names."""

from __future__ import annotations

import pytest

from wirewright.confine.names import nsswitch, resolv_conf

HOST = "# by somebody\nnameserver 192.0.2.53\noptions rotate\nsearch home\n"


def test_the_servers_and_domains_are_the_tunnels() -> None:
    assert resolv_conf(["10.0.0.1", "fd00::1"], ["example", "example.net"], HOST) == (
        "nameserver 10.0.0.1\nnameserver fd00::1\nsearch example example.net\n"
    )


def test_with_domains_alone_the_servers_stay_the_hosts() -> None:
    assert resolv_conf([], ["example"], HOST) == "nameserver 192.0.2.53\nsearch example\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("hosts: files dns", "hosts: files dns"),
        ("hosts:\tmymachines resolve [!UNAVAIL=return] files myhostname dns", "hosts: files myhostname dns"),
        ("hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4", "hosts: files dns"),
        ("  hosts: resolve # dns", "hosts: dns"),
        ("hosts:", "hosts: dns"),
        ("#hosts: resolve", "#hosts: resolve"),
    ],
)
def test_only_sources_that_do_not_lead_out_of_the_tunnel_are_left(before: str, after: str) -> None:
    around = "passwd: files sss\n{}\nnetworks: files\n"
    assert nsswitch(around.format(before)) == around.format(after)
