"""The core's rootless tunnel in one process and without packets, for tests of what stands on it.

Tunnels find each other by the outer UDP port of a peer's endpoint; what one sends, the other has at once. The
semantics are those of ``_core.pyi``: nothing blocks, buffers are bounded, an event follows every refusal, and
the descriptor is readable until the events are drained.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, ClassVar

BUFFER = 64 * 1024
DATAGRAM_ROOM = 8
ECHO_SECONDS = 0.001
_lock = threading.RLock()
_by_port: dict[int, FakeTunnel] = {}
_ports = itertools.count(40000)
_ids = itertools.count(1)


@dataclass
class FakePeer:
    public_key: Any
    preshared_key: Any = None
    endpoint: tuple[str, int] | None = None
    allowed_ips: list[Any] = field(default_factory=list)
    persistent_keepalive: int | None = None
    session: bool = False
    rx_bytes: int = 0
    staged: list[Any] = field(default_factory=list)

    def status(self) -> dict[str, Any]:
        return {
            "public_key": self.public_key,
            "endpoint": self.endpoint or (("127.0.0.1", 1) if self.session else None),
            "last_handshake": 1.0 if self.session else None,
            "rx_bytes": self.rx_bytes,
            "tx_bytes": 0,
            "persistent_keepalive": self.persistent_keepalive,
            "has_session": self.session,
            "counters": {},
        }


class FakeTunnel:
    """Stands in for ``_core.RootlessTunnel``."""

    opened: ClassVar[list[FakeTunnel]] = []

    def __init__(
        self,
        private_key: Any,
        addresses: Any,
        *,
        listen_port: int = 0,
        listen_address: str | None = None,
        mtu: int = 1420,
        shards: int = 1,
    ) -> None:
        with _lock:
            if listen_port in _by_port:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            self.public_key = private_key.public_key
            self.addresses = [ip_interface(address).ip for address in addresses]
            self.mtu = mtu
            self._port = listen_port or next(_ports)
            _by_port[self._port] = self
            self._pid = os.getpid()
            self._closed = False
            self._events: list[tuple[str, int, object]] = []
            self._wake_receiver, self._wake_sender = socket.socketpair()
            self.peers: dict[Any, FakePeer] = {}
            self.connections: dict[int, FakeConnection] = {}
            self.listeners: dict[int, FakeListener] = {}
            self.sockets: dict[int, FakeDatagrams] = {}
            self.pings: set[int] = set()
            # What a test may take away: whether hosts answer pings and connections at all.
            self.answers = True
            self.drains = 0
            FakeTunnel.opened.append(self)

    # The descriptor and its events.

    @property
    def listen_port(self) -> int:
        self.check()
        return self._port

    def fileno(self) -> int:
        self.check()
        return self._wake_receiver.fileno()

    def events(self) -> list[tuple[str, int, object]]:
        with _lock:
            self.check()
            self.drains += 1
            events, self._events = self._events, []
            if events:
                self._wake_receiver.recv(1)
            return events

    def post(self, kind: str, ident: int, detail: object = None) -> None:
        with _lock:
            if self._closed:
                return
            if not self._events:
                self._wake_sender.send(b"!")
            self._events.append((kind, ident, detail))

    def check(self) -> None:
        if self.closed:
            raise RuntimeError("the tunnel is closed")

    @property
    def closed(self) -> bool:
        return self._closed or os.getpid() != self._pid

    def close(self) -> None:
        with _lock:
            if self.closed:
                return
            for connection in list(self.connections.values()):
                connection.reset(errno.ECONNRESET)
            self._closed = True
            del _by_port[self._port]
            self._wake_receiver.close()
            self._wake_sender.close()
            self.connections.clear()
            self.listeners.clear()
            self.sockets.clear()

    # Peers.

    def add_peer(
        self,
        public_key: Any,
        *,
        preshared_key: Any = None,
        endpoint: tuple[str, int] | None = None,
        allowed_ips: Any = (),
        persistent_keepalive: int | None = None,
        rules: Any = None,
    ) -> None:
        with _lock:
            self.check()
            if public_key == self.public_key:
                raise ValueError("a tunnel cannot be its own peer")
            if endpoint is not None:
                ip_address(endpoint[0])
            networks = [ip_network(text) for text in allowed_ips]
            peer = FakePeer(public_key, preshared_key, endpoint, [], persistent_keepalive)
            self.peers[public_key] = peer
            self._route(peer, networks)
            if persistent_keepalive:
                self.initiate(public_key)

    def update_peer(self, public_key: Any, **changes: Any) -> None:
        with _lock:
            self.check()
            peer = self.peers[public_key]
            if "allowed_ips" in changes:
                self._route(peer, [ip_network(text) for text in changes.pop("allowed_ips")])
            for name, value in changes.items():
                setattr(peer, name, value)

    def remove_peer(self, public_key: Any) -> bool:
        with _lock:
            self.check()
            return self.peers.pop(public_key, None) is not None

    def initiate(self, public_key: Any) -> None:
        with _lock:
            self.check()
            self._session(self.peers[public_key])

    def give_up(self, public_key: Any) -> None:
        """Do what the real core does after 90 s of silence."""
        with _lock:
            self.peers[public_key].staged.clear()
            self.post("gave_up", 0, public_key)

    def end_session(self, public_key: Any) -> None:
        with _lock:
            self.peers[public_key].session = False

    def stop(self, reason: str) -> None:
        """Do what the real core does when its threads cannot go on."""
        self.post("stopped", 0, reason)

    def _route(self, peer: FakePeer, networks: list[Any]) -> None:
        for other in self.peers.values():
            other.allowed_ips = [network for network in other.allowed_ips if network not in networks]
        peer.allowed_ips = networks

    def owner(self, address: str) -> Any:
        with _lock:
            self.check()
            peer = self.owning(ip_address(address))
            return None if peer is None else peer.public_key

    def peer(self, public_key: Any) -> dict[str, Any] | None:
        with _lock:
            self.check()
            peer = self.peers.get(public_key)
            return None if peer is None else peer.status()

    def owning(self, address: Any) -> FakePeer | None:
        found = [
            (network.prefixlen, peer)
            for peer in self.peers.values()
            for network in peer.allowed_ips
            if address in network
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def _session(self, peer: FakePeer) -> FakeTunnel | None:
        """Shake hands if need be; returns the other tunnel if there is a session now."""
        other = _by_port.get(peer.endpoint[1]) if peer.endpoint else None
        if other is None:
            found = [each for each in _by_port.values() if each.public_key == peer.public_key]
            other = found[0] if peer.session and found else None
        back = other.peers.get(self.public_key) if other is not None else None
        if other is None or back is None or other.public_key != peer.public_key:
            return None
        if back.preshared_key != peer.preshared_key:
            return None
        if not peer.session:
            peer.session = back.session = True
            peer.rx_bytes += 92
            back.rx_bytes += 148
            self.post("handshake", 0, peer.public_key)
            other.post("handshake", 0, self.public_key)
            for tunnel, mine in ((self, peer), (other, back)):
                staged, mine.staged = mine.staged, []
                for send in staged:
                    send()
                del tunnel
        return other

    def send(self, destination: Any, deliver: Any) -> None:
        """Call ``deliver(other, source)`` when there is a session with the owner of ``destination``."""
        peer = self.owning(destination)
        if peer is None:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        source = next((own for own in self.addresses if own.version == destination.version), None)
        if source is None:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

        def attempt() -> None:
            other = self._session(peer)
            if other is None:
                peer.staged.append(attempt)
                return
            sender = other.owning(source)
            # WireGuard's cryptokey routing: the source must be the sender's.
            authentic = sender is not None and sender.public_key == self.public_key
            if sender is not None and authentic:
                sender.rx_bytes += 32
            if other.answers and destination in other.addresses and authentic:
                deliver(other, source)

        attempt()

    # What the netstack offers.

    def connect(self, address: str, port: int, local_port: int = 0) -> FakeConnection:
        with _lock:
            self.check()
            destination = ip_address(address)
            connection = FakeConnection(self, (address, port))

            def deliver(other: FakeTunnel, source: Any) -> None:
                if connection.ended:
                    return
                listener = other.listener(destination, port)
                if listener is None:
                    connection.forget()
                    self.post("failed", connection.id, errno.ECONNREFUSED)
                    return
                if len(listener.queue) >= listener.backlog:
                    return
                connection.local = (str(source), local_port or next(_ports))
                far = FakeConnection(other, connection.local)
                far.local = (address, port)
                connection.other, far.other = far, connection
                listener.queue.append(far)
                self.post("connected", connection.id)
                other.post("accepted", listener.id)

            self.connections[connection.id] = connection
            try:
                self.send(destination, deliver)
            except OSError:
                connection.forget()
                raise
            return connection

    def listener(self, address: Any, port: int) -> FakeListener | None:
        for listener in self.listeners.values():
            if listener.port == port and listener.address in {None, str(address)}:
                return listener
        return None

    def listen(self, port: int, address: str | None = None, backlog: int = 128) -> FakeListener:
        with _lock:
            self.check()
            for listener in self.listeners.values():
                if listener.port == port and (address is None or listener.address in {None, address}):
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            made = FakeListener(self, port or next(_ports), address, backlog)
            self.listeners[made.id] = made
            return made

    def bind(self, port: int = 0, address: str | None = None) -> FakeDatagrams:
        with _lock:
            self.check()
            if any(each.local[1] == port for each in self.sockets.values()):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            made = FakeDatagrams(self, (address or str(self.addresses[0]), port or next(_ports)))
            self.sockets[made.id] = made
            return made

    def ping(self, address: str, payload: int = 56) -> int:
        with _lock:
            self.check()
            ident = next(_ids)
            self.pings.add(ident)

            def deliver(other: FakeTunnel, source: Any) -> None:
                if ident in self.pings:
                    self.pings.discard(ident)
                    self.post("pong", ident, ECHO_SECONDS)

            try:
                self.send(ip_address(address), deliver)
            except OSError:
                self.pings.discard(ident)
                raise
            return ident

    def cancel_ping(self, ident: int) -> None:
        with _lock:
            self.check()
            self.pings.discard(ident)

    def stats(self) -> dict[str, Any]:
        with _lock:
            self.check()
            return {
                "counters": {"rx_invalid": 0},
                "peers": [
                    peer.status() | {"allowed_ips": [str(network) for network in peer.allowed_ips]}
                    for peer in self.peers.values()
                ],
                "netstack": {
                    "connections": len(self.connections),
                    "listeners": len(self.listeners),
                    "datagrams": len(self.sockets),
                    "pings": len(self.pings),
                },
            }


class FakeConnection:
    def __init__(self, tunnel: FakeTunnel, peer: tuple[str, int]) -> None:
        self.id = next(_ids)
        self.local = ("", 0)
        self.peer = peer
        self.tunnel = tunnel
        self.other: FakeConnection | None = None
        self.received = bytearray()
        self.eof_received = False
        self.eof_sent = False
        self.closing = False
        self.ended = False
        self.error: int | None = None
        self.awaits_data = True
        self.awaits_room = False
        tunnel.connections[self.id] = self

    def read(self, limit: int) -> bytes | None:
        with _lock:
            self.tunnel.check()
            if self.received:
                data = bytes(self.received[:limit])
                del self.received[:limit]
                self._made_room()
                return data
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            if self.eof_received:
                return b""
            self.awaits_data = True
            return None

    def readinto(self, buffer: Any) -> int | None:
        data = self.read(len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def _made_room(self) -> None:
        other = self.other
        if other is not None and other.awaits_room:
            other.awaits_room = False
            other.tunnel.post("writable", other.id)

    def write(self, data: Any) -> int:
        with _lock:
            self.tunnel.check()
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            if self.ended or self.eof_sent or self.other is None:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            room = BUFFER - len(self.other.received)
            taken = memoryview(data).cast("B")[:room]
            self.other.received += taken
            if taken:
                self.other.notify()
            if len(taken) < len(data):
                self.awaits_room = True
            return len(taken)

    def notify(self) -> None:
        if self.awaits_data:
            self.awaits_data = False
            self.tunnel.post("readable", self.id)

    def write_eof(self) -> None:
        with _lock:
            self.tunnel.check()
            if self.eof_sent or self.other is None:
                return
            self.eof_sent = True
            self.other.eof_received = True
            self.other.notify()
            if self.eof_received:
                self._end(None)
                self.other._end(None)

    def close(self) -> None:
        with _lock:
            self.tunnel.check()
            if self.closing:
                return
            self.closing = True
            self.write_eof()
            # Everything sent is acknowledged at once here, so nothing lingers.
            if not self.ended:
                self.tunnel.post("closed", self.id)
            self.forget()

    def abort(self) -> None:
        with _lock:
            self.tunnel.check()
            if not self.ended or self.closing:
                self.forget()
                if self.other is not None and not self.other.closing:
                    self.other.reset(errno.ECONNRESET)

    def reset(self, code: int) -> None:
        if self.ended and self.error is None and self.closing:
            return
        self.error = code
        self.notify()
        self._end(code)

    def _end(self, code: int | None) -> None:
        if not self.ended:
            self.ended = True
            self.tunnel.post("closed", self.id, code)
            self.tunnel.connections.pop(self.id, None)

    def forget(self) -> None:
        self.ended = True
        self.tunnel.connections.pop(self.id, None)


class FakeListener:
    def __init__(self, tunnel: FakeTunnel, port: int, address: str | None, backlog: int) -> None:
        self.id = next(_ids)
        self.tunnel = tunnel
        self.port = port
        self.address = address
        self.backlog = backlog
        self.queue: deque[FakeConnection] = deque()

    def accept(self) -> FakeConnection | None:
        with _lock:
            self.tunnel.check()
            return self.queue.popleft() if self.queue else None

    def close(self) -> None:
        with _lock:
            self.tunnel.check()
            self.tunnel.listeners.pop(self.id, None)
            for connection in self.queue:
                connection.abort()
            self.queue.clear()


class FakeDatagrams:
    def __init__(self, tunnel: FakeTunnel, local: tuple[str, int]) -> None:
        self.id = next(_ids)
        self.tunnel = tunnel
        self.local = local
        self.received: deque[tuple[bytes, tuple[str, int]]] = deque(maxlen=1024)
        # A test may close the way out: sends are refused until it opens.
        self.blocked = False

    def send(self, data: Any, address: str, port: int) -> bool:
        with _lock:
            self.tunnel.check()
            if len(data) > 65507:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            if self.blocked:
                return False
            copy = bytes(data)

            def deliver(other: FakeTunnel, source: Any) -> None:
                for each in other.sockets.values():
                    if each.local[1] == port:
                        each.received.append((copy, (str(source), self.local[1])))
                        other.post("datagram", each.id)

            self.tunnel.send(ip_address(address), deliver)
            return True

    def unblock(self) -> None:
        with _lock:
            self.blocked = False
            self.tunnel.post("writable", self.id)

    def receive(self) -> tuple[bytes, tuple[str, int]] | None:
        with _lock:
            self.tunnel.check()
            return self.received.popleft() if self.received else None

    def close(self) -> None:
        with _lock:
            self.tunnel.check()
            self.tunnel.sockets.pop(self.id, None)
