"""The coordinator over HTTP: a stream of what the gateway is to be, and a place for reports.

The gateway proves itself with a credential, which stands in a file and is read again for each connection: a
new one takes effect without a restart. Such a secret goes over TLS, or stays on this machine.

What devices are told to speak to is the key of whoever serves them. So it is told with the first report of a
connection, which comes when the engine has begun: a second gateway that cannot begin takes nothing from the
one that runs, and that one finds out if another took its place.
"""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx2

from wirewright.gateway.instructions import InstructionError, instruction_from_json
from wirewright.host.exposure import is_exposed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

    from wirewright.gateway.instructions import Instruction
    from wirewright.gateway.reporting import DeviceReport
    from wirewright.keys import PublicKey

API: Final = "/api/v1/gateways/self"
SILENCE: Final = 30.0
"""Seconds without a byte after which a connection is dead: the coordinator is never silent for so long."""
PATIENCE: Final = 10.0
"""Seconds for a connection, and for what is sent."""
LOOK: Final = 60.0
"""Seconds between two looks whether devices are still told the key of this gateway."""
LONGEST_CREDENTIAL: Final = 4096
LONGEST_EVENT: Final = 256 << 20
"""Bytes. A state has about 300 for each device."""
LONGEST_ANSWER: Final = 65_536
"""Bytes of any other answer."""


class CoordinatorError(OSError):
    """The coordinator cannot be reached, or does not do it; the text is for a person."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EIO, text)


class HttpSource:
    """A :class:`~wirewright.gateway.instructions.Source` over HTTP; its ``report`` takes reports.

    ValueError: the URL is none, or the credential would go to another machine unencrypted.
    """

    def __init__(
        self, url: str, credential_file: Path, public_key: PublicKey, *, ca_file: Path | None = None
    ) -> None:
        """``ca_file`` has certificates, in PEM, that are trusted rather than those of the system.

        The gateway's public key is told to the coordinator, and by it to devices.
        """
        self._url = checked(url)
        self._credential_file = credential_file
        self._public_key = public_key
        self._ca_file = ca_file
        self._trust: ssl.SSLContext | None = None
        self._looked: float | None = None
        """When the coordinator was last found to have the key; None since a connection began."""

    async def follow(
        self, after: int | None = None, log: str | None = None
    ) -> AsyncGenerator[Instruction | None]:
        """Yield what is to be. Raises CoordinatorError, and OSError where a file cannot be read."""
        self._looked = None
        async with self.client() as client:
            parameters = {"after": after, "log": log}
            asked = {name: value for name, value in parameters.items() if value is not None}
            with _in_words(self._url):
                async with client.stream("GET", f"{API}/stream", params=asked) as answer:
                    await _check(answer, self._credential_file)
                    yield None
                    async for event in httpx2.EventSource(answer, LONGEST_EVENT):
                        yield await _understood(event)

    async def report(self, reports: Sequence[DeviceReport]) -> None:
        """Report what changed, and at first which key serves. Raises CoordinatorError."""
        devices = [
            {
                "id": report.device_id,
                "received": report.received,
                "sent": report.sent,
                "latest_handshake": _moment(report.latest_handshake),
                "endpoint": report.endpoint,
            }
            for report in reports
        ]
        async with self.client() as client:
            if self._looked is None or time.monotonic() >= self._looked + LOOK:
                await self._introduce(client)
            await self._ask(client, "POST", f"{API}/report", {"devices": devices})

    async def _introduce(self, client: httpx2.AsyncClient) -> None:
        """See to it that devices are told the key that this gateway has."""
        key = str(self._public_key)
        if (await self._ask(client, "GET", API)).get("public_key") != key:
            if self._looked is not None:
                raise CoordinatorError(
                    "another gateway has begun with this credential, and devices are told its key: end one "
                    "of the two, and start the other again"
                )
            await self._ask(client, "PUT", f"{API}/key", {"public_key": key})
        self._looked = time.monotonic()

    async def _ask(
        self, client: httpx2.AsyncClient, method: str, path: str, body: object = None
    ) -> Mapping[str, Any]:
        with _in_words(self._url):
            async with client.stream(method, path, json=body) as answer:
                await _check(answer, self._credential_file)
                said = json.loads(await _read(answer))
        if not isinstance(said, dict):
            raise CoordinatorError(f"what {self._url} says is not understood")
        return said

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Give a client that is trusted, for more than this. Raises OSError: a file cannot be read."""
        credential = await asyncio.to_thread(read_credential, self._credential_file)
        if self._trust is None:
            # It takes a while to read what is trusted.
            self._trust = await asyncio.to_thread(_trust, self._ca_file)
        async with httpx2.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {credential}"},
            verify=self._trust,
            timeout=httpx2.Timeout(PATIENCE, read=SILENCE),
            # A proxy of the environment's gets nothing that is not encrypted: that is for this machine alone.
            trust_env=self._url.startswith("https:"),
        ) as client:
            yield client


def checked(url: str) -> str:
    """Give the URL of a coordinator, without a slash at its end. ValueError: that is none for a secret."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address of a coordinator, such as https://vpn.example")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address of a coordinator has no password in it: credentials stand in files")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError(
            f"{url} is not encrypted, and whoever is on the way could read the credential: use https"
        )
    return url.rstrip("/")


def read_credential(path: Path) -> str:
    """Read a credential (``wwg_…``) from its file. Raises OSError, also if others may read it."""
    with path.open("rb") as file:
        if is_exposed(file.fileno()):
            words = "other users may read or write this credential: chmod 600 it"
            raise PermissionError(errno.EPERM, words, str(path))
        text = file.read(LONGEST_CREDENTIAL).strip()
    if not text.startswith(b"wwg_") or not text.isascii() or not text.decode().isprintable() or b" " in text:
        raise OSError(errno.EINVAL, "this file has no credential of a gateway (wwg_…)", str(path))
    return text.decode()


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        words = "this file has no certificates in PEM"
        raise OSError(errno.EINVAL, words, str(ca_file)) from None
    except OSError as error:
        error.filename = error.filename or (None if ca_file is None else str(ca_file))
        raise


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Say what went wrong with a connection, without what the library says of itself."""
    try:
        yield
    except httpx2.TimeoutException:
        raise CoordinatorError(f"{url} does not answer") from None
    except httpx2.RemoteProtocolError:
        raise CoordinatorError(f"{url} ended the connection, or is no coordinator") from None
    except httpx2.HTTPError as error:
        raise CoordinatorError(f"{url} cannot be reached: {_plain(str(error))}") from None
    except (InstructionError, ValueError) as error:
        raise CoordinatorError(f"what {url} says is not understood: {_plain(str(error))}") from None


async def _check(answer: httpx2.Response, credential_file: Path) -> None:
    """Raise CoordinatorError with what an answer says, if it is a refusal."""
    if answer.is_success:
        return
    if answer.status_code == 401:
        raise CoordinatorError(
            f"the coordinator does not take the credential in {credential_file}; write a new one there, "
            "which takes effect by itself"
        )
    detail = await _detail(answer)
    raise CoordinatorError(f"the coordinator answered {answer.status_code}{detail}")


async def _detail(answer: httpx2.Response) -> str:
    """Give what a problem document (RFC 9457) says for people."""
    try:
        said = json.loads(await _read(answer)).get("detail")
    except (AttributeError, ValueError, httpx2.HTTPError):
        return ""
    return f": {_plain(said)}" if isinstance(said, str) else ""


async def _read(answer: httpx2.Response) -> bytes:
    """Read an answer that is short. ValueError: it is not."""
    text = bytearray()
    async for data in answer.aiter_bytes():
        text += data
        if len(text) > LONGEST_ANSWER:
            raise ValueError("an answer is too long")
    return bytes(text)


def _plain(text: str) -> str:
    """Give a text that came over the network as one line for a terminal or a log."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:500])


async def _understood(event: httpx2.ServerSentEvent) -> Instruction:
    if event.event == "state":
        # Thousands of devices: the rest of the process goes on meanwhile.
        return await asyncio.to_thread(_instruction, event)
    return _instruction(event)


def _instruction(event: httpx2.ServerSentEvent) -> Instruction:
    value: Any = json.loads(event.data)
    if not isinstance(value, dict):
        raise InstructionError("no object")
    return instruction_from_json(event.event, value)


def _moment(instant: int | None) -> str | None:
    """Write an instant, in microseconds since 1970, as the API has it."""
    return None if instant is None else datetime.fromtimestamp(instant / 1e6, UTC).isoformat()
