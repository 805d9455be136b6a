"""Errors tell the file, the line, the key, what was found and what is expected."""

import pytest

from tests.config.samples import ALICE, PRIVATE, with_interface, with_peer
from wirewright.config import Config, ConfigError, Problem
from wirewright.config.errors import MAX_PROBLEMS


def error(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.loads(text, "office.conf")
    return caught.value


def only(text: str) -> Problem:
    (problem,) = error(text).problems
    return problem


def test_all_problems_are_told_at_once_in_the_order_of_their_lines() -> None:
    told = error(
        "Listenport = 1\n[Interface]\nMTU = big\n[Peer]\nAllowedIPs = 10.0.0.0/33\n[Peer]\nEndpoint = a\n"
    )
    assert [(problem.line, problem.key) for problem in told.problems] == [
        (1, "ListenPort"),
        (3, "MTU"),
        (4, "PublicKey"),
        (5, "AllowedIPs"),
        (6, "PublicKey"),
        (7, "Endpoint"),
    ]
    assert str(told).splitlines()[1] == "office.conf:3: MTU: found 'big', expected bytes, from 68 to 65535"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (with_interface("ListenPort = 99999"), "port number from 0 to 65535"),
        (with_interface("FwMark = x"), "off, or a number from 0 to 4294967295"),
        (with_interface("Address = 10.0.0.1/33"), "such as 10.0.0.2/32"),
        (with_interface("DNS = 1.1.1.1:53"), "address of a DNS server"),
        (with_interface("Table = maine"), "off, auto or the number"),
        (with_interface("SaveConfig = yes"), "true or false"),
        (with_peer("PersistentKeepalive = 1m"), "off, or seconds from 1 to 65535"),
        (with_peer("Endpoint = vpn.example.com"), "host:port"),
        (with_peer("AllowedIPs = 10.0.0.0/8,"), "networks between commas"),
        (f"[Interface]\n[Peer]\nPublicKey = {ALICE[:-2]}", "ww pubkey"),
        (with_interface("PrivateKey = short"), "ww genkey"),
        (with_peer("PresharedKey = short"), "ww genpsk"),
        (with_peer("Endpoint ="), "one"),
        ("[Interface]\n[Network]\n", "[Interface] or [Peer]"),
    ],
)
def test_a_problem_says_what_is_expected(text: str, expected: str) -> None:
    assert expected in only(text).expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (with_interface("PrivatKey = x"), "did you mean PrivateKey?"),
        (with_interface("Adress = x"), "did you mean Address?"),
        (with_interface("Listen_Port = x"), "did you mean ListenPort?"),
        (with_peer("AllowedIP = x"), "did you mean AllowedIPs?"),
        (with_peer("Keepalive = x"), "did you mean PersistentKeepalive?"),
        (with_peer("Adress = x"), "did you mean Address, which belongs in [Interface]?"),
        (with_interface("Table = Off"), "lower case"),
        (with_peer("Endpoint = vpn.example.com"), "the port is missing"),
        (with_peer("Endpoint = 2001:db8::1"), "stands in brackets"),
        (with_peer("Endpoint = 1.2.3.256:5"), "four numbers from 0 to 255"),
        (with_peer("AllowedIPs = ::/129"), "at most 128"),
        (with_interface("PrivateKey = short"), "44 characters"),
        ("[Interface]\n[Interface]\n", "the first one is on line 1"),
        ("[Interface]\n; MTU = 5", "begins with '#'"),
        ("\ufeff[Interface]\n[Interface]", "byte order mark"),
    ],
)
def test_a_problem_says_how_to_put_it_right(text: str, hint: str) -> None:
    assert hint in (only(text).hint or "")


def test_a_key_in_the_wrong_section_is_told_where_it_belongs() -> None:
    problem = only(with_peer("MTU = 1400"))
    assert (problem.found, problem.expected) == ("it in [Peer]", "it in [Interface]")


def test_a_file_without_an_interface_is_refused_as_a_whole() -> None:
    told = error("# nothing here\n")
    assert str(told) == "office.conf: found no [Interface] section, expected one"


def test_only_so_many_problems_are_listed_and_the_rest_counted() -> None:
    told = error("[Interface]\n" + "x\n" * (MAX_PROBLEMS + 50))
    assert (len(told.problems), told.uncounted) == (MAX_PROBLEMS, 50)
    assert str(told).endswith("office.conf: and 50 more")


def test_a_file_full_of_unknown_keys_is_refused_in_time() -> None:
    assert error("[Interface]\n" + "listen_ports = 5\n" * 100_000).uncounted == 100_000 - MAX_PROBLEMS


@pytest.mark.parametrize(
    "text",
    [
        with_interface(f"PrivateKey = {PRIVATE[:-2]}"),
        with_interface(f"PrivateKey = {PRIVATE}x"),
        with_interface(f"PrivatKey = {PRIVATE[:-3]}"),
        with_interface(f"PrivateKey {PRIVATE[:-3]}"),
        with_interface(PRIVATE[:-3]),
        with_interface(PRIVATE[1:]),
        with_interface(f"MTU = {PRIVATE}"),
        with_peer(f"PrivateKey = {PRIVATE}"),
        with_interface(f"[{PRIVATE}]"),
        with_peer(f"Endpoint = {PRIVATE}"),
        f"[Interface]\n[Peer]\nPublicKey = {ALICE} PrivateKey = {PRIVATE}",
    ],
)
def test_no_error_shows_a_key_or_most_of_one(text: str) -> None:
    told = error(text)
    assert PRIVATE[10:30] not in str(told) + repr(told.problems)


def test_what_a_terminal_would_obey_is_not_shown_raw() -> None:
    assert "\x1b" not in str(error(with_interface("MTU = \x1b[2J")))
    assert "\x1b" not in str(error("[Interface]\n\x1b[2J\n"))


def test_a_long_value_is_cut_short() -> None:
    assert len(str(error(with_interface("MTU = " + "9" * 100_000)))) < 200


def test_an_error_can_be_pickled() -> None:
    import pickle

    told = error("[Interface]\nx\n")
    assert str(pickle.loads(pickle.dumps(told))) == str(told)
