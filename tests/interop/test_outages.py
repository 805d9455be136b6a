"""A peer that crashes, stops or never was there; recovery without help, and words meanwhile."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from tests.interop.lab import Lab, peer_section
from tests.interop.relay import address_of, bound, until
from tests.interop.remote import RemoteError
from tests.interop.services import digest, payload
from wirewright.keys import SecretKey

# So long after data that nothing answered a new handshake begins (the paper's section 6.5), and up to 1/3 s
# later.
SILENCE = 15.0


def test_we_recover_by_ourselves_when_wireguard_go_was_restarted(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    assert us.ping(them.addresses[0]) < 10
    them.kill()
    them.start()
    # They have no session and do not know where we are: only we can begin, when nothing we sent was answered.
    restarted = time.monotonic()
    pings = us.start("pings", host=them.addresses[0], duration=17, interval=0.5)
    until(lambda: len(relay.of(1, by_us=True)) == 2, "we begin a new handshake", seconds=20)
    unanswered = next(seen for seen in relay.of(4, by_us=True) if seen.at > restarted)
    assert SILENCE - 0.1 < relay.of(1)[1].at - unanswered.at < SILENCE + 1
    trips = pings.result(40)
    assert trips[0] is None
    assert trips[-1] is not None
    assert them.ping(us.addresses[1]) < 10


def test_we_answer_at_once_when_a_restarted_wireguard_go_begins(lab: Lab) -> None:
    us, them = lab.pair(they_know_where=True)
    assert us.ping(them.addresses[0]) < 10
    them.kill()
    them.start()
    assert them.ping(us.addresses[0], seconds=4) < 4
    assert us.ping(them.addresses[0]) < 10


def test_wireguard_go_takes_us_back_at_once_when_we_were_restarted(lab: Lab) -> None:
    us, them = lab.pair()
    assert us.ping(them.addresses[0]) < 10
    us.call("close")
    time.sleep(0.02)  # It takes one initiation in 20 ms from a peer.
    us.open(peer_section(them.public_key, them.addresses, endpoint=("127.0.0.1", them.port)))
    assert us.ping(them.addresses[0], seconds=4) < 4
    size = 500_000
    assert us.call("download", host=them.addresses[0], port=them.call("serve"), size=size) == digest(
        payload(size)
    )


def test_a_peer_that_stops_answering_is_a_timeout_with_words_and_no_more_than_that(lab: Lab) -> None:
    us, them = lab.pair(timeouts={"connect": 1.0, "ping": 1.0})
    port = them.call("serve")
    assert us.ping(them.addresses[0]) < 10
    them.pause()
    with pytest.raises(RemoteError) as caught:
        us.ping(them.addresses[0], seconds=1)
    assert {"PingTimeoutError", "TimeoutError"} <= set(caught.value.kinds)
    assert them.addresses[0] in caught.value.message
    with pytest.raises(RemoteError) as caught:
        us.call("echo", host=them.addresses[0], port=port, size=1)
    assert {"ConnectTimeoutError", "TimeoutError"} <= set(caught.value.kinds)
    assert f"{them.addresses[0]} port {port}" in caught.value.message
    them.resume()
    assert us.ping(them.addresses[0]) < 10
    size = 100_000
    assert us.call("echo", host=them.addresses[0], port=port, size=size) == digest(payload(size))


def test_a_connection_survives_a_peer_that_pauses(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    size = 20_000_000
    transfer = us.start("download", host=them.addresses[0], port=them.call("serve"), size=size)
    until(lambda: len(relay.seen) > 300, "the transfer runs")
    them.pause()
    with pytest.raises(RemoteError):
        us.ping(them.addresses[0], seconds=1)
    assert not transfer.done()
    them.resume()
    assert transfer.result(40) == digest(payload(size))


@pytest.mark.parametrize("call", ["handshake", "ping", "echo"])
def test_an_endpoint_where_nobody_is_makes_every_call_say_so(lab: Lab, call: str) -> None:
    us = lab.rootless()
    stranger = SecretKey.generate().public_key
    with bound("127.0.0.1") as nobody:
        endpoint = address_of(nobody)
    us.open(peer_section(stranger, ["10.77.0.2/32"], endpoint=endpoint), timeouts={"handshake": 1.0})
    host = "10.77.0.2"
    settings: dict[str, dict[str, Any]] = {
        "handshake": {},
        "ping": {"host": host},
        "echo": {"host": host, "port": 80, "size": 1},
    }
    with pytest.raises(RemoteError) as caught:
        us.call(call, **settings[call])
    assert {"HandshakeTimeoutError", "TimeoutError"} <= set(caught.value.kinds)
    assert f"peer {stranger} at 127.0.0.1:{endpoint[1]} within 1 s" in caught.value.message
    assert "firewall" in caught.value.message


def test_an_endpoint_that_does_not_resolve_is_an_error_with_its_name(lab: Lab) -> None:
    us = lab.rootless()
    section = peer_section(
        SecretKey.generate().public_key, ["10.77.0.2/32"], endpoint=("no-such-host.invalid", 51820)
    )
    with pytest.raises(RemoteError) as caught:
        us.open(section, timeouts={"endpoint": 2.0})
    assert {"EndpointError", "gaierror", "OSError"} <= set(caught.value.kinds)
    assert "no-such-host.invalid:51820 does not resolve" in caught.value.message
    assert "write the peer's IP address" in caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_an_error_that_says_what_to_do(lab: Lab, host: str) -> None:
    us = lab.rootless()
    with bound(host) as other:
        port = address_of(other)[1]
        with pytest.raises(RemoteError) as caught:
            us.open(listen_port=port)
    assert {"AddressError", "OSError"} <= set(caught.value.kinds)
    assert f"UDP port {port} is in use" in caught.value.message
    assert "leave ListenPort out" in caught.value.message
    us.open(listen_port=port)
    assert us.port == port


def test_the_port_of_a_running_wireguard_go_is_in_use(lab: Lab) -> None:
    us, them = lab.rootless(), lab.wireguard_go()
    with pytest.raises(RemoteError, match=f"UDP port {them.port} is in use"):
        us.open(listen_port=them.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, pytest.raises(OSError, match="in use"):
        probe.bind(("127.0.0.1", them.port))
