"""Names are asked of the configuration's DNS servers, inside the tunnel, and of nobody else."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from tests.tunnel.pairs import (
    CLIENT_V4,
    QUICK,
    SERVER_V4,
    SERVER_V6,
    Ends,
    Pair,
    held,
    joined,
    nothing_awaited,
    nothing_held,
)
from tests.tunnel.test_streams import echo
from wirewright.tunnel import Tunnel
from wirewright.tunnel.errors import (
    HandshakeTimeoutError,
    NameNotFoundError,
    NoNameserverError,
    ResolutionError,
    ResolutionTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


class Zone(asyncio.DatagramProtocol):
    """A name server over UDP and TCP that knows a few names and notes what it is asked."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        self.records = {dns.name.from_text(name): addresses for name, addresses in records.items()}
        self.asked: list[str] = []
        self.truncates = False
        self.silent = False
        self.rcode: dns.rcode.Rcode | None = None
        self.transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        response = self.answer(data, "udp")
        if self.truncates:
            response.answer.clear()
            response.flags |= dns.flags.TC
        if not self.silent:
            self.transport.sendto(response.to_wire(), addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        wire = self.answer(await reader.readexactly(length), "tcp").to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await reader.read()
        writer.close()

    def answer(self, data: bytes, way: str) -> dns.message.Message:
        query = dns.message.from_wire(data)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{question.name} {kind} {way}")
        response = dns.message.make_response(query)
        if self.rcode is not None:
            response.set_rcode(self.rcode)
        elif question.name not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            version = 4 if question.rdtype == dns.rdatatype.A else 6
            found = [each for each in self.records[question.name] if ip_address(each).version == version]
            if found:
                response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, found))
        return response


ZONE = {
    "both.example.": ["10.9.0.2", "10.9.0.3", "fd09::2"],
    "four.example.": ["10.9.0.2"],
    "none.example.": [],
    "intranet.corp.example.": ["10.9.0.2"],
    "münchen.example.".encode("idna").decode(): ["10.9.0.4"],
}


@asynccontextmanager
async def serving(pair: Pair) -> AsyncIterator[Zone]:
    """Serve the zone at the server's end."""
    zone = Zone(ZONE)
    transport, _ = await pair.server.create_datagram_endpoint(lambda: zone, local_addr=(None, 53))
    async with await pair.server.start_server(zone.serve, port=53):
        yield zone
    transport.close()


@pytest.fixture
async def zone(pair: Pair) -> AsyncIterator[Zone]:
    async with serving(pair) as zone:
        yield zone


@pytest.fixture
def no_system_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any question to the system's resolver fail the test."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"the system's resolver was asked: {arguments}")

    for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        monkeypatch.setattr(socket, function, refuse)


async def test_a_name_has_its_addresses_families_alternating(
    pair: Pair, zone: Zone, no_system_resolver: None
) -> None:
    addresses = await pair.client.resolve("both.example")
    assert [address.version for address in addresses] == [6, 4, 4]
    # A name server may turn the addresses of one family round.
    assert {str(address) for address in addresses} == {"fd09::2", "10.9.0.2", "10.9.0.3"}
    assert sorted(zone.asked) == ["both.example. A udp", "both.example. AAAA udp"]


@pytest.mark.parametrize("literal", ["192.0.2.7", "2001:db8::7", "[2001:db8::7]"])
async def test_an_ip_address_is_its_own_answer(pair: Pair, literal: str) -> None:
    assert await pair.client.resolve(literal) == [ip_address(literal.strip("[]"))]
    await nothing_held(pair.client)


async def test_a_tunnel_of_one_family_asks_for_that_family_only(core: str) -> None:
    async with joined(addresses=(ip_interface(f"{CLIENT_V4}/24"),)) as pair, serving(pair) as zone:
        addresses = await pair.client.resolve("both.example")
        assert {str(address) for address in addresses} == {"10.9.0.2", "10.9.0.3"}
        assert zone.asked == ["both.example. A udp"]


async def test_a_short_name_is_searched_in_the_configurations_domains(pair: Pair, zone: Zone) -> None:
    assert await pair.client.resolve("intranet") == [ip_address("10.9.0.2")]
    assert {question.split()[0] for question in zone.asked} == {"intranet.corp.example."}


async def test_a_name_with_a_final_dot_is_not_searched(pair: Pair, zone: Zone) -> None:
    with pytest.raises(NameNotFoundError):
        await pair.client.resolve("intranet.")
    assert {question.split()[0] for question in zone.asked} == {"intranet."}


async def test_a_name_beyond_ascii_is_asked_in_its_idna_form(pair: Pair, zone: Zone) -> None:
    assert await pair.client.resolve("münchen.example") == [ip_address("10.9.0.4")]


async def test_a_truncated_answer_is_asked_for_again_over_tcp(pair: Pair, zone: Zone) -> None:
    zone.truncates = True
    assert await pair.client.resolve("four.example") == [ip_address("10.9.0.2")]
    assert "four.example. A tcp" in zone.asked


async def test_a_question_leaves_no_socket(pair: Pair, zone: Zone) -> None:
    zone.truncates = True
    await pair.client.resolve("both.example")
    await nothing_awaited(pair.client)
    assert held(pair.client)["datagrams"] == 0


async def test_streams_and_pings_take_names(pair: Pair, zone: Zone) -> None:
    assert await pair.client.ping("four.example") > 0
    async with await pair.server.start_server(echo, port=7):
        reader, writer = await pair.client.open_connection("intranet", 7)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()


async def test_a_name_that_does_not_exist_is_named_with_what_was_asked(pair: Pair, zone: Zone) -> None:
    with pytest.raises(NameNotFoundError, match="'nowhere' does not exist") as caught:
        await pair.client.resolve("nowhere")
    assert "nowhere.corp.example., nowhere." in str(caught.value)
    assert SERVER_V4 in str(caught.value)
    assert isinstance(caught.value, socket.gaierror)
    assert caught.value.errno == socket.EAI_NONAME


async def test_a_name_without_address_is_told_from_one_that_does_not_exist(pair: Pair, zone: Zone) -> None:
    with pytest.raises(NameNotFoundError, match="exists, but has no IPv6 or IPv4 address"):
        await pair.client.resolve("none.example")


async def test_a_server_that_refuses_is_quoted(pair: Pair, zone: Zone) -> None:
    zone.rcode = dns.rcode.REFUSED
    with pytest.raises(ResolutionError, match=r"cannot be resolved.*10\.9\.0\.2.*REFUSED"):
        await pair.client.resolve("four.example")


async def test_a_silent_server_is_told_from_a_silent_peer(core: str) -> None:
    async with joined(QUICK) as pair, serving(pair) as zone:
        # The question begins the handshake, which is heard.
        zone.silent = True
        with pytest.raises(ResolutionTimeoutError, match=f"{SERVER_V4} did not answer within 1 s, though"):
            await pair.client.resolve("four.example")
        assert isinstance(ResolutionTimeoutError(""), TimeoutError)
    async with Tunnel(
        Ends().client_config("127.0.0.1", 9), listen_address="127.0.0.1", timeouts=QUICK
    ) as tunnel:
        with pytest.raises(HandshakeTimeoutError, match="No handshake answer"):
            await tunnel.resolve("four.example")


async def test_the_second_server_answers_when_the_first_cannot_be_reached(core: str) -> None:
    servers = (ip_address("192.0.2.53"), ip_address(SERVER_V6))
    async with joined(dns=servers) as pair, serving(pair):
        assert await pair.client.resolve("four.example") == [ip_address("10.9.0.2")]


async def test_a_server_outside_the_allowed_ips_is_named(core: str) -> None:
    async with joined(dns=(ip_address("192.0.2.53"),)) as pair:
        with pytest.raises(ResolutionError, match=r"DNS server 192\.0\.2\.53 .*no peer's allowed IPs"):
            await pair.client.resolve("four.example")


async def test_without_dns_servers_names_are_refused_and_leak_nowhere(
    core: str, no_system_resolver: None
) -> None:
    async with joined(dns=()) as pair:
        for attempt in (pair.client.resolve("a.example"), pair.client.open_connection("a.example", 80)):
            with pytest.raises(NoNameserverError, match=r"no DNS server to ask .* system's resolver is not"):
                await attempt
        assert await pair.client.resolve(SERVER_V4) == [ip_address(SERVER_V4)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("localhost", "this machine"),
        ("db.localhost.", "this machine"),
        ("", "empty"),
        (".", "empty"),
        ("a..b", "not a host name"),
        ("a b", "white space"),
        ("10.0.0.256", "neither an IP address nor a name"),
        ("x" * 64 + ".example", "not a host name"),
    ],
)
async def test_what_is_no_host_name_is_not_asked(pair: Pair, zone: Zone, name: str, words: str) -> None:
    with pytest.raises(NameNotFoundError, match=words):
        await pair.client.resolve(name)
    assert zone.asked == []


async def test_many_questions_at_once_are_answered_each_by_its_own(pair: Pair, zone: Zone) -> None:
    names = ["both.example", "four.example", "intranet"] * 20
    answers = await asyncio.gather(*(pair.client.resolve(name) for name in names))
    assert all(ip_address("10.9.0.2") in answer for answer in answers)
