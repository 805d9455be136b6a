"""A client of the one or the other dialect, which judges what a server answers.

As a program: ``client.py INTERFACE SOURCE LINE...`` sends the lines as one request from the link-local
address SOURCE; ``--`` between lines begins another request on the same connection. It writes the answers as
JSON.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from dataclasses import dataclass

if __package__:
    from .lines import EndedError, MalformedError, Pairs, Stream, number
else:
    from lines import EndedError, MalformedError, Pairs, Stream, number  # type: ignore[import-not-found,no-redef]

PORT = 970
SERVER = "fe80::"


@dataclass
class Answer:
    """What a server said."""

    errno: int
    ipv4: str | None = None
    ipv6: str | None = None
    leasestart: int | None = None
    leasetime: int | None = None
    errmsg: str | None = None
    unknown: tuple[tuple[str, str], ...] = ()


def document(ipv4: str | None = None, ipv6: str | None = None) -> Pairs:
    """A request as the document has it; None is any address, "" none."""
    wanted = [(key, value) for key, value in (("ipv4", ipv4), ("ipv6", ipv6)) if value is not None]
    return [("request_ip", "1"), *wanted]


def program(*addresses: str) -> Pairs:
    """A request as the C program sends it."""
    wanted = [("ip", address) for address in addresses]
    return [("request_ip", "1"), *wanted, ("leasestart", "0"), ("leasetime", "0")]


def judge_document(pairs: Pairs) -> Answer:
    """Read an answer to a request of the document's dialect."""
    if pairs[:1] != [("request_ip", "1")]:
        raise MalformedError(f"an answer begins with the command: {pairs}")
    return _judge(pairs[1:], {"ipv4": ("ipv4", 32), "ipv6": ("ipv6", 128)})


def judge_program(pairs: Pairs) -> Answer:
    """Read an answer as the C program does, which knows no command in it."""
    if any(key in {"request_ip", "register_key"} for key, _ in pairs):
        raise MalformedError(f"a command stands in the answer: {pairs}")
    return _judge(pairs, {})


def _judge(pairs: Pairs, names: dict[str, tuple[str, int]]) -> Answer:
    found: dict[str, str] = {}
    unknown = []
    for key, value in pairs:
        name, length = names.get(key, (key, 0))
        if key == "ip" and not names:
            name, length = ("ipv6", 128) if ":" in value else ("ipv4", 32)
        elif key not in {"errno", "errmsg", "leasestart", "leasetime"} and key not in names:
            unknown.append((key, value))
            continue
        if name in found:
            raise MalformedError(f"{name} twice: {pairs}")
        if length:
            network = ipaddress.ip_network(value, strict=True)
            if f"/{length}" not in value or network.prefixlen != length:
                raise MalformedError(f"not one address: {value}")
        found[name] = value
    answer = Answer(number(found.pop("errno")), unknown=tuple(unknown))
    answer.ipv4, answer.ipv6 = found.pop("ipv4", None), found.pop("ipv6", None)
    answer.errmsg = found.pop("errmsg", None)
    if answer.errmsg is not None and len(answer.errmsg) > 255:
        raise MalformedError("errmsg of more than 255 bytes")
    for name in ("leasestart", "leasetime"):
        if name in found:
            setattr(answer, name, number(found[name]))
    if (answer.ipv4 or answer.ipv6) and (answer.leasestart is None or answer.leasetime is None):
        raise MalformedError(f"a lease without its times: {pairs}")
    return answer


def connect(interface: str, source: str, port: int = PORT, seconds: float = 20) -> socket.socket:
    """Connect to the server behind an interface, from the port that is the protocol's."""
    index = socket.if_nametoindex(interface)
    connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.settimeout(seconds)
    connection.bind((source, port, 0, index))
    connection.connect((SERVER, PORT, 0, index))
    return connection


def main(interface: str, source: str, *words: str) -> None:
    port = PORT
    if words[:1] == ("--unprivileged",):
        port, words = 0, words[1:]
    requests: list[Pairs] = [[]]
    for word in words:
        if word == "--":
            requests.append([])
        else:
            key, _, value = word.partition("=")
            requests[-1].append((key, value))
    answers: list[object] = []
    try:
        with connect(interface, source, port) as connection:
            stream = Stream(connection)
            for request in requests:
                stream.send(request)
                answers.append(stream.receive())
    except (EndedError, OSError) as error:
        answers.append({"ended": type(error).__name__})
    print(json.dumps(answers))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
