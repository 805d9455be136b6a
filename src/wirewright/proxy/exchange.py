"""The requests of one client of an HTTP proxy, one behind the other, without I/O.

Both sides are parsed and written anew by h11, so that no byte that one side would read otherwise than the
other gets through: the client's is a server connection of h11, the origin's a client connection.

    idle --head of a request--> connecting --connected--> exchanging --both messages whole--> idle
    idle --CONNECT--> connecting --connected--> switched (nothing is parsed any more)
    any state --a mistake, an origin that cannot be reached--> answered by us, over

An origin is kept between requests only while it is silent. What it says unasked (a 408, or worse) would be
taken for the answer to the next request, which may be for somebody else: it is dropped with its connection.

Bytes of either side, and whether a connection was made, come in; actions go out. While `reading_client` is
false, the client is not to be read: what it sends early waits in its socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from wirewright.proxy.http_heads import (
    HeadError,
    Target,
    absolute_target,
    connect_target,
    header,
    request_headers,
    response_headers,
)

if TYPE_CHECKING:
    from wirewright.proxy.credentials import Credentials

# Of a head; beyond it the client is answered 431, an origin's answer is lost.
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to an origin; answer with `connected` or `unreachable`."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ToOrigin:
    """Send to the origin."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseOrigin:
    """Close the connection to the origin."""


@dataclass(frozen=True, slots=True)
class CloseClient:
    """Close the client's connection behind what was sent; reset it if its answer was ``cut``."""

    cut: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """Relay both connections from now on; ``rest`` is the first for the origin."""

    rest: bytes


Action = Connect | ToClient | ToOrigin | CloseOrigin | CloseClient | Switch


class Exchange:
    """One client's connection."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """Ask for these credentials with every request, or for none."""
        self.unauthorised = False
        self.malformed = False
        self._credentials = credentials
        self._client = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._origin: h11.Connection | None = None
        self._where: tuple[str, int] | None = None
        # The request that waits for its connection; None is CONNECT's.
        self._waiting: h11.Request | None = None
        self._connecting = False
        self._over = False
        self._version = b"1.1"
        self._method = b""
        self._actions: list[Action] = []

    @property
    def idle(self) -> bool:
        """Whether a request, or the rest of its head, is awaited."""
        return not (self._connecting or self._over) and self._client.their_state is h11.IDLE

    @property
    def switching(self) -> bool:
        """Whether the connection that is awaited is CONNECT's."""
        return self._connecting and self._waiting is None

    @property
    def reading_client(self) -> bool:
        """Whether bytes of the client are of use now."""
        return not (self._connecting or self._over) and self._client.their_state in {h11.IDLE, h11.SEND_BODY}

    def from_client(self, data: bytes) -> list[Action]:
        """Take what the client sent; nothing is its end."""
        if not self._over:
            self._client.receive_data(data)
            self._pump_client()
        return self._take()

    def from_origin(self, data: bytes) -> list[Action]:
        """Take what the origin sent; nothing is its end."""
        if self._origin is not None and not self._over:
            if self._origin.their_state is h11.IDLE:
                # Nothing was asked: h11 would take an answer all the same.
                self._close_origin()
                return self._take()
            try:
                self._origin.receive_data(data)
                self._pump_origin(self._origin)
            except (h11.RemoteProtocolError, HeadError) as error:
                self._fail_origin(f"The answer of the origin cannot be understood: {error}.")
        return self._take()

    def origin_lost(self) -> list[Action]:
        """Take notice that the origin's connection was reset."""
        if self._origin is not None and not self._over:
            self._fail_origin("The connection to the origin was lost.")
        return self._take()

    def connected(self) -> list[Action]:
        """Go on: the connection to the origin is there."""
        self._connecting = False
        if self._waiting is None:
            answer = h11.Response(status_code=200, headers=[], reason=b"Connection established")
            self._to_client(answer)
            rest, _ = self._client.trailing_data
            self._over = True
            self._actions.append(Switch(rest))
        else:
            self._origin = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
            request, self._waiting = self._waiting, None
            self._to_origin(request)
            self._pump_client()
        return self._take()

    def unreachable(self, error: OSError) -> list[Action]:
        """Tell the client why there is no connection to the origin."""
        self._connecting = False
        late = isinstance(error, TimeoutError)
        self._refuse(HTTPStatus.GATEWAY_TIMEOUT if late else HTTPStatus.BAD_GATEWAY, f"{error}")
        return self._take()

    # The client's side.

    def _pump_client(self) -> None:
        while not (self._connecting or self._over):
            try:
                event = self._client.next_event()
                match event:
                    case h11.Request():
                        self._begin(event)
                    case h11.Data():
                        self._to_origin(h11.Data(data=event.data))
                    case h11.EndOfMessage():
                        # Trailers are of no use to anybody whom we let know of them: TE is dropped.
                        self._to_origin(h11.EndOfMessage())
                    case h11.ConnectionClosed():
                        self._end()
                    case _:
                        return
            except h11.RemoteProtocolError as error:
                self.malformed = True
                self._refuse(error.error_status_hint, f"{error}")
            except HeadError as error:
                self.malformed = True
                self._refuse(error.status, f"{error}")

    def _begin(self, request: h11.Request) -> None:
        self._version, self._method = request.http_version, request.method
        if self._credentials is not None:
            given = header(request.headers, b"proxy-authorization")
            if not self._credentials.match_basic(given):
                self.unauthorised = True
                challenge = (b"Proxy-Authenticate", b'Basic realm="wirewright", charset="UTF-8"')
                self._refuse(
                    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
                    "This proxy wants a user name and a password.",
                    challenge,
                )
                return
        if request.method == b"CONNECT":
            target = connect_target(request)
            self._waiting = None
            self._connect(target)
            # CONNECT has no body: this ends the message, and what follows is the tunnel's.
            self._client.next_event()
            return
        target = absolute_target(request.method, request.target)
        passed_on = h11.Request(
            method=request.method,
            target=target.path,
            headers=request_headers(request.headers, target.authority, request.http_version),
        )
        if self._origin is not None and self._where == (target.host, target.port):
            self._to_origin(passed_on)
            return
        self._close_origin()
        self._waiting = passed_on
        self._connect(target)

    def _connect(self, target: Target) -> None:
        self._connecting = True
        self._where = (target.host, target.port)
        self._actions.append(Connect(*self._where))

    # The origin's side.

    def _pump_origin(self, origin: h11.Connection) -> None:
        while not self._over and self._origin is origin:
            match event := origin.next_event():
                case h11.InformationalResponse():
                    self._informed(event)
                case h11.Response():
                    headers = response_headers(event.headers, event.http_version)
                    self._to_client(
                        h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
                    )
                case h11.Data():
                    self._to_client(h11.Data(data=event.data))
                case h11.EndOfMessage():
                    self._to_client(h11.EndOfMessage())
                    self._finish(origin)
                case h11.ConnectionClosed():
                    self._close_origin()
                case _:
                    return

    def _informed(self, event: h11.InformationalResponse) -> None:
        if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            raise h11.RemoteProtocolError("it switches protocols, which nobody asked for")
        if self._version != b"1.0":
            headers = response_headers(event.headers, event.http_version)
            self._to_client(
                h11.InformationalResponse(status_code=event.status_code, headers=headers, reason=event.reason)
            )

    def _finish(self, origin: h11.Connection) -> None:
        whole = origin.our_state is h11.DONE and origin.their_state is h11.DONE
        if whole and origin.trailing_data == (b"", False):
            origin.start_next_cycle()
        else:
            self._close_origin()
        if self._client.our_state is h11.DONE and self._client.their_state is h11.DONE:
            self._client.start_next_cycle()
            self._pump_client()
        else:
            self._end()

    def _fail_origin(self, text: str) -> None:
        self._close_origin()
        if self._client.our_state is h11.SEND_RESPONSE:
            self._refuse(HTTPStatus.BAD_GATEWAY, text)
        elif self._client.our_state is h11.SEND_BODY:
            self._end(cut=True)

    # Both.

    def _refuse(self, status: int, text: str, *extra: tuple[bytes, bytes]) -> None:
        self._close_origin()
        if self._client.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self._end(cut=True)
            return
        body = f"{text}\n".encode()
        headers = [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
            *extra,
        ]
        reason = HTTPStatus(status).phrase.encode()
        self._to_client(h11.Response(status_code=status, headers=headers, reason=reason))
        if self._method != b"HEAD":
            self._to_client(h11.Data(data=body))
        self._to_client(h11.EndOfMessage())
        self._end()

    def _end(self, *, cut: bool = False) -> None:
        self._close_origin()
        self._over = True
        self._actions.append(CloseClient(cut))

    def _close_origin(self) -> None:
        if self._origin is not None:
            self._origin = None
            self._actions.append(CloseOrigin())
        self._where = None

    def _to_client(self, event: h11.Event) -> None:
        if data := self._client.send(event):
            self._actions.append(ToClient(data))

    def _to_origin(self, event: h11.Event) -> None:
        if self._origin is not None and (data := self._origin.send(event)):
            self._actions.append(ToOrigin(data))

    def _take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
