"""A server that keeps its leases in a list, in the dialect of the "document" or of the C "program".

As a program: ``server.py INTERFACE DIALECT [SETTING=VALUE...]``. It writes ``ready``, and then each request
as one line of JSON. The settings make it misbehave as servers may.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
import time
from dataclasses import dataclass, field

if __package__:
    from .lines import EndedError, MalformedError, Pairs, Stream, number, text
else:
    from lines import EndedError, MalformedError, Pairs, Stream, number, text  # type: ignore[import-not-found,no-redef]

PORT = 970


@dataclass
class Server:
    """One server: the addresses it has, and to whom it gave them."""

    dialect: str
    pool: list[str] = field(default_factory=lambda: ["10.99.0.2", "10.99.0.3", "fd99::2", "fd99::3"])
    leasetime: int = 3600
    lengths: tuple[int, int] = (32, 128)
    """Prefix lengths in answers; others than these are a fault."""
    skew: int = 0
    """Seconds by which its clock is ahead."""
    refusals: int = 0
    """Requests that it refuses before it answers any."""
    leases: dict[str, set[str]] = field(default_factory=dict)
    requests: list[Pairs] = field(default_factory=list)

    def serve(self, connection: socket.socket, client: str) -> None:
        """Answer one connection to its end."""
        stream = Stream(connection)
        try:
            while True:
                request = stream.receive()
                self.requests.append(request)
                connection.sendall(text(self.answer(client, request)))
        except (EndedError, ConnectionResetError):
            return
        except MalformedError as error:
            connection.sendall(text([("errno", "1"), ("errmsg", str(error)[:255])]))

    def answer(self, client: str, request: Pairs) -> Pairs:
        command, version = request[0]
        if command != "request_ip" or number(version) != 1:
            return [("errno", "2"), ("errmsg", "Unsupported protocol")]
        if self.refusals:
            self.refusals -= 1
            head = [("request_ip", "1")] if self.dialect == "document" else []
            return [*head, ("errno", "1"), ("errmsg", "not now")]
        return (
            self._document(client, request[1:])
            if self.dialect == "document"
            else self._program(client, request[1:])
        )

    def _document(self, client: str, attributes: Pairs) -> Pairs:
        wanted = dict(attributes)
        held = self.leases.setdefault(client, set())
        pairs: Pairs = [("request_ip", "1")]
        for version, name in ((4, "ipv4"), (6, "ipv6")):
            value = wanted.get(name)
            if value == "":
                self._release(held, version)
                continue
            granted = self._grant(
                held, version, None if value is None else value.partition("/")[0], other=True
            )
            if granted:
                pairs.append((name, f"{granted}/{self.lengths[version == 6]}"))
        return [*pairs, *self._times(len(pairs) > 1), ("errno", "0")]

    def _program(self, client: str, attributes: Pairs) -> Pairs:
        wanted = {
            6 if ":" in value else 4: value.partition("/")[0] for key, value in attributes if key == "ip"
        }
        held = self.leases.setdefault(client, set())
        pairs: Pairs = []
        missed = False
        for version in (4, 6):
            if version not in wanted:
                self._release(held, version)
                continue
            value = None if ipaddress.ip_address(wanted[version]).is_unspecified else wanted[version]
            granted = self._grant(held, version, value, other=False)
            missed = missed or granted is None
            if granted:
                pairs.append(("ip", f"{granted}/{self.lengths[version == 6]}"))
        more: Pairs = [("errno", "3"), ("errmsg", "Chosen IP(s) unavailable")] if missed else [("errno", "0")]
        return [*pairs, *self._times(bool(pairs)), *more]

    def _grant(self, held: set[str], version: int, wanted: str | None, *, other: bool) -> str | None:
        if wanted in held:
            return wanted
        before = {each for each in held if version_of(each) == version}
        free = [
            each
            for each in self.pool
            if version_of(each) == version and not any(each in taken for taken in self.leases.values())
        ]
        chosen = wanted if wanted in free else (free[0] if free and (other or wanted is None) else None)
        if chosen is None and other:
            return min(before, default=None)
        held -= before
        if chosen is not None:
            held.add(chosen)
        return chosen

    def _release(self, held: set[str], version: int) -> None:
        held -= {each for each in held if version_of(each) == version}

    def _times(self, any_lease: bool) -> Pairs:
        if not any_lease:
            return []
        return [("leasestart", str(int(time.time()) + self.skew)), ("leasetime", str(self.leasetime))]


def version_of(address: str) -> int:
    return 6 if ":" in address else 4


def main(interface: str, dialect: str, *settings: str) -> None:
    server = Server(dialect)
    for name, value in (setting.split("=") for setting in settings):
        setattr(server, name, [int(v) for v in value.split(",")] if name == "lengths" else int(value))
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("fe80::", PORT, 0, socket.if_nametoindex(interface)))
        listener.listen()
        print("ready", flush=True)  # noqa: T201
        while True:
            connection, (client, port, *_) = listener.accept()
            with connection:
                if port == PORT:
                    server.serve(connection, client.partition("%")[0])
            print(json.dumps(server.requests), flush=True)  # noqa: T201
            server.requests.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
