"""What the kernel answers: dumps written out by hand from linux/wireguard.h, and what is none."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.netlink import ACK, DONE, FAMILY_ANSWER, Answer, FakeSocket, error, written
from wirewright.host.device import DeviceChange, DeviceState, PeerState, SocketAddress
from wirewright.host.kernel import family as family_module
from wirewright.host.kernel.decode import Dump
from wirewright.host.kernel.engine import KernelEngine
from wirewright.host.kernel.family import ATTEMPTS, WireGuardFamily
from wirewright.keys import PresharedKey, PublicKey, SecretKey

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="written out for little-endian machines")

SECRET = bytes([*range(0x40, 0x5F), 0x5F])
PRESHARED = bytes(range(0xA0, 0xC0))
PUBLIC = PublicKey.from_hex("b1" * 32)
OTHER = PublicKey.from_hex("b2" * 32)


def part(text: str, flags: str = "02 00") -> bytes:
    """Write a message of a dump around its attributes."""
    content = written(text)
    length = (20 + len(content)).to_bytes(4, "little")
    return length + written(f"1c 00 {flags} 00 00 00 00 00 00 00 00  00 01 00 00") + content


# The device, a peer with everything whose allowed IPs go on in the next part, and another peer.
FIRST = f"""
    06 00 06 00  6c ca 00 00                    # WGDEVICE_A_LISTEN_PORT
    08 00 07 00  10 00 00 00                    # WGDEVICE_A_FWMARK
    08 00 01 00  05 00 00 00                    # WGDEVICE_A_IFINDEX
    08 00 02 00  77 67 30 00                    # WGDEVICE_A_IFNAME
    24 00 03 00  {SECRET.hex()}                 # WGDEVICE_A_PRIVATE_KEY
    24 00 04 00  {"00" * 32}                    # WGDEVICE_A_PUBLIC_KEY
    cc 00 08 80                                 # WGDEVICE_A_PEERS
      c8 00 00 80
        24 00 01 00  {"b1" * 32}                # WGPEER_A_PUBLIC_KEY
        24 00 02 00  {PRESHARED.hex()}          # WGPEER_A_PRESHARED_KEY
        14 00 06 00                             # WGPEER_A_LAST_HANDSHAKE_TIME: seconds, nanoseconds
          00 f1 53 65 00 00 00 00  05 00 00 00 00 00 00 00
        06 00 05 00  19 00 00 00                # WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL
        0c 00 08 00  02 00 00 00 01 00 00 00    # WGPEER_A_TX_BYTES
        0c 00 07 00  03 00 00 00 00 00 00 00    # WGPEER_A_RX_BYTES
        08 00 0a 00  01 00 00 00                # WGPEER_A_PROTOCOL_VERSION
        20 00 04 00                             # WGPEER_A_ENDPOINT: struct sockaddr_in6
          0a 00  ca 6c  00 00 00 00
          fe 80 00 00 00 00 00 00 00 00 00 00 00 00 00 01  00 00 00 00
        20 00 09 80                             # WGPEER_A_ALLOWEDIPS
          1c 00 00 80
            05 00 03 00  08 00 00 00            # in the kernel's order: mask, family, address
            06 00 01 00  02 00 00 00
            08 00 02 00  0a 00 00 00
"""
SECOND = f"""
    94 00 08 80
      54 00 00 80
        24 00 01 00  {"b1" * 32}                # the same again, with nothing but more allowed IPs
        2c 00 09 80
          28 00 00 80
            05 00 03 00  40 00 00 00
            06 00 01 00  0a 00 00 00
            14 00 02 00  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
      3c 00 00 80
        24 00 01 00  {"b2" * 32}
        14 00 04 00                             # struct sockaddr_in
          02 00  00 01  c0 00 02 01  00 00 00 00 00 00 00 00
"""
WHOLE = DeviceState(
    "wg0",
    SecretKey.from_buffer(bytearray(SECRET)),
    51820,
    0x10,
    (
        PeerState(
            PUBLIC,
            PresharedKey.from_buffer(bytearray(PRESHARED)),
            SocketAddress(IPv6Address("fe80::1"), 51820),
            persistent_keepalive=25,
            latest_handshake=1_700_000_000_000_000_005,
            received=3,
            sent=(1 << 32) + 2,
            allowed_ips=(ip_network("10.0.0.0/8"), ip_network("fd00::/64")),
        ),
        PeerState(OTHER, endpoint=SocketAddress(IPv4Address("192.0.2.1"), 1)),
    ),
)


def peer_with(text: str) -> str:
    """Write a peer around one attribute of it."""
    length = 44 + len(written(text))
    return f"{length:02x} 00 08 80  {length - 4:02x} 00 00 80  24 00 01 00 {'b1' * 32} {text}"


def network_with(address: str, length: str) -> str:
    """Write the allowed IPs that are one."""
    return f"18 00 09 80  14 00 00 80  05 00 03 00 {length} 00 00 00  {address}"


def state_of(*answers: Answer, monkeypatch: pytest.MonkeyPatch) -> DeviceState:
    monkeypatch.setattr(family_module, "socket", FakeSocket(answers).module())
    with WireGuardFamily() as family:
        return family.get("wg0")


def test_a_dump_in_parts_is_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = part(FIRST), part(SECOND)
    assert state_of(b"".join(parts), DONE, monkeypatch=monkeypatch) == WHOLE
    assert state_of(*parts, DONE, monkeypatch=monkeypatch) == WHOLE


def test_a_peer_that_comes_again_later_is_not_the_one_that_goes_on() -> None:
    # Only neighbours are joined, as `wg` does: the kernel tells each peer once.
    dump = Dump("wg0")
    for text in (SECOND, SECOND):
        dump.add(memoryview(bytearray(written(text))))
    assert [peer.public_key for peer in dump.state().peers] == [PUBLIC, OTHER, PUBLIC, OTHER]


def test_an_address_on_a_link_has_the_name_of_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    text = FIRST.replace("01  00 00 00 00", "01  07 00 00 00")
    monkeypatch.setattr("socket.if_indextoname", {7: "eth0"}.__getitem__)
    state = state_of(part(text), DONE, monkeypatch=monkeypatch)
    assert state.peers[0].endpoint == SocketAddress(IPv6Address("fe80::1%eth0"), 51820)

    def gone(_: int) -> str:
        raise OSError(errno.ENXIO, "gone")

    monkeypatch.setattr("socket.if_indextoname", gone)
    state = state_of(part(text), DONE, monkeypatch=monkeypatch)
    assert state.peers[0].endpoint == SocketAddress(IPv6Address("fe80::1%7"), 51820)


INTERRUPTED = "12 00"  # NLM_F_MULTI | NLM_F_DUMP_INTR


def test_a_dump_of_what_changed_meanwhile_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    again = (part(FIRST), part(SECOND), DONE)
    for broken in (
        (part(FIRST), part(SECOND, INTERRUPTED), DONE),
        (part(FIRST, INTERRUPTED), part(SECOND), DONE),
        (part(SECOND), DONE[:6] + written(INTERRUPTED) + DONE[8:]),
    ):
        assert state_of(*broken, *broken, *again, monkeypatch=monkeypatch) == WHOLE


def test_a_dump_that_never_succeeds_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (part(FIRST, INTERRUPTED), DONE)
    with pytest.raises(InterruptedError, match="wg0 changes faster"):
        state_of(*broken * ATTEMPTS, part(FIRST), DONE, monkeypatch=monkeypatch)


def test_what_answers_another_request_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    late = error(errno.EINVAL)
    late = late[:8] + b"\7" + late[9:]
    stale = part(FIRST, INTERRUPTED)
    stale = stale[:8] + b"\7" + stale[9:]
    assert state_of(late, stale + part(FIRST), part(SECOND) + late, DONE, monkeypatch=monkeypatch) == WHOLE


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EOPNOTSUPP, errno.EPERM])
def test_a_refusal_is_an_error_of_the_system(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is compared
        state_of(error(number), monkeypatch=monkeypatch)
    assert caught.value.errno == number
    # A dump that fails on the way tells so at its end.
    with pytest.raises(OSError) as caught:  # noqa: PT011
        state_of(part(FIRST), DONE[:16] + error(number)[16:20], monkeypatch=monkeypatch)
    assert caught.value.errno == number


def test_a_refused_part_of_a_change_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeSocket([error(errno.EINVAL), ACK])
    monkeypatch.setattr(family_module, "socket", kernel.module())
    with WireGuardFamily() as family, pytest.raises(OSError, match="Invalid argument"):
        family.set("wg0", DeviceChange(listen_port=1))
    assert kernel.closed


def test_a_kernel_without_wireguard_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeSocket([])
    kernel.answer_first(error(errno.ENOENT))
    monkeypatch.setattr(family_module, "socket", kernel.module())
    with pytest.raises(FileNotFoundError):
        WireGuardFamily()
    assert kernel.closed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(errno.ENOENT), "this kernel has no WireGuard"),
        (error(errno.EPERM), "does not answer: Operation not permitted"),
        (ACK, "does not answer: the kernel does not tell the number"),
        (FAMILY_ANSWER + ACK, None),
    ],
)
def test_an_absent_engine_says_why(answer: bytes, words: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeSocket([])
    kernel.answer_first(answer)
    monkeypatch.setattr(family_module, "socket", kernel.module())
    why = KernelEngine().why_absent()
    assert why == words or (why and words and words in why)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("24 00 08", "cut off"),
        ("03 00 02 00", "impossible length"),
        ("ff 00 08 80", "impossible length"),
        ("00 00 00 00", "impossible length"),
        ("08 00 06 00 01 00 00 00", "unknown size"),
        ("23 00 03 00" + "01" * 31 + "00", "32 bytes"),
        ("0c 00 08 80  08 00 00 80  04 00 02 00", "no public key"),
        ("2c 00 08 80  28 00 00 80  23 00 01 00" + "01" * 31 + "00", "32 bytes"),
        (peer_with("07 00 04 00  02 00 01 00"), "address family 2"),
        (peer_with("14 00 04 00  63 00" + "00" * 14), "address family 99"),
        (peer_with("05 00 04 00  02 00 00 00"), "address family 2"),
        (peer_with("08 00 06 00  00 00 00 00"), "a time"),
        (peer_with("14 00 09 80  10 00 00 80  08 00 02 00  0a 00 00 00  04 00 03 00"), "unknown size"),
        (peer_with("08 00 09 80  04 00 00 80"), "lacks its address"),
        (peer_with(network_with("08 00 02 00  0a 00 00 01", "08")), "host bits"),
        (peer_with(network_with("08 00 02 00  0a 00 00 00", "21")), "Netmask|netmask|33"),
        (peer_with(network_with("07 00 02 00  0a 00 00 00", "08")), "does not appear"),
    ],
)
def test_what_is_no_answer_is_refused(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=words):
        Dump("wg0").add(memoryview(bytearray(written(text))))
    with pytest.raises(OSError, match="not understood") as caught:
        state_of(part(text), DONE, monkeypatch=monkeypatch)
    assert caught.value.errno == errno.EBADMSG


@pytest.mark.parametrize(
    "answer",
    [
        bytes(1),
        bytes(15),
        bytes(16),
        written("0f 00 00 00  1c 00  02 00  00 00 00 00  00 00 00 00"),
        written("11 00 00 00  1c 00  02 00  00 00 00 00  00 00 00 00"),
        DONE[:4] + DONE[4:18],
        written("10 00 00 00") + DONE[4:16],
        written("12 00 00 00") + DONE[4:18],
        error(5000),
        error(1)[:16] + b"\0\0\0\x80" + bytes(16),
        error(1)[:16] + b"\1\0\0\0" + bytes(16),
    ],
)
def test_a_broken_message_is_refused(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="not understood"):
        state_of(answer, monkeypatch=monkeypatch)


@given(st.data())
def test_no_answer_breaks_the_reader(data: st.DataObject) -> None:
    """Whatever comes, damaged dumps among it: a state, or OSError from the socket and ValueError below it."""
    whole = bytearray(part(FIRST) + part(SECOND) + DONE)
    if data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 6))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        answer = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    else:
        answer = data.draw(st.binary(max_size=200))
    with pytest.MonkeyPatch.context() as patch:
        with suppress(OSError):
            state_of(answer, DONE, monkeypatch=patch)
        with suppress(ValueError):
            Dump("wg0").add(memoryview(bytearray(answer[20:])))
