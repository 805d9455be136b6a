"""The UAPI text: lines of ``key=value`` up to an empty one, told to an interface in user space and by it.

As with the kernel's messages, a key goes from its handle into a buffer that is wiped, and back: never
through a Python string.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, Literal

from wirewright.host.device import DeviceState, Nothing, PeerState, SocketAddress
from wirewright.host.wiped import KEY_LENGTH, Wiped
from wirewright.keys import PresharedKey, PublicKey, SecretKey

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.host.device import DeviceChange, PeerChange
    from wirewright.host.filtering import PacketFilter

_DIGITS: Final = b"0123456789abcdef"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_LONGEST_LINE: Final = 4096


def set_request(change: DeviceChange) -> Wiped:
    """Write the request for a change into a buffer that the caller wipes."""
    writer = _Writer()
    writer.line("set", "1")
    if change.private_key is not None:
        writer.key("private_key", change.private_key)
    if change.listen_port is not None:
        writer.line("listen_port", str(change.listen_port))
    if change.fwmark is not None:
        writer.line("fwmark", str(change.fwmark))
    if change.filter is not None:
        _filter(writer, change.filter)
    if change.replace_peers:
        writer.line("replace_peers", "true")
    for peer in change.peers:
        _peer(writer, peer)
    return writer.finish()


def _filter(writer: _Writer, settings: PacketFilter | Literal[False]) -> None:
    writer.line("filter", "true" if settings else "false")
    if settings:
        for address in settings.own:
            writer.line("filter_own", str(address))
        for network in settings.protected:
            writer.line("filter_protected", str(network))


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
    if peer.rules is not None:
        writer.line("replace_rules", "true")
        for rule in peer.rules:
            writer.line("allow", str(rule))


class _Writer:
    """Gathers lines; the buffer is made when its size is known, for one that grows or shrinks may move."""

    def __init__(self) -> None:
        self._pieces: list[bytes | SecretKey | PresharedKey] = []

    def line(self, key: str, value: str) -> None:
        self._pieces.append(f"{key}={value}\n".encode())

    def key(self, name: str, key: SecretKey | PresharedKey | Nothing) -> None:
        zeros = b"0" * 2 * KEY_LENGTH
        self._pieces += [f"{name}=".encode(), zeros if isinstance(key, Nothing) else key, b"\n"]

    def finish(self) -> Wiped:
        pieces = [*self._pieces, b"\n"]
        sizes = (len(piece) if isinstance(piece, bytes) else 2 * KEY_LENGTH for piece in pieces)
        buffer = Wiped(sum(sizes))
        at = 0
        for piece in pieces:
            if isinstance(piece, bytes):
                buffer[at : at + len(piece)] = piece
                at += len(piece)
            else:
                _write_key(buffer, at, piece)
                at += 2 * KEY_LENGTH
        return buffer


def _write_key(buffer: Wiped, at: int, key: SecretKey | PresharedKey) -> None:
    with Wiped(KEY_LENGTH) as raw:
        key.copy_into(raw)
        for place, byte in enumerate(raw):
            buffer[at + 2 * place] = _DIGITS[byte >> 4]
            buffer[at + 2 * place + 1] = _DIGITS[byte & 15]


class Report:
    """Takes the lines of an answer to ``get``, and gives the state and the error number."""

    def __init__(self, name: str) -> None:
        self._device: dict[str, Any] = {"name": name}
        self._peers: list[dict[str, Any]] = []
        self._networks: list[list[IPNetwork]] = []
        self.errno: int | None = None
        """The answer's last line; None until it came."""
        self.counters: dict[str, int] = {}
        """What stands before the first peer and is none of an interface's settings, as numbers."""
        self.complete = False

    def take(self, buffer: bytearray, end: int) -> int:
        """Take the lines that are whole before `end`; return where the rest begins.

        Keys go from the buffer into handles. Raises ValueError. Nothing is taken behind the empty line, with
        which the answer is :attr:`complete`.
        """
        start = 0
        while not self.complete and (stop := buffer.find(b"\n", start, end)) >= 0:
            if stop == start:
                self.complete = True
            else:
                self._take_line(buffer, start, stop)
            start = stop + 1
        if end - start > _LONGEST_LINE:
            raise ValueError("a line of the answer has no end")
        return start

    def _take_line(self, buffer: bytearray, start: int, stop: int) -> None:
        # Of the value, which may be a key, no copy is made here.
        mark = buffer.find(b"=", start, stop)
        if mark < 0:
            raise ValueError("a line of the answer has no '='")
        name = buffer[start:mark].decode("ascii")
        with memoryview(buffer) as whole, whole[mark + 1 : stop] as value:
            self._take_value(name, value)

    def _take_value(self, name: str, value: memoryview) -> None:
        match name:
            case "private_key":
                self._device["private_key"] = _secret(value)
            case "listen_port" | "fwmark":
                self._device[name] = _number(value)
            case "errno":
                self.errno = _error_number(value)
            case "public_key":
                self._peers.append({"public_key": PublicKey.from_hex(bytes(value).decode("ascii"))})
                self._networks.append([])
            case _ if self._peers:
                self._add_to_peer(self._peers[-1], name, value)
            case _:
                # Counters, if they were asked for; else another implementation tells more than we know.
                with suppress(ValueError):
                    self.counters[name] = _number(value)

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
                self._networks[-1].append(_network(bytes(value).decode("ascii")))
            case _ if field := _NUMBERS.get(name):
                peer[field] = _number(value)
            case _:
                pass


_NUMBERS: Final = {
    "rx_bytes": "received",
    "tx_bytes": "sent",
    "persistent_keepalive_interval": "persistent_keepalive",
    "protocol_version": "protocol_version",
}


def _number(value: memoryview) -> int:
    text = bytes(value)
    if not text.isdigit() or len(text) > 20:
        raise ValueError("a value of the answer is no number")
    return int(text)


def _error_number(value: memoryview) -> int:
    # wireguard-go's are negative in answers to `set`.
    negative = bytes(value[:1]) == b"-"
    number = _number(value[1:] if negative else value)
    return -number if negative else number


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


def _network(text: str) -> IPNetwork:
    # The system reads addresses several times faster than Python, and there may be a hundred thousand.
    address, _, length = text.partition("/")
    if not length.isdecimal():
        raise ValueError("an allowed IP has no length")
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError:
        raise ValueError("an allowed IP has no address") from None
    return ip_network((packed, int(length)))


def _endpoint(text: str) -> SocketAddress:
    host, _, port = text.rpartition(":")
    if not (port.isdecimal() and int(port) < 1 << 16):
        raise ValueError("an endpoint has no port")
    address: IPAddress = ip_address(host.removeprefix("[").removesuffix("]"))
    if isinstance(address, IPv4Address) != (not host.startswith("[")):
        raise ValueError("an endpoint of IPv6 stands in brackets")
    return SocketAddress(address, int(port))
