"""The UAPI text: lines of ``key=value`` up to an empty one, told to an interface in user space and by it.

As with the kernel's messages, a key goes from its handle into a buffer that is wiped, and back: never
through a Python string.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from wirewright.host.device import DeviceState, Nothing, PeerState, SocketAddress
from wirewright.host.wiped import KEY_LENGTH, Wiped
from wirewright.keys import PresharedKey, PublicKey, SecretKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.host.device import DeviceChange, PeerChange

_DIGITS: Final = b"0123456789abcdef"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_LINE: Final = 128
"""Bytes that any line fits in."""


def set_request(change: DeviceChange) -> Wiped:
    """Write the request for a change into a buffer that the caller wipes."""
    networks = sum(len(peer.allowed_ips) + len(peer.removed_allowed_ips) for peer in change.peers)
    writer = _Writer(_LINE * (8 + 8 * len(change.peers) + networks))
    writer.line("set", "1")
    if change.private_key is not None:
        writer.key("private_key", change.private_key)
    if change.listen_port is not None:
        writer.line("listen_port", str(change.listen_port))
    if change.fwmark is not None:
        writer.line("fwmark", str(change.fwmark))
    if change.replace_peers:
        writer.line("replace_peers", "true")
    for peer in change.peers:
        _peer(writer, peer)
    return writer.finish()


def _peer(writer: _Writer, peer: PeerChange) -> None:
    writer.line("public_key", bytes(peer.public_key).hex())
    if peer.update_only:
        writer.line("update_only", "true")
    if peer.remove:
        writer.line("remove", "true")
        return
    if peer.preshared_key is not None:
        writer.key("preshared_key", peer.preshared_key)
    if peer.endpoint is not None:
        writer.line("endpoint", str(peer.endpoint))
    if peer.persistent_keepalive is not None:
        writer.line("persistent_keepalive_interval", str(peer.persistent_keepalive))
    if peer.replace_allowed_ips:
        writer.line("replace_allowed_ips", "true")
    for network in peer.allowed_ips:
        writer.line("allowed_ip", str(network))
    for network in peer.removed_allowed_ips:
        writer.line("allowed_ip", f"-{network}")


class _Writer:
    def __init__(self, size: int) -> None:
        self._buffer = Wiped(size)
        self._length = 0

    def line(self, key: str, value: str) -> None:
        self._put(f"{key}={value}\n".encode())

    def key(self, name: str, key: SecretKey | PresharedKey | Nothing) -> None:
        self._put(f"{name}=".encode())
        if isinstance(key, Nothing):
            self._put(b"0" * 2 * KEY_LENGTH)
        else:
            with Wiped(KEY_LENGTH) as raw:
                key.copy_into(raw)
                for byte in raw:
                    self._buffer[self._length] = _DIGITS[byte >> 4]
                    self._buffer[self._length + 1] = _DIGITS[byte & 15]
                    self._length += 2
        self._put(b"\n")

    def finish(self) -> Wiped:
        self._put(b"\n")
        # Shortening moves nothing.
        del self._buffer[self._length :]
        return self._buffer

    def _put(self, text: bytes) -> None:
        end = self._length + len(text)
        if end > len(self._buffer):
            raise BufferError("the request does not fit")
        self._buffer[self._length : end] = text
        self._length = end


class Report:
    """Takes the lines of an answer to ``get``, and gives the state and the error number."""

    def __init__(self, name: str) -> None:
        self._device: dict[str, Any] = {"name": name}
        self._peers: list[dict[str, Any]] = []
        self._networks: list[list[IPNetwork]] = []
        self.errno: int | None = None
        """The answer's last line; None until it came."""

    def add(self, line: memoryview) -> None:
        """Take a line without its end; keys go from the buffer into handles. Raises ValueError."""
        name, mark, value = _divide(line)
        if not mark:
            raise ValueError("a line of the answer has no '='")
        match name:
            case "private_key":
                self._device["private_key"] = _secret(value)
            case "listen_port" | "fwmark":
                self._device[name] = _number(value)
            case "errno":
                self.errno = int(bytes(value))
            case "public_key":
                self._peers.append({"public_key": PublicKey.from_hex(bytes(value).decode("ascii"))})
                self._networks.append([])
            case _ if self._peers:
                self._add_to_peer(self._peers[-1], name, value)
            case _:
                raise ValueError(f"{name} stands before the first peer")

    def state(self) -> DeviceState:
        """Give what all lines told."""
        peers = (
            PeerState(**peer, allowed_ips=tuple(networks))
            for peer, networks in zip(self._peers, self._networks, strict=True)
        )
        return replace(DeviceState(""), **self._device, peers=tuple(peers))

    def _add_to_peer(self, peer: dict[str, Any], name: str, value: memoryview) -> None:
        match name:
            case "preshared_key":
                peer["preshared_key"] = _preshared(value)
            case "endpoint":
                peer["endpoint"] = _endpoint(bytes(value).decode("ascii"))
            case "last_handshake_time_sec":
                peer["latest_handshake"] = _number(value) * 1_000_000_000
            case "last_handshake_time_nsec":
                peer["latest_handshake"] = peer.get("latest_handshake", 0) + _number(value)
            case "allowed_ip":
                self._networks[-1].append(ip_network(bytes(value).decode("ascii")))
            case _ if field := _NUMBERS.get(name):
                peer[field] = _number(value)
            case _:
                # Another implementation may tell more.
                pass


_NUMBERS: Final = {
    "rx_bytes": "received",
    "tx_bytes": "sent",
    "persistent_keepalive_interval": "persistent_keepalive",
    "protocol_version": "protocol_version",
}


def lines(text: memoryview) -> Iterator[memoryview]:
    """Walk over the complete lines of a text, in place."""
    start = 0
    whole = text.obj
    assert isinstance(whole, bytearray)
    while (end := whole.find(b"\n", start, len(text))) >= 0:
        yield text[start:end]
        start = end + 1


def _divide(line: memoryview) -> tuple[str, bool, memoryview]:
    # Of the value, which may be a key, no copy is made.
    for at, byte in enumerate(line):
        if byte == 0x3D:
            return bytes(line[:at]).decode("ascii", "replace"), True, line[at + 1 :]
    return "", False, line


def _number(value: memoryview) -> int:
    text = bytes(value)
    if not text.isdigit() or len(text) > 20:
        raise ValueError("a value of the answer is no number")
    return int(text)


def _secret(value: memoryview) -> SecretKey | None:
    with Wiped(KEY_LENGTH) as raw:
        return SecretKey.from_buffer(raw) if _read_key(value, raw) else None


def _preshared(value: memoryview) -> PresharedKey | None:
    with Wiped(KEY_LENGTH) as raw:
        return PresharedKey.from_buffer(raw) if _read_key(value, raw) else None


def _read_key(value: memoryview, raw: Wiped) -> bool:
    """Read hexadecimal digits; False if they are all zero, which stands for no key."""
    if len(value) != 2 * KEY_LENGTH:
        raise ValueError("a key has 64 hexadecimal digits")
    try:
        for at in range(KEY_LENGTH):
            raw[at] = _VALUES[value[2 * at]] << 4 | _VALUES[value[2 * at + 1]]
    except KeyError:
        raise ValueError("a key has 64 hexadecimal digits") from None
    return any(raw)


def _endpoint(text: str) -> SocketAddress:
    host, _, port = text.rpartition(":")
    address: IPAddress = ip_address(host.removeprefix("[").removesuffix("]"))
    if isinstance(address, IPv4Address) != (not host.startswith("[")):
        raise ValueError("an endpoint of IPv6 stands in brackets")
    return SocketAddress(address, int(port))
