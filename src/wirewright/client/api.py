"""Asking the coordinator: requests that are repeated where that is safe, and errors in words.

Answers are as the API describes them (``/openapi.json``), as data of JSON. Each create has an
``Idempotency-Key``, so that one whose answer was lost is asked again without doing it twice.
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx2

from wirewright.client.access import Access, is_loopback
from wirewright.client.errors import (
    AccessError,
    ClientError,
    NobodyListensError,
    RefusedError,
    UnreachableError,
)

Data = dict[str, Any]
ATTEMPTS: Final = 5
PATIENCE: Final = 30.0
"""Seconds."""
_PAUSE: Final = 0.2
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of an answer."""
PAGE: Final = 200
_LATER: Final = frozenset({429, 503})


class Client:
    """A client of one coordinator, for one thread."""

    def __init__(
        self,
        access: Access,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
        patience: float = PATIENCE,
    ) -> None:
        """Prepare; nothing is connected yet.

        ``patience`` is how many seconds a request may take, with all pauses between its ``attempts``.
        ``transport`` takes the place of a connection, for tests.
        """
        self.access = access
        self._attempts, self._patience = attempts, patience
        self._sleep = sleep
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        host = urlsplit(access.url).hostname or ""
        self._http = httpx2.Client(
            base_url=access.url,
            headers=headers,
            timeout=patience,
            verify=_trust(access),
            # Nobody is in the way to this machine, whatever the environment says.
            trust_env=not is_loopback(host),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **query: object) -> Data:
        """Return what is at a path below ``/api/v1``."""
        return self._ask("GET", path, query=query)

    def create(self, path: str, body: Mapping[str, object]) -> Data:
        """Make something, once."""
        return self._ask("POST", path, body=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def enrol(self, body: Mapping[str, object]) -> Data:
        """Use an invitation, which is idempotent by itself."""
        return self._ask("POST", "/enrolment", body=body)

    def act(self, path: str) -> Data:
        """Do what does no harm if it is done twice."""
        return self._ask("POST", path)

    def change(self, path: str, body: Mapping[str, object]) -> Data:
        """Have something differ."""
        return self._ask("PATCH", path, body=body)

    def remove(self, path: str) -> None:
        """Remove something; an attempt whose answer was lost may have done it."""
        try:
            self._ask("DELETE", path)
        except _GoneError:
            return

    def pages(self, path: str, **query: object) -> Iterator[Data]:
        """Yield all that a list has, page by page."""
        after: object = None
        while True:
            page = self.get(path, **query, after=after, limit=PAGE)
            yield from page["items"]
            after = page.get("next")
            if after is None:
                return

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Data:
        asked = {name: str(value) for name, value in (query or {}).items() if value is not None}
        began = time.monotonic()
        lost = False
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            pause = _PAUSE * 2 ** (attempt - 1)
            try:
                return self._once(method, path, asked, body, headers or {})
            except UnreachableError as error:
                if (
                    last
                    or isinstance(error, NobodyListensError)
                    or time.monotonic() + pause - began > self._patience
                ):
                    raise
                lost = True
            except _LaterError as error:
                pause = max(pause, error.after)
                if last or time.monotonic() + pause - began > self._patience:
                    raise RefusedError(error.http_status, error.kind, str(error)) from None
            except RefusedError as error:
                if lost and method == "DELETE" and error.http_status == 404:
                    raise _GoneError from None
                raise
            self._sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, object] | None,
        headers: Mapping[str, str],
    ) -> Data:
        url = f"/api/v1{path}"
        try:
            with self._http.stream(method, url, params=query, json=body, headers=headers) as answer:
                content = _bounded(answer)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        if answer.status_code == 204:
            return {}
        data = _data(content)
        if answer.is_success and data is not None:
            return data
        raise self._refusal(answer, data)

    def _refusal(self, answer: httpx2.Response, data: Data | None) -> ClientError:
        status = answer.status_code
        detail = data.get("detail") if data else None
        if data is None or not isinstance(detail, str):
            return ClientError(
                f"{self.access.url} answered with {status}, as no coordinator does: is it the right URL?"
            )
        kind = str(data.get("type", "")).rpartition(":")[2]
        detail = _one_line(detail)
        after = answer.headers.get("Retry-After", "")
        if status in _LATER:
            return _LaterError(status, kind, detail, float(after) if after.isdecimal() else 0.0)
        return RefusedError(status, kind, detail)

    def _unreachable(self, error: httpx2.HTTPError) -> UnreachableError:
        where = self.access.url
        if isinstance(error, httpx2.TimeoutException):
            return UnreachableError(f"{where} did not answer within {self._patience:g} s.")
        cause: BaseException = error
        while (deeper := cause.__cause__ or cause.__context__) is not None:
            cause = deeper
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnreachableError(
                f"{where} shows a certificate that is not trusted: {cause.verify_message}. If it is the "
                "right one, name the file of the certificate that it was signed with: --ca-file."
            )
        if isinstance(cause, ConnectionRefusedError):
            return NobodyListensError(
                f"Nobody listens at {where}: start the coordinator (ww serve), or name another with --url."
            )
        words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
        return UnreachableError(f"{where} cannot be reached: {_one_line(words)}.")


class _LaterError(RefusedError):
    """Refused for now."""

    def __init__(self, status: int, kind: str, detail: str, after: float) -> None:
        super().__init__(status, kind, detail)
        self.after = after


class _GoneError(Exception):
    """What was to be removed is not there, and may have been removed by the attempt before."""


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def _trust(access: Access) -> ssl.SSLContext:
    if access.certificates is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(access.certificates))
    except ssl.SSLError:
        raise AccessError(f"{access.certificates} holds no certificates in the form PEM.") from None


def _bounded(answer: httpx2.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > LARGEST:
            raise ClientError(f"The answer has more than {LARGEST >> 20} MiB.")
        pieces.append(piece)
    return b"".join(pieces)


def _data(content: bytes) -> Data | None:
    try:
        data = json.loads(content)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _one_line(text: str) -> str:
    """Return what another machine said, fit for a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:500]
