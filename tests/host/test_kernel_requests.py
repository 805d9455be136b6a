"""What the kernel is sent, byte for byte: messages written out by hand from linux/wireguard.h."""

from __future__ import annotations

import errno
import sys
from ipaddress import ip_address, ip_network

import pytest

from tests.host.netlink import ACK, DONE, FAMILY, FakeSocket, written
from wirewright.host.device import NO_KEY, DeviceChange, PeerChange, SocketAddress
from wirewright.host.filtering import AllowRule, PacketFilter
from wirewright.host.kernel import family as family_module
from wirewright.host.kernel.encode import set_messages
from wirewright.host.kernel.family import WireGuardFamily
from wirewright.keys import PresharedKey, PublicKey, SecretKey

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="written out for little-endian machines")

SECRET = bytes([*range(0x40, 0x5F), 0x5F])
PRESHARED = bytes(range(0xA0, 0xC0))
PUBLIC = PublicKey.from_hex("b1" * 32)
OTHER = PublicKey.from_hex("b2" * 32)

HEADER = "1c 00  05 00  00 00 00 00  00 00 00 00"  # the family, NLM_F_REQUEST | NLM_F_ACK, sequence, port
KEY = "24 00 01 00" + " b1" * 32  # WGPEER_A_PUBLIC_KEY
OTHER_KEY = "24 00 01 00" + " b2" * 32


def secret() -> SecretKey:
    return SecretKey.from_buffer(bytearray(SECRET))


def messages(change: DeviceChange, **options: int) -> list[bytes]:
    return [bytes(message) for message in set_messages("wg0", change, FAMILY, 0x5, **options)]


def test_a_set_with_every_attribute() -> None:
    peer = PeerChange(
        PUBLIC,
        update_only=True,
        preshared_key=PresharedKey.from_buffer(bytearray(PRESHARED)),
        endpoint=SocketAddress(ip_address("192.0.2.1"), 51820),
        persistent_keepalive=25,
        replace_allowed_ips=True,
        allowed_ips=(ip_network("10.0.0.0/8"), ip_network("fd00::/64")),
    )
    change = DeviceChange(secret(), 51820, 0x10, replace_peers=True, peers=(peer,))
    expected = f"""
        14 01 00 00  {HEADER}                   # 276 bytes
        01 01 00 00                             # WG_CMD_SET_DEVICE, version 1
        08 00 02 00  77 67 30 00                # WGDEVICE_A_IFNAME: "wg0"
        24 00 03 00  {SECRET.hex()}             # WGDEVICE_A_PRIVATE_KEY
        06 00 06 00  6c ca 00 00                # WGDEVICE_A_LISTEN_PORT, and two bytes of padding
        08 00 07 00  10 00 00 00                # WGDEVICE_A_FWMARK
        08 00 05 00  01 00 00 00                # WGDEVICE_A_FLAGS: WGDEVICE_F_REPLACE_PEERS
        bc 00 08 80                             # WGDEVICE_A_PEERS, nested
          b8 00 00 80                           # the first
            {KEY}
            08 00 03 00  06 00 00 00            # WGPEER_A_FLAGS: REPLACE_ALLOWEDIPS | UPDATE_ONLY
            24 00 02 00  {PRESHARED.hex()}      # WGPEER_A_PRESHARED_KEY
            14 00 04 00                         # WGPEER_A_ENDPOINT: struct sockaddr_in
              02 00  ca 6c  c0 00 02 01  00 00 00 00 00 00 00 00
            06 00 05 00  19 00 00 00            # WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL
            48 00 09 80                         # WGPEER_A_ALLOWEDIPS, nested
              1c 00 00 80
                06 00 01 00  02 00 00 00        # WGALLOWEDIP_A_FAMILY: AF_INET
                08 00 02 00  0a 00 00 00        # WGALLOWEDIP_A_IPADDR
                05 00 03 00  08 00 00 00        # WGALLOWEDIP_A_CIDR_MASK
              28 00 00 80
                06 00 01 00  0a 00 00 00        # AF_INET6
                14 00 02 00  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
                05 00 03 00  40 00 00 00
    """
    assert messages(change) == [written(expected)]


def test_a_set_of_nothing_names_the_interface_only() -> None:
    assert messages(DeviceChange()) == [
        written(f"1c 00 00 00 {HEADER}  01 01 00 00  08 00 02 00 77 67 30 00")
    ]


def test_keys_are_taken_away_by_zeros_and_a_peer_by_a_flag() -> None:
    peers = (PeerChange(PUBLIC, preshared_key=NO_KEY), PeerChange(OTHER, remove=True))
    expected = f"""
        c0 00 00 00  {HEADER}
        01 01 00 00
        08 00 02 00  77 67 30 00
        24 00 03 00  {"00" * 32}                # WGDEVICE_A_PRIVATE_KEY
        80 00 08 80
          4c 00 00 80
            {KEY}
            24 00 02 00  {"00" * 32}            # WGPEER_A_PRESHARED_KEY
          30 00 00 80
            {OTHER_KEY}
            08 00 03 00  01 00 00 00            # WGPEER_F_REMOVE_ME
    """
    assert messages(DeviceChange(NO_KEY, peers=peers)) == [written(expected)]


def test_an_endpoint_of_ipv6_has_its_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.if_nametoindex", {"eth0": 7}.__getitem__)
    address = """
          20 00 04 00                           # WGPEER_A_ENDPOINT: struct sockaddr_in6
            0a 00  ca 6c  00 00 00 00           # family, port, flow
            fe 80 00 00 00 00 00 00 00 00 00 00 00 00 00 01
            07 00 00 00                         # the interface's number
    """
    for scope in ("eth0", "7"):
        peer = PeerChange(PUBLIC, endpoint=SocketAddress(ip_address(f"fe80::1%{scope}"), 51820))
        [message] = messages(DeviceChange(peers=(peer,)))
        assert message.endswith(written(KEY + address)), scope


def test_where_an_endpoint_s_interface_is_not_there_nothing_is_sent() -> None:
    good = tuple(PeerChange(PublicKey.from_hex(f"{number:064x}")) for number in range(1, 1000))
    bad = PeerChange(PUBLIC, endpoint=SocketAddress(ip_address("fe80::1%no-such-link"), 1))
    walk = set_messages("wg0", DeviceChange(peers=(*good, bad)), FAMILY, 0x5)
    with pytest.raises(OSError, match="no interface"):
        next(walk)


@pytest.mark.parametrize(
    "change",
    [
        DeviceChange(filter=PacketFilter()),
        DeviceChange(peers=(PeerChange(PUBLIC, rules=(AllowRule(ip_network("::/0")),)),)),
    ],
)
def test_a_packet_filter_is_refused_since_the_kernel_has_none(change: DeviceChange) -> None:
    with pytest.raises(OSError, match="nftables") as caught:
        messages(change)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_single_allowed_ip_is_taken_away_by_a_flag() -> None:
    peer = PeerChange(PUBLIC, removed_allowed_ips=(ip_network("10.0.0.0/8"),))
    expected = """
        28 00 09 80
          24 00 00 80
            06 00 01 00  02 00 00 00
            08 00 02 00  0a 00 00 00
            05 00 03 00  08 00 00 00
            08 00 04 00  01 00 00 00            # WGALLOWEDIP_A_FLAGS: WGALLOWEDIP_F_REMOVE_ME
    """
    assert messages(DeviceChange(peers=(peer,)))[0].endswith(written(KEY + expected))


def test_what_does_not_fit_goes_on_in_the_next_message() -> None:
    networks = tuple(ip_network(f"10.0.0.{number}/32") for number in range(15))
    first = PeerChange(
        PUBLIC, update_only=True, persistent_keepalive=25, replace_allowed_ips=True, allowed_ips=networks
    )
    second = PeerChange(OTHER, replace_allowed_ips=True)
    change = DeviceChange(listen_port=1, replace_peers=True, peers=(first, second))

    def network(number: int) -> str:
        address = f"08 00 02 00 0a 00 00 {number:02x}"
        return f"1c 00 00 80  06 00 01 00 02 00 00 00  {address}  05 00 03 00 20 00 00 00"

    # As long as 64 bytes are left there is room for another: of 512, for thirteen.
    parts = (
        f"""
        d8 01 00 00  {HEADER}
        01 01 00 00
        08 00 02 00  77 67 30 00
        06 00 06 00  01 00 00 00                # once: the port
        08 00 05 00  01 00 00 00                # once: WGDEVICE_F_REPLACE_PEERS
        ac 01 08 80
          a8 01 00 80
            {KEY}
            08 00 03 00  06 00 00 00            # REPLACE_ALLOWEDIPS | UPDATE_ONLY
            06 00 05 00  19 00 00 00            # once: the settings of the peer
            70 01 09 80
              {" ".join(map(network, range(13)))}
        """,
        f"""
        bc 00 00 00  {HEADER}
        01 01 00 00
        08 00 02 00  77 67 30 00
        a0 00 08 80
          6c 00 00 80
            {KEY}
            08 00 03 00  04 00 00 00            # UPDATE_ONLY, lest it makes the peer that the first did not
            3c 00 09 80
              {" ".join(map(network, range(13, 15)))}
          30 00 00 80
            {OTHER_KEY}
            08 00 03 00  02 00 00 00            # another peer: its own are replaced
        """,
    )
    assert messages(change, part=512) == [written(part) for part in parts]


def test_a_message_is_wiped_when_the_next_is_asked_for() -> None:
    walk = set_messages("wg0", DeviceChange(secret(), peers=(PeerChange(PUBLIC),)), FAMILY, 0x5)
    message = next(walk)
    buffer = message.obj
    assert isinstance(buffer, bytearray)
    assert SECRET in buffer
    assert next(walk, None) is None
    assert not any(buffer)


def test_a_message_without_room_for_a_peer_is_refused() -> None:
    with pytest.raises(ValueError, match="512"):
        messages(DeviceChange(peers=(PeerChange(PUBLIC),)), part=511)


def test_the_family_is_asked_for_and_a_dump_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeSocket([DONE, ACK])
    monkeypatch.setattr(family_module, "socket", kernel.module())
    with WireGuardFamily() as family:
        family.get("wg0")
        family.set("wg0", DeviceChange())
    assert kernel.closed
    assert kernel.requests == [
        written("""
            24 00 00 00  10 00  05 00  01 00 00 00  00 00 00 00  # GENL_ID_CTRL, numbered
            03 01 00 00                                          # CTRL_CMD_GETFAMILY
            0e 00 02 00  77 69 72 65 67 75 61 72 64 00  00 00    # CTRL_ATTR_FAMILY_NAME: "wireguard"
        """),
        written("""
            1c 00 00 00  1c 00  01 03  02 00 00 00  00 00 00 00  # NLM_F_REQUEST | NLM_F_DUMP
            00 01 00 00                                          # WG_CMD_GET_DEVICE, version 1
            08 00 02 00  77 67 30 00
        """),
        written("1c 00 00 00  1c 00  05 00  03 00 00 00  00 00 00 00  01 01 00 00  08 00 02 00 77 67 30 00"),
    ]
