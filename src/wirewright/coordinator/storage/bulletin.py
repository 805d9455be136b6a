"""Who waits for news of a topic (a gateway's changes, a deadline), and is woken.

News says that something changed, never what: whoever is woken reads the database. So news may be told
twice, or told of several changes at once, and a lost connection to the database is mended by waking
everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psycopg

from wirewright.coordinator.storage import presence

if TYPE_CHECKING:
    from wirewright.coordinator.storage.urls import DatabaseUrl

CHANNEL: Final = "wirewright"
DEADLINES: Final = "deadlines"
"""The topic of those who wait for what expires."""
LIVE: Final = "live"
"""The topic of those who show what devices do."""
_PAUSE: Final = 0.5
"""Seconds between two attempts to connect."""


def powers(user_id: str | None) -> str:
    """Return the topic of those who do something for as long as a user may."""
    return f"powers {user_id}"


@dataclass(slots=True)
class Bulletin:
    """The waiting of one process."""

    _waiting: dict[str, set[asyncio.Event]] = field(default_factory=dict)

    def publish(self, *topics: str) -> None:
        """Wake those who wait for the topics."""
        for topic in topics:
            for news in self._waiting.get(topic, ()):
                news.set()

    def publish_all(self) -> None:
        """Wake everybody."""
        self.publish(*self._waiting)

    def waiting(self, topic: str) -> int:
        """Return how many wait for a topic and were told nothing yet."""
        return sum(not news.is_set() for news in self._waiting.get(topic, ()))

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at each news; who waits clears it before reading the database."""
        news = asyncio.Event()
        self._waiting.setdefault(topic, set()).add(news)
        try:
            yield news
        finally:
            waiting = self._waiting[topic]
            waiting.discard(news)
            if not waiting:
                del self._waiting[topic]


async def listen(url: DatabaseUrl, bulletin: Bulletin, connected: asyncio.Event) -> None:
    """Publish what other processes tell through PostgreSQL; connects again for ever, until cancelled.

    ``connected`` is set once the first connection listens.
    """
    while True:
        try:
            async for topic in _notifications(url):
                if topic is None:
                    connected.set()
                    # What happened while nobody listened is unknown.
                    bulletin.publish_all()
                else:
                    bulletin.publish(topic)
        except (psycopg.Error, OSError):
            await asyncio.sleep(_PAUSE)


async def _notifications(url: DatabaseUrl) -> AsyncIterator[str | None]:
    """Yield ``None`` when listening begins, then topics; meanwhile nobody replaces the database."""
    connection = await psycopg.AsyncConnection.connect(
        url.libpq(),
        autocommit=True,
        connect_timeout=15,
        application_name="wirewright listening",
        options=presence.MORTAL,
    )
    try:
        await presence.serve(connection)
        await connection.execute(f"LISTEN {CHANNEL}")
        yield None
        async for notification in connection.notifies():
            yield notification.payload
    finally:
        # Not by `async with`, which asks the database once more, and is cancelled at that.
        await connection.close()
