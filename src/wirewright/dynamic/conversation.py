r"""A connection as the server sees it: bytes in, requests out, and until when the next one must be there.

    reading --a whole request--> reading (for the next one)
       |  \--what is no request--> ended, with an answer that says so
       |--silence, or too slow---> ended
       |--``LIFE``, or MAX_REQUESTS answers--> ended
       '--the client's end-------> ended

A client may ask several times over one connection. Each request must be whole within ``PATIENCE`` seconds
of the connection's begin, or of the answer before; bytes in between do not prolong that. So whoever stalls
holds one of the server's few places for that long, and not longer; and whoever asks all the time holds it for
``LIFE`` seconds or ``MAX_REQUESTS`` answers, whichever comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wirewright.dynamic.lines import ProtocolError, Reader
from wirewright.dynamic.messages import Code, RequestError, parse_request

if TYPE_CHECKING:
    from wirewright.dynamic.messages import Request

PATIENCE: Final = 30.0
"""Seconds; upstream's client waits as long for an answer."""
LIFE: Final = 60.0
"""Seconds of a connection in all."""
MAX_REQUESTS: Final = 16
"""Of a connection in all; clients need one or two."""


class Conversation:
    """One connection. Time is monotonic, in seconds."""

    def __init__(self, now: float) -> None:
        self._reader = Reader()
        self._begun = self._asked_last = now
        self._answers = 0

    @property
    def deadline(self) -> float:
        """When the next request must be there."""
        return min(self._asked_last + PATIENCE, self._begun + LIFE)

    def receive(self, data: bytes) -> list[Request | RequestError]:
        """Take bytes and give what they ask. A RequestError is the last: the connection ends with it."""
        found: list[Request | RequestError] = []
        try:
            for message in self._reader.feed(data):
                found.append(parse_request(message))  # noqa: PERF401 - those before a wrong one are answered
        except RequestError as error:
            found.append(error)
        except ProtocolError as error:
            found.append(RequestError(str(error), Code.INVALID))
        return found

    def answered(self, now: float) -> None:
        """Wait for the next request."""
        self._asked_last = now
        self._answers += 1

    def is_over(self, now: float) -> bool:
        """Whether there is to be no other request: others want the place."""
        return self._answers >= MAX_REQUESTS or now >= self._begun + LIFE
