"""Requests and answers, against the second implementation."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.dynamic.answers import (
    Grant,
    Registered,
    parse_grant,
    parse_registered,
    write_grant,
    write_registered,
)
from wirewright.dynamic.lines import MAX_LINES, Message, ProtocolError
from wirewright.dynamic.messages import (
    EXTENSIONS,
    Code,
    Dialect,
    RegisterKey,
    RequestError,
    RequestIp,
    Wish,
    parse_request,
    refusal,
    registration,
    request,
)

from .peer import client as other_client
from .peer.server import Server
from .worlds import key

V4, V6 = IPv4Address("10.7.0.9"), IPv6Address("fd07::9")
LEASE = (("leasestart", "1"), ("leasetime", "60"), ("errno", "0"))


def lines(*texts: str) -> Message:
    return tuple((text.partition("=")[0], text.partition("=")[2]) for text in texts)


def parsed(*texts: str) -> RequestIp:
    found = parse_request(lines("request_ip=1", *texts))
    assert isinstance(found, RequestIp)
    return found


def test_a_bare_request_is_for_any_address_of_both_families() -> None:
    assert parsed() == RequestIp(Dialect.DOCUMENT, Wish.ANY, Wish.ANY)


def test_the_document_leaves_out_what_may_be_any_and_empties_what_is_to_be_none() -> None:
    assert parsed("ipv4=") == RequestIp(Dialect.DOCUMENT, Wish.NONE, Wish.ANY)
    assert parsed("ipv6=fd07::9/128") == RequestIp(Dialect.DOCUMENT, Wish.ANY, V6)


def test_the_program_leaves_out_what_is_to_be_none_and_asks_for_others_by_zero() -> None:
    assert parsed("ip=10.7.0.9/32", "leasestart=0", "leasetime=0") == RequestIp(
        Dialect.PROGRAM, V4, Wish.NONE
    )
    assert parsed("ip=0.0.0.0/32", "ip=::/128") == RequestIp(Dialect.PROGRAM, Wish.OTHER, Wish.OTHER)


def test_addresses_need_no_length() -> None:
    assert parsed("ipv4=10.7.0.9", "ipv6=fd07::9") == RequestIp(Dialect.DOCUMENT, V4, V6)
    assert parsed("ip=fd07::9") == RequestIp(Dialect.PROGRAM, Wish.NONE, V6)


def test_what_nobody_knows_is_passed_over() -> None:
    assert parsed("colour=green", "ipv4=", "ip=10.7.0.1") == RequestIp(Dialect.DOCUMENT, Wish.NONE, Wish.ANY)


@pytest.mark.parametrize(
    "texts",
    [
        ("ipv4=10.7.0.9/33",),
        ("ipv4=fd07::9",),
        ("ipv6=10.7.0.9",),
        ("ipv4=10.7.0.9", "ipv4=10.7.0.8"),
        ("ip=10.7.0.9", "ip=10.7.0.8"),
        ("ip=",),
        ("ip=fe80::1%eth0",),
        ("ip=10.7.0.010",),
        ("ip=١٠.٧.٠.٩",),
        ("leasetime=-1",),
        ("leasetime=4294967296",),
        ("leasestart=",),
        ("request_ip=1",),
    ],
)
def test_what_is_no_request_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        parsed(*texts)
    assert caught.value.code is Code.INVALID


@pytest.mark.parametrize("text", ["request_ip=2", "request_ip=", "ip=10.7.0.9", "hello=1"])
def test_another_command_or_version_is_not_supported(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(lines(text))
    if caught.value.code is not Code.UNSUPPORTED:
        assert text == "request_ip="
    assert refusal(caught.value)[0][0] == "errno"


WANTED = st.sampled_from([Wish.ANY, Wish.NONE])


@given(st.one_of(WANTED, st.just(V4)), st.one_of(WANTED, st.just(V6)))
def test_a_request_of_ours_is_read_as_it_was_meant(
    ipv4: Wish | IPv4Address, ipv6: Wish | IPv6Address
) -> None:
    assert parse_request(request(ipv4, ipv6)) == RequestIp(Dialect.DOCUMENT, ipv4, ipv6, EXTENSIONS)


@pytest.mark.parametrize("dialect", ["document", "program"])
@pytest.mark.parametrize("ipv4", [Wish.ANY, Wish.NONE, IPv4Address("10.99.0.3")])
@pytest.mark.parametrize("ipv6", [Wish.ANY, Wish.NONE, IPv6Address("fd99::3")])
def test_servers_of_both_dialects_understand_a_request_of_ours_alike(
    dialect: str, ipv4: Wish | IPv4Address, ipv6: Wish | IPv6Address
) -> None:
    server = Server(dialect)
    # It has something that would be released if it was not wanted.
    server.leases["me"] = {"10.99.0.2", "fd99::2"}
    grant = parse_grant(tuple(server.answer("me", list(request(ipv4, ipv6)))))
    for got, wanted in ((grant.ipv4, ipv4), (grant.ipv6, ipv6)):
        assert (got is None) == (wanted is Wish.NONE)
        if not isinstance(wanted, Wish):
            assert got == wanted
    assert grant.errno == 0
    assert server.leases["me"] == {str(each) for each in grant.addresses}


GRANTS = st.builds(
    Grant,
    ipv4=st.none()
    | st.ip_addresses(v=4).filter(
        lambda a: not (a.is_unspecified or a.is_multicast or a.is_loopback or a.is_link_local)
    ),
    ipv6=st.none()
    | st.ip_addresses(v=6).filter(
        lambda a: not (a.is_unspecified or a.is_multicast or a.is_loopback or a.is_link_local)
    ),
    start=st.integers(0, 2**32 - 1),
    duration=st.integers(0, 2**32 - 1),
    errno=st.integers(0, 3),
    errmsg=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=255),
    routes=st.lists(
        st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]).map(ip_network), max_size=3
    ).map(tuple),
    extensions=st.none() | st.just(EXTENSIONS),
)


@given(GRANTS, st.sampled_from(Dialect))
def test_an_answer_is_read_as_it_was_written_and_by_others_too(grant: Grant, dialect: Dialect) -> None:
    message = write_grant(grant, dialect)
    assert len(message) <= MAX_LINES
    read = parse_grant(message)
    assert (read.addresses, read.errno, read.errmsg, read.routes, read.extensions) == (
        grant.addresses,
        grant.errno,
        grant.errmsg,
        grant.routes,
        grant.extensions,
    )
    judge = other_client.judge_document if dialect is Dialect.DOCUMENT else other_client.judge_program
    theirs = judge(list(message))
    assert theirs.ipv4 == (f"{grant.ipv4}/32" if grant.ipv4 else None)
    assert theirs.ipv6 == (f"{grant.ipv6}/128" if grant.ipv6 else None)
    if grant.addresses:
        assert (theirs.leasestart, theirs.leasetime) == (grant.start, grant.duration)
        assert (read.start, read.duration) == (grant.start, grant.duration)


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("dialect", Dialect)
def test_others_read_a_refusal(code: Code, dialect: Dialect) -> None:
    message = refusal(RequestError("no\nway", code, dialect))
    judge = other_client.judge_document if dialect is Dialect.DOCUMENT else other_client.judge_program
    answer = judge(list(message))
    assert answer.errmsg == "no way"
    # The document has one number for whatever went wrong.
    assert answer.errno == (1 if dialect is Dialect.DOCUMENT else code.value)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("ipv4=10.7.0.0/24",), "not one address"),
        (("ip=10.7.0.9/31",), "not one address"),
        (("ipv6=fd07::9/64",), "not one address"),
        (("ip=fd07::/0",), "not one address"),
        (("ipv4=10.7.0.9", "ip=10.7.0.8"), "two addresses"),
        (("ipv4=fd07::9",), "other family"),
        (("ip=0.0.0.0",), "cannot be"),
        (("ip=224.0.0.1",), "cannot be"),
        (("ip=127.0.0.1",), "cannot be"),
        (("ip=fe80::1",), "cannot be"),
        (("route=10.0.0.0/33",), "not a network"),
        (("route=10.0.0.1/8",), "not a network"),
        (("route=224.0.0.0/4",), "no tunnel carries"),
        (("errno=x",), "decimal"),
    ],
)
def test_an_answer_that_gives_what_it_must_not_is_refused(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_grant((*lines(*texts), *LEASE))


def test_an_answer_must_be_whole() -> None:
    with pytest.raises(ProtocolError, match="errno"):
        parse_grant(lines("request_ip=1", "ipv4=10.7.0.9/32"))
    with pytest.raises(ProtocolError, match="without its time"):
        parse_grant(lines("request_ip=1", "ipv4=10.7.0.9/32", "errno=0"))
    with pytest.raises(ProtocolError, match="another command"):
        parse_grant(lines("register_key=1", "errno=0"))
    with pytest.raises(ProtocolError, match="64 routes"):
        parse_grant((*lines("errno=0"), *(("route", f"10.{n}.0.0/16") for n in range(65))))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ip", "ipv4", "errno", "route", "extensions", "leasetime", "x"]),
            st.text(max_size=20),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_an_answer_says_it_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    for parse in (parse_grant, parse_registered, parse_request):
        with suppress(ProtocolError):
            parse(tuple(pairs))


def test_a_key_is_registered_with_or_without_padding() -> None:
    assert parse_request(registration(key(1))) == RegisterKey(key(1))
    bare = str(key(1)).rstrip("=")
    assert parse_request(lines("register_key=1", f"key={bare}")) == RegisterKey(key(1))
    for wrong in ("", "x", str(key(1)) + "=", "é" * 43):
        with pytest.raises(RequestError):
            parse_request(lines("register_key=1", f"key={wrong}"))
    with pytest.raises(RequestError):
        parse_request(lines("register_key=1"))


def test_where_to_speak_with_a_new_key_is_told() -> None:
    place = ip_address("fe80::9")
    assert isinstance(place, IPv6Address)
    assert parse_registered(write_registered(Registered(place))) == Registered(place)
    for wrong in ("lladdr=10.7.0.9/32", "lladdr=fe80::9/64", "lladdr=fd07::9/128"):
        with pytest.raises(ProtocolError):
            parse_registered(lines("register_key=1", wrong, "errno=0"))
