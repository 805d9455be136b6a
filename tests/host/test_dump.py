"""The text of `wg show INTERFACE dump`."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from wirewright.host.device import DeviceState, PeerState, SocketAddress
from wirewright.host.dump import dump
from wirewright.keys import PresharedKey, PublicKey, SecretKey

NOBODY = PublicKey.from_hex("00" * 31 + "01")


def test_an_interface_without_anything() -> None:
    assert dump(DeviceState("wg0")) == "(none)\t(none)\t0\toff\n"


def test_an_interface_with_everything() -> None:
    secret, preshared = SecretKey.generate(), PresharedKey.generate()
    peer = PeerState(
        NOBODY,
        preshared,
        SocketAddress(ip_address("192.0.2.1"), 51820),
        persistent_keepalive=25,
        latest_handshake=1_700_000_000_999_999_999,
        received=1 << 40,
        sent=7,
        allowed_ips=(ip_network("10.0.0.0/8"), ip_network("::/0")),
    )
    assert dump(DeviceState("wg0", secret, 51820, 0xCA6C, (peer, PeerState(NOBODY)))) == (
        f"{secret.expose()}\t{secret.public_key}\t51820\t0xca6c\n"
        f"{NOBODY}\t{preshared.expose()}\t192.0.2.1:51820\t10.0.0.0/8,::/0\t1700000000\t1099511627776\t7\t25\n"
        f"{NOBODY}\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
    )


def test_addresses_are_written_as_the_system_does() -> None:
    for address, text in (
        ("2001:db8::1", "[2001:db8::1]"),
        ("fe80::1%eth0", "[fe80::1%eth0]"),
        ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]"),
        ("2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]"),
        ("::", "[::]"),
    ):
        peer = PeerState(NOBODY, endpoint=SocketAddress(ip_address(address), 1))
        assert dump(DeviceState("wg0", peers=(peer,))).split("\t")[5] == f"{text}:1"
