"""Leases that a coordinator keeps: a `LeaseStore` over any `Ledger`, of which one is the coordinator's API.

A ledger numbers what it is told. Each change names the number that it was decided on, and has a name of its
own, under which it can be sent again. So an answer that was lost is cured by asking again; one that stays
lost leaves it unknown whether the change is kept, and then the server reads everything anew before it
decides something else.

While the coordinator is away, every client that asks is told so. What they have on lease they keep until it
ends.
"""

from __future__ import annotations

import asyncio
import errno
import json
import random
import time
import uuid
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx2

from wirewright.dynamic import (
    AddressTakenError,
    Change,
    Lease,
    Quarantine,
    Records,
    StoreError,
    Succession,
)
from wirewright.dynamic.records import UnsureError
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

PIECE: Final = 200
"""Clients, addresses and keys that one request is about, each."""
ATTEMPTS: Final = 3
"""How often one change is sent."""
PATIENCE: Final = 3.0
"""Seconds for an answer to a change. A client of wg-dynamic waits for 30 s in all, others behind it."""
READING: Final = 30.0
"""Seconds for all that is kept."""
REST: Final = 2.0
"""Seconds after a failure in which it is not tried again: who asks is told at once."""
LARGEST: Final = 64 << 20
"""Bytes of an answer. All that a gateway may have on lease is less than half of that."""
_PATH: Final = "/api/v1/gateways/self/leases"
_STRANGE: Final = "what answers is no coordinator of ours"
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


class Ledger(Protocol):
    """What keeps the leases of one gateway. Times are seconds since 1970 by the clock of who asks."""

    async def load(self) -> tuple[int, Records]:
        """Give the version and all that is kept. Raises StoreError."""
        ...

    async def commit(self, change: Change, version: int, name: str) -> int:
        """Keep a change that was decided on a version, and give the next one; again the same, if it has.

        Raises AddressTakenError, or StoreError where nothing was kept, or UnsureError.
        """
        ...


class LedgerStore:
    """A :class:`~wirewright.dynamic.LeaseStore` over a ledger. Commits come one at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._version = 0

    async def load(self) -> Records:
        """Give all that is kept. Raises StoreError."""
        self._version, records = await self._ledger.load()
        return records

    async def commit(self, change: Change) -> None:
        """Keep a change. Raises StoreError, perhaps an UnsureError, or AddressTakenError."""
        for number, piece in enumerate(pieces(change)):
            try:
                self._version = await self._ledger.commit(piece, self._version, str(uuid.uuid4()))
            except StoreError as error:
                if number:
                    raise UnsureError(error.errno or errno.EIO, error.strerror or str(error)) from None
                raise


def pieces(change: Change) -> Iterator[Change]:
    """Divide what many clients lose at once, such as after a long sleep; other changes are never as large.

    Each piece is true by itself: a client's lease ends together with the quarantine of its addresses.
    """
    if max(map(len, (change.ended, change.quarantined, change.freed, change.forgotten))) <= PIECE:
        yield change
        return
    first = replace(change, ended=(), quarantined=(), freed=(), forgotten=())
    if first:
        yield first
    for start in range(0, len(change.ended), PIECE // 2):
        ended = change.ended[start : start + PIECE // 2]
        yield Change(ended=ended, quarantined=tuple(each for each in change.quarantined if each.key in ended))
    alone = [each for each in change.quarantined if each.key not in set(change.ended)]
    longest = max(len(alone), len(change.freed), len(change.forgotten))
    for start in range(0, longest, PIECE):
        part = slice(start, start + PIECE)
        yield Change(
            quarantined=tuple(alone[part]), freed=change.freed[part], forgotten=change.forgotten[part]
        )


class ApiLedger:
    """The ledger behind a coordinator's API."""

    def __init__(
        self, client: Callable[[], AbstractAsyncContextManager[httpx2.AsyncClient]], wall: Callable[[], int]
    ) -> None:
        """``client`` gives one whose base is the coordinator's address, and that sends the credential.

        It may raise OSError. ``wall`` gives seconds since 1970, by the clock of the server of leases.
        """
        self._client = client
        self._wall = wall
        self._rests_until = 0.0
        self._why = ""

    async def load(self) -> tuple[int, Records]:
        """Give the version and all that is kept."""
        self._be_awake()
        try:
            status, answer = await self._once("GET", None, READING)
        except _AwayError as away:
            raise self._rest(StoreError, str(away)) from None
        if status != 200:
            raise _refusal(status, answer)
        try:
            return _number(answer["version"]), _records(answer, self._wall())
        except (KeyError, TypeError, ValueError):
            raise StoreError(errno.EPROTO, _STRANGE) from None

    async def commit(self, change: Change, version: int, name: str) -> int:
        """Keep a change."""
        self._be_awake()
        doubt, why, pause = False, "", 0.1
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause *= 3
            # Times pass while it is tried.
            body = {"version": version, "change": name, **_told(change, self._wall())}
            try:
                status, answer = await self._once("POST", body, PATIENCE)
            except _AwayError as away:
                doubt, why = doubt or away.sent, str(away)
                continue
            if status not in _PASSING:
                return _next_version(status, answer, doubt=doubt)
            doubt, why = True, _detail(status, answer)
        raise self._rest(UnsureError if doubt else StoreError, why)

    async def _once(self, method: str, body: dict[str, Any] | None, patience: float) -> tuple[int, Any]:
        """Ask once; give the status and the JSON that came."""
        try:
            async with (
                asyncio.timeout(patience),
                self._client() as client,
                client.stream(method, _PATH, json=body) as response,
            ):
                return response.status_code, _json(await _bounded(response))
        except (httpx2.HTTPError, TimeoutError) as error:
            before = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise _AwayError(error, sent=not before) from None
        except OSError as error:
            # Such as that of a credential which cannot be read: nothing was sent.
            raise StoreError(error.errno or errno.EIO, error.strerror or str(error)) from None

    def _be_awake(self) -> None:
        if time.monotonic() < self._rests_until:
            raise StoreError(errno.EHOSTUNREACH, self._why)

    def _rest(self, kind: type[StoreError], why: str) -> StoreError:
        self._rests_until = time.monotonic() + REST
        self._why = why
        return kind(errno.EHOSTUNREACH, why)


class _AwayError(Exception):
    """Nobody answered; ``sent`` says whether the request may have come there."""

    def __init__(self, error: Exception, *, sent: bool) -> None:
        super().__init__(f"the coordinator is away: {str(error) or type(error).__name__}")
        self.sent = sent


def _next_version(status: int, answer: Any, *, doubt: bool) -> int:  # noqa: ANN401 - any JSON
    """Read the answer to a change. With ``doubt``, one that was sent before may yet be kept."""
    if status == 200:
        try:
            return _number(answer["version"])
        except (KeyError, TypeError, ValueError):
            raise UnsureError(errno.EPROTO, _STRANGE) from None
    refusal = _refusal(status, answer)
    raise UnsureError(errno.EAGAIN, str(refusal)) if doubt else refusal


async def _bounded(response: httpx2.Response) -> bytes:
    text = bytearray()
    async for piece in response.aiter_bytes():
        text += piece
        if len(text) > LARGEST:
            raise httpx2.DecodingError(f"an answer of more than {LARGEST} bytes")
    return bytes(text)


def _json(text: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refusal(status: int, answer: Any) -> StoreError | AddressTakenError:  # noqa: ANN401 - any JSON
    """Say what a refusal means: nothing was kept."""
    kind = str(answer.get("type", "")).rpartition(":")[2] if isinstance(answer, dict) else ""
    words = _detail(status, answer)
    if status == 409 and kind == "address-taken":
        try:
            return AddressTakenError(tuple(ip_address(str(each)) for each in answer["addresses"]))
        except (KeyError, TypeError, ValueError):
            return StoreError(errno.EPROTO, words)
    if status == 409 and kind == "stale":
        return UnsureError(errno.ESTALE, words)
    numbers = {401: errno.EACCES, 403: errno.EACCES, 507: errno.ENOSPC}
    return StoreError(numbers.get(status, errno.EINVAL), words)


def _detail(status: int, answer: Any) -> str:  # noqa: ANN401 - any JSON
    detail = answer.get("detail") if isinstance(answer, dict) else None
    return f"the coordinator says: {str(detail)[:200]}" if detail else f"the coordinator answered {status}"


def _told(change: Change, now: int) -> dict[str, Any]:
    """Write a change as the API has it, at a time."""
    return {
        "leases": [
            {
                "public_key": str(each.key),
                "ipv4": None if each.ipv4 is None else str(each.ipv4),
                "ipv6": None if each.ipv6 is None else str(each.ipv6),
                "age": max(0, now - each.start),
                "duration": each.duration,
            }
            for each in change.leases
        ],
        "ended": [str(key) for key in change.ended],
        "quarantined": [
            {
                "address": str(each.address),
                "public_key": str(each.key),
                "remaining": max(0, each.until - now),
            }
            for each in change.quarantined
        ],
        "freed": [str(address) for address in change.freed],
        "successions": [
            {
                "old": str(each.old),
                "new": str(each.new),
                "remaining": None if each.until is None else max(0, each.until - now),
            }
            for each in change.successions
        ],
        "forgotten": [str(key) for key in change.forgotten],
    }


def _records(answer: dict[str, Any], now: int) -> Records:
    """Read all that is kept. Raises KeyError, TypeError or ValueError for what it cannot be."""
    records = Records()
    for each in answer["leases"]:
        key = PublicKey.from_base64(each["public_key"])
        records.leases[key] = Lease(
            key,
            None if each["ipv4"] is None else IPv4Address(each["ipv4"]),
            None if each["ipv6"] is None else IPv6Address(each["ipv6"]),
            now - _number(each["age"]),
            _number(each["duration"]),
        )
    for each in answer["quarantined"]:
        address, key = ip_address(each["address"]), PublicKey.from_base64(each["public_key"])
        records.quarantined[address] = Quarantine(address, key, now + _number(each["remaining"]))
    for each in answer["successions"]:
        old, new = PublicKey.from_base64(each["old"]), PublicKey.from_base64(each["new"])
        until = None if each["remaining"] is None else now + _number(each["remaining"])
        records.successions[old] = Succession(old, new, until)
    return records


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("not a whole number")
    return value
