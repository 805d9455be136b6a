"""As much HTTP/1.1 as a download and an upload need, over asyncio streams; h11 knows the protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import h11

CHUNK = 256 * 1024


class Exchange:
    """One side of an HTTP connection."""

    def __init__(self, role: type, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connection = h11.Connection(our_role=role)
        self._reader = reader
        self._writer = writer

    async def send(self, event: h11.Event) -> None:
        """Send an event, waiting while the other side is slow."""
        data = self._connection.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def next(self) -> h11.Event:
        """Wait for the other side's next event."""
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(await self._reader.read(CHUNK))
            elif isinstance(event, h11.Event):
                return event
            else:
                raise ConnectionError("the HTTP connection ended too early")

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body that comes after the head."""
        while not isinstance(event := await self.next(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise ConnectionError("the HTTP connection ended in the middle of a body")
            yield bytes(event.data)


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, target: str, length: int = 0
) -> AsyncIterator[int]:
    """Send a request with a body of ``length`` zeros; yield how many bytes moved, as they move."""
    exchange = Exchange(h11.CLIENT, reader, writer)
    headers = [("host", "demo"), ("content-length", str(length)), ("connection", "close")]
    await exchange.send(h11.Request(method=method, target=target, headers=headers))
    async for count in _send_zeros(exchange, length):
        yield count
    await exchange.send(h11.EndOfMessage())
    response = await exchange.next()
    if not isinstance(response, h11.Response) or response.status_code != 200:
        raise ConnectionError(f"the demonstration's server refused {method} {target}")
    async for data in exchange.body():
        yield len(data)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request: ``GET /N`` with N zeros, ``POST /`` with nothing once the body came."""
    # A client that goes away in the middle is no event worth telling of.
    with suppress(ConnectionError, h11.ProtocolError):
        await _answer(Exchange(h11.SERVER, reader, writer), writer)


async def _answer(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    try:
        head = await exchange.next()
        if not isinstance(head, h11.Request):
            return
        async for _ in exchange.body():
            pass
        length = int(head.target[1:] or b"0") if head.method == b"GET" else 0
        headers = [("content-length", str(length)), ("connection", "close")]
        await exchange.send(h11.Response(status_code=200, headers=headers))
        async for _ in _send_zeros(exchange, length):
            pass
        await exchange.send(h11.EndOfMessage())
    finally:
        writer.close()
        await writer.wait_closed()


async def _send_zeros(exchange: Exchange, length: int) -> AsyncIterator[int]:
    zeros = bytes(CHUNK)
    for sent in range(0, length, CHUNK):
        count = min(CHUNK, length - sent)
        await exchange.send(h11.Data(data=zeros[:count] if count < CHUNK else zeros))
        yield count
