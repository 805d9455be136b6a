"""What the keys of a file mean."""

from collections.abc import Callable
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from tests.config.samples import (
    ALICE,
    BOB,
    OFFICE,
    PRESHARED,
    PRIVATE,
    PUBLIC_OF_PRIVATE,
    with_interface,
    with_peer,
)
from wirewright.config import Config, Document, Endpoint, Hook, Interface, Peer
from wirewright.keys import PresharedKey, PublicKey, SecretKey


def interface(lines: str) -> Interface:
    return Config.loads(with_interface(lines)).interface


def peer(lines: str) -> Peer:
    return Config.loads(with_peer(lines)).peers[0]


def notes(text: str) -> list[tuple[int, str, str]]:
    return [(note.line, note.key, note.code) for note in Document.loads(text).notes]


def test_a_whole_file_is_read() -> None:
    assert Config.loads(OFFICE) == Config(
        Interface(
            private_key=SecretKey.from_base64(PRIVATE),
            addresses=(ip_interface("10.200.100.8/24"), ip_interface("fd00::8/64")),
            dns=(ip_address("10.200.100.1"), "corp.example"),
            mtu=1400,
        ),
        (
            Peer(
                PublicKey.from_base64(ALICE),
                PresharedKey.from_base64(PRESHARED),
                (ip_network("10.200.0.0/16"), ip_network("fd00::/64")),
                Endpoint("vpn.example.com", 51820),
                25,
            ),
            Peer(PublicKey.from_base64(BOB), allowed_ips=(ip_network("10.201.0.0/16"),)),
        ),
    )
    key = Config.loads(OFFICE).interface.private_key
    assert key is not None
    assert str(key.public_key) == PUBLIC_OF_PRIVATE


def test_absent_keys_are_none() -> None:
    assert Config.loads("[Interface]") == Config()


def test_the_last_of_repeated_keys_counts() -> None:
    text = with_interface("MTU = 1300\nmtu = 1400")
    assert Config.loads(text).interface.mtu == 1400
    assert notes(text) == [(3, "MTU", "repeated-key")]


def test_lists_add_up_over_lines() -> None:
    got = interface(
        "Address = 10.0.0.1/24\nDNS = 1.1.1.1\nAddress = fd00::1\nDNS = a.example\nPostUp = a\nPostUp = b"
    )
    assert got.addresses == (ip_interface("10.0.0.1/24"), ip_interface("fd00::1/128"))
    assert got.dns == (ip_address("1.1.1.1"), "a.example")
    assert got.post_up == (Hook.of("a"), Hook.of("b"))
    assert peer("AllowedIPs = ::/0\nAllowedIPs = 0.0.0.0/0").allowed_ips == (
        ip_network("::/0"),
        ip_network("0.0.0.0/0"),
    )


def test_lists_of_wg_quick_are_divided_at_white_space_too() -> None:
    assert interface("Address = 10.0.0.1/24 10.0.0.2,,fd00::1").addresses == (
        ip_interface("10.0.0.1/24"),
        ip_interface("10.0.0.2/32"),
        ip_interface("fd00::1/128"),
    )


@pytest.mark.parametrize("key", ["Address", "DNS", "MTU", "Table", "PreUp", "PostUp", "PreDown", "PostDown"])
def test_an_empty_value_of_wg_quick_is_none(key: str) -> None:
    assert interface(f"{key} =") == Interface()


def test_servers_and_search_domains_are_told_apart() -> None:
    got = interface("DNS = 10.0.0.1, corp.example, fd00::1, ~.")
    assert got.dns_servers == (ip_address("10.0.0.1"), ip_address("fd00::1"))
    assert got.search_domains == ("corp.example", "~.")


@pytest.mark.parametrize(("text", "mark"), [("off", 0), ("0x1F", 31), ("010", 10)])
def test_fwmark_is_off_decimal_or_hexadecimal(text: str, mark: int) -> None:
    assert interface(f"FwMark = {text}").fwmark == mark


@pytest.mark.parametrize(
    ("text", "table"), [("off", "off"), ("auto", "auto"), ("1234", 1234), ("0x10", 16), ("main", 254)]
)
def test_table_is_off_auto_or_a_table(text: str, table: object) -> None:
    assert interface(f"Table = {text}").table == table


@pytest.mark.parametrize(("text", "save"), [("true", True), ("FALSE", False)])
def test_save_config_is_true_or_false(text: str, save: bool) -> None:
    assert interface(f"SaveConfig = {text}").save_config is save


def test_a_hook_is_kept_as_it_stands_up_to_the_comment() -> None:
    (hook,) = interface("PostUp =  iptables -A X -o %i ; echo 'a = b'   # why").post_up
    assert str(hook) == "iptables -A X -o %i ; echo 'a = b'"


def test_a_key_in_a_hook_is_hidden_and_survives() -> None:
    config = Config.loads(with_interface(f"PostUp = wg set %i private-key <(echo {PRIVATE})"))
    assert str(config.interface.post_up[0]) == "wg set %i private-key <(echo (hidden))"
    assert PRIVATE in config.dumps(expose_keys=True)


@pytest.mark.parametrize(
    ("text", "host", "port", "written"),
    [
        ("192.0.2.1:51820", "192.0.2.1", 51820, "192.0.2.1:51820"),
        ("[2001:DB8::1]:1", "2001:db8::1", 1, "[2001:db8::1]:1"),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535, "[fe80::1%eth0]:65535"),
        ("Vpn.Example.com.:80", "Vpn.Example.com.", 80, "Vpn.Example.com.:80"),
    ],
)
def test_an_endpoint_is_host_and_port(text: str, host: str, port: int, written: str) -> None:
    endpoint = peer(f"Endpoint = {text}").endpoint
    assert endpoint is not None
    assert (endpoint.host, endpoint.port, str(endpoint)) == (host, port, written)
    assert endpoint.is_name == (host[0] == "V")


def test_an_ipv6_endpoint_without_brackets_is_noted() -> None:
    text = with_peer("Endpoint = 2001:db8::1:51820")
    assert Config.loads(text).peers[0].endpoint == Endpoint("2001:db8::1", 51820)
    assert notes(text) == [(4, "Endpoint", "unbracketed-ipv6")]


def test_host_bits_of_a_network_are_cleared_and_noted() -> None:
    text = with_peer("AllowedIPs = 10.192.124.1/24")
    assert Config.loads(text).peers[0].allowed_ips == (ip_network("10.192.124.0/24"),)
    assert notes(text) == [(4, "AllowedIPs", "host-bits")]


def test_a_network_listed_twice_is_listed_once() -> None:
    assert peer("AllowedIPs = 10.0.0.0/8, ::/0, 10.1.2.3/8").allowed_ips == (
        ip_network("10.0.0.0/8"),
        ip_network("::/0"),
    )


def test_a_removal_takes_out_that_network_and_leaves_no_gap() -> None:
    text = with_peer("AllowedIPs = 10.0.0.0/8, ::/0\nAllowedIPs = -::/0, -10.1.0.0/16, +fd00::/8")
    assert Config.loads(text).peers[0].allowed_ips == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert [code for _, _, code in notes(text)] == ["removal", "removal"]


def test_effective_peers_are_what_the_kernel_makes_of_repeated_sections() -> None:
    config = Config.loads(
        f"""[Interface]
        PrivateKey = {PRIVATE}
        [Peer]
        PublicKey = {ALICE}
        PresharedKey = {PRESHARED}
        Endpoint = 192.0.2.1:1
        AllowedIPs = 10.0.0.0/8, 10.1.0.0/16
        [Peer]
        PublicKey = {PUBLIC_OF_PRIVATE}
        AllowedIPs = ::/0
        [Peer]
        PublicKey = {BOB}
        AllowedIPs = 10.1.0.0/16, 10.2.0.0/16
        [Peer]
        PublicKey = {ALICE}
        AllowedIPs = 10.2.0.0/16
        """
    )
    alice, bob = config.effective_peers()
    assert alice == Peer(
        PublicKey.from_base64(ALICE), None, (ip_network("10.2.0.0/16"),), Endpoint("192.0.2.1", 1), None
    )
    assert bob == Peer(PublicKey.from_base64(BOB), allowed_ips=(ip_network("10.1.0.0/16"),))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Interface(listen_port=65536),
        lambda: Interface(fwmark=-1),
        lambda: Interface(mtu=67),
        lambda: Interface(table=0),
        lambda: Interface(table="main"),  # type: ignore[arg-type]
        lambda: Interface(dns=("two words",)),
        lambda: Interface(dns=("1.2.3",)),
        lambda: Interface(addresses=(ip_interface("fe80::1%eth0/64"),)),
        lambda: Peer(PublicKey.from_base64(ALICE), persistent_keepalive=65536),
        lambda: Endpoint("a b", 1),
        lambda: Endpoint("a", 0),
        lambda: Endpoint("1.2.3.256", 1),
        lambda: Hook.of(""),
        lambda: Hook.of("a\nb"),
        lambda: Hook.of("a # b"),
        lambda: Hook.of("\ud800"),
    ],
)
def test_a_model_that_no_file_could_hold_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        make()
