"""How often somebody may try to log in: token buckets by network and by name.

# Theory

A network has a bucket, which every attempt takes from, and so has the whole world. A name has one that wrong
attempts empty, so that many networks together guess at it no quicker than one. It fills by itself, so nobody
is locked out for ever; but who goes on guessing could keep it empty, and its user out, for as long as they
do. So a network from which a name was logged in has a bucket of its own for that name: guesses from elsewhere
cost its user nothing there. A success fills no bucket. Codes of a second factor have fewer, since there are
but a million.

Names that are nobody's have buckets, too: whether a name is somebody's is not seen here. All of it is bounded
(`MAX_CLIENTS`, `_PLACES`); a name that was forgotten is held by the bucket of the network, and by that of
all. Passkeys and providers of identities do not ask it for names.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from wirewright.coordinator.errors import TooManyError
from wirewright.coordinator.limits import network
from wirewright.dynamic.churn import Buckets, Rate

FROM_ONE: Final = Rate(20, 3.0)
FOR_ONE: Final = Rate(20, 15.0)
FOR_CODES: Final = Rate(6, 60.0)
FROM_ALL: Final = Rate(300, 0.05)
_PLACES: Final = 4096
"""Networks that are remembered with the names that were logged in from there."""


class Throttle:
    """Admits attempts, or says when to come again. Time is monotonic, in seconds."""

    def __init__(
        self,
        from_one: Rate = FROM_ONE,
        for_one: Rate = FOR_ONE,
        from_all: Rate = FROM_ALL,
        for_codes: Rate = FOR_CODES,
    ) -> None:
        self._from_one, self._from_all = Buckets(from_one), Buckets(from_all)
        self._for_one, self._for_codes = Buckets(for_one), Buckets(for_codes)
        self._places: OrderedDict[tuple[str, str], None] = OrderedDict()

    def admit(self, source: str, name: str, now: float, *, code: bool = False) -> None:
        """Let an attempt pass, or raise `TooManyError`; ``code`` is for one at a second factor."""
        where, who = network(source), self._key(source, name)
        names = self._for_codes if code else self._for_one
        wait = max(self._from_one.wait(where, now), names.wait(who, now), self._from_all.wait(None, now))
        if wait > 0:
            seconds = math.ceil(wait)
            error = TooManyError(f"Too many attempts to log in; come again in {seconds} s.")
            error.retry_after = seconds
            raise error
        self._from_one.take(where, now)
        self._from_all.take(None, now)
        if code:
            # At once, and a right one as well: many that come together must not all be looked at.
            self._for_codes.take(who, now)

    def failed(self, source: str, name: str, now: float, *, code: bool = False) -> None:
        """Note that an attempt was wrong."""
        if not code:
            self._for_one.take(self._key(source, name), now)

    def succeeded(self, source: str, name: str) -> None:
        """Note that somebody is logged in."""
        place = name.lower(), network(source)
        self._places[place] = None
        self._places.move_to_end(place)
        while len(self._places) > _PLACES:
            self._places.popitem(last=False)

    def _key(self, source: str, name: str) -> object:
        place = name.lower(), network(source)
        return place if place in self._places else place[0]
