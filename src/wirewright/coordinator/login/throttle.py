"""How often somebody may try to log in: token buckets by network and by name.

A right password costs the network's bucket only. So a name's bucket is emptied by wrong ones alone, and fills again
by itself: who is guessed at waits for seconds now and then, and is never locked out. Passkeys and providers of
identities do not ask it.
"""

from __future__ import annotations

import math
from typing import Final

from wirewright.coordinator.errors import TooManyError
from wirewright.coordinator.limits import network
from wirewright.dynamic.churn import Buckets, Rate

FROM_ONE: Final = Rate(20, 3.0)
FOR_ONE: Final = Rate(20, 15.0)
FROM_ALL: Final = Rate(300, 0.05)


class Throttle:
    """Admits attempts, or says when to come again. Time is monotonic, in seconds."""

    def __init__(self, from_one: Rate = FROM_ONE, for_one: Rate = FOR_ONE, from_all: Rate = FROM_ALL) -> None:
        self._from_one, self._for_one, self._from_all = Buckets(from_one), Buckets(for_one), Buckets(from_all)

    def admit(self, source: str, name: str, now: float) -> None:
        """Let an attempt pass, or raise `TooManyError`."""
        where, who = network(source), name.lower()
        wait = max(
            self._from_one.wait(where, now), self._for_one.wait(who, now), self._from_all.wait(None, now)
        )
        if wait > 0:
            seconds = math.ceil(wait)
            error = TooManyError(f"Too many attempts to log in; come again in {seconds} s.")
            error.retry_after = seconds
            raise error
        self._from_one.take(where, now)
        self._from_all.take(None, now)

    def failed(self, name: str, now: float) -> None:
        """Note that an attempt was wrong."""
        self._for_one.take(name.lower(), now)
