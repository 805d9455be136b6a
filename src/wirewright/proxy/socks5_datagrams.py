"""Datagrams of a UDP association (RFC 1928 section 7): whereto or wherefrom, then the data."""

from __future__ import annotations

from wirewright.proxy.socks5 import BadAddressError, decode_address, encode_address


class DatagramError(ValueError):
    """A datagram that is dropped."""


class FragmentError(DatagramError):
    """A part of a datagram. Section 7 allows to drop them, and nobody sends them."""


def unwrap(datagram: bytes) -> tuple[str, int, bytes]:
    """Return the host (an address or a name), the port and the data that a client sends there."""
    if len(datagram) < 4 or datagram[:2] != b"\0\0":
        raise DatagramError
    if datagram[2] != 0:
        raise FragmentError
    try:
        host, port, start = decode_address(datagram, 3)
    except BadAddressError:
        raise DatagramError from None
    if port == 0:
        raise DatagramError
    return host, port, datagram[start:]


def wrap(host: str, port: int, data: bytes) -> bytes:
    """Return the datagram that tells a client what came from where."""
    return b"\0\0\0" + encode_address(host, port) + data
