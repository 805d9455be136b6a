"""A client, without its sockets: when it asks, what it asks for, and what it makes of the answer.

    waiting --its time comes--> asking --a lease--> waiting, until the lease is to be refreshed
       ^                          |
       '--------- back-off -------'  a refusal, an answer that is none, silence

A lease is refreshed ``REFRESH`` seconds before its end, give or take up to ``JITTER``, so that many clients
do not come at once; one that is shorter than twice that at half its time. While the server does not answer,
the client asks again after 1, 2, 4 … at most 300 s, each drawn from the upper half of that, and keeps its
addresses until the lease ends. Source: ``ip-request.md``; back-off and the jitter of short leases are ours.

Time is monotonic and goes on while the machine sleeps; the wall clock is asked only to read the server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.answers import parse_grant, words
from wirewright.dynamic.lines import ProtocolError
from wirewright.dynamic.messages import EXTENSIONS, REGISTER_KEY, Code, Wish, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.dynamic.answers import Grant
    from wirewright.dynamic.lines import Message
    from wirewright.dynamic.messages import Wanted

    Random = Callable[[], float]
    """Gives a number from 0 to 1."""

REFRESH: Final = 300.0
JITTER: Final = 30.0
CLOCK_DIFFERENCE: Final = 15
"""Seconds that the server's clock may differ from ours; if more, a lease begins when its answer comes."""
FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 300.0


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease, as its client sees it. ``expires`` is monotonic, ``until`` seconds since 1970."""

    addresses: tuple[IPAddress, ...]
    routes: tuple[IPNetwork, ...]
    expires: float
    until: int

    def address(self, version: int) -> IPAddress | None:
        """Give the one of a family."""
        return next((each for each in self.addresses if each.version == version), None)


class LeaseClient:
    """One client of one server."""

    def __init__(
        self,
        now: float,
        random: Random,
        *,
        ipv4: Wanted = Wish.ANY,
        ipv6: Wanted = Wish.ANY,
        extensions: frozenset[str] = EXTENSIONS,
    ) -> None:
        """``ipv4`` and ``ipv6`` are any address, none, or the one that is to be asked for first."""
        if ipv4 is Wish.NONE and ipv6 is Wish.NONE:
            raise ValueError("a client wants an address of one family at least")
        self.wanted: dict[int, Wanted] = {4: ipv4, 6: ipv6}
        self.holding: Holding | None = None
        self.problem: str | None = None
        """Why the last request brought nothing."""
        self.registers_keys = False
        """Whether the server said that it takes new keys."""
        self._extensions = extensions
        self._random = random
        self._next = now
        self._failures = 0

    def deadline(self) -> float:
        """Tell when there is something to do: to ask, or to give up what has ended."""
        return self._next if self.holding is None else min(self._next, self.holding.expires)

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask."""
        return now >= self._next

    def expire(self, now: float) -> bool:
        """Let go of a lease that has ended; whether there was one."""
        if self.holding is None or now < self.holding.expires:
            return False
        self.holding = None
        return True

    def request(self) -> Message:
        """Say what to ask: for what it has, if it has something, so that it stays."""
        return request(self._wish(4), self._wish(6), self._extensions)

    def release(self) -> Message:
        """Say how to give all back."""
        return request(Wish.NONE, Wish.NONE, self._extensions)

    def answered(self, message: Message, now: float, wall: float) -> None:
        """Take the answer to a request."""
        try:
            grant = parse_grant(message)
            self._check(grant)
        except ProtocolError as error:
            self.failed(str(error), now)
            return
        self.registers_keys = grant.extensions is not None and REGISTER_KEY in grant.extensions
        if not grant.addresses:
            self._lost(words(grant.errno, grant.errmsg) if grant.errno else "no address is free", grant, now)
            return
        self.problem = None
        self._failures = 0
        self._take(grant, now, wall)

    def failed(self, why: str, now: float) -> None:
        """Take it that a request brought nothing, and wait longer each time."""
        self.problem = why
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._next = now + longest * (0.5 + self._random() / 2)

    def _wish(self, version: int) -> Wanted:
        wanted = self.wanted[version]
        if wanted is Wish.NONE or self.holding is None:
            return wanted
        return self.holding.address(version) or wanted

    def _check(self, grant: Grant) -> None:
        for found in grant.addresses:
            if self.wanted[found.version] is Wish.NONE:
                raise ProtocolError(f"the server gives {found}, of a family that was not asked for: refused")
        if grant.addresses and not grant.duration:
            raise ProtocolError("the server gives a lease of no time")

    def _lost(self, why: str, grant: Grant, now: float) -> None:
        """Take it that the server gives nothing; if it says so in order, what it gave before has ended."""
        if grant.errno in {Code.SUCCESS.value, Code.UNAVAILABLE.value}:
            self.holding = None
        # Upstream's programs give nothing if what is asked for is not free.
        self._name_no_more(grant)
        self.failed(why, now)

    def _take(self, grant: Grant, now: float, wall: float) -> None:
        duration = float(grant.duration)
        start = float(grant.start) if abs(grant.start - wall) <= CLOCK_DIFFERENCE else wall
        left = min(duration, start + duration - wall)
        before = self.holding.addresses if self.holding else ()
        self.holding = Holding(grant.addresses, grant.routes, now + left, int(wall + left))
        self._next = now + left - self._ahead(left)
        given = {each.version for each in grant.addresses}
        lost = [each for each in before if each.version not in given]
        if self._name_no_more(grant) or lost:
            self.failed("an address that was asked for is not free", now)

    def _ahead(self, left: float) -> float:
        """Tell how long before its end a lease is refreshed."""
        ahead = min(REFRESH, left / 2)
        jitter = min(JITTER, ahead / 5)
        return ahead + jitter * (2 * self._random() - 1)

    def _name_no_more(self, grant: Grant) -> bool:
        """Wish for any address of a family of which a named one was not given; whether there was one."""
        given = {each.version for each in grant.addresses}
        named = [v for v, wanted in self.wanted.items() if v not in given and not isinstance(wanted, Wish)]
        self.wanted.update(dict.fromkeys(named, Wish.ANY))
        return bool(named)
