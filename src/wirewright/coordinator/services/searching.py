"""Devices as people look for them: by some text, in some state, sorted, a numbered page at a time."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, exists, func, not_, or_, select

from wirewright.coordinator.services import devices
from wirewright.coordinator.services.devices import ONLINE
from wirewright.coordinator.storage.tables import Address, Device, Report, User

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.services.devices import DeviceDetails
    from wirewright.coordinator.storage import Transaction

SIZE: Final = 50
"""Devices of a page, unless another number is asked for."""
TEXT: Final = 64
"""Characters that are looked for, at most."""
PAGES: Final = 100_000
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{4,43}=?", re.ASCII)
_BEGUN: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,2}\.?", re.ASCII)


class State(StrEnum):
    """What devices are told apart by."""

    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"
    EXPIRED = "expired"
    NEVER = "never"


class Sort(StrEnum):
    """What devices are sorted by."""

    NAME = "name"
    ADDRESS = "address"
    HANDSHAKE = "handshake"
    RECEIVED = "received"
    SENT = "sent"
    EXPIRES = "expires"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; pages are numbered from 1."""

    text: str = ""
    state: State | None = None
    sort: Sort = Sort.NAME
    descending: bool = False
    page: int = 1
    size: int = SIZE
    gateway_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page, and how many there are: like this, and in all that the caller may see."""

    items: list[DeviceDetails]
    total: int
    everything: int
    counts: Counts
    first: int
    """The number of the first of this page, from 1; 0 for none."""

    @property
    def last(self) -> int:
        """The number of the last one of this page."""
        return self.first + len(self.items) - 1 if self.items else 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many devices a search finds, whatever state it asks for: in all, and in each state."""

    matching: int
    by_state: dict[State, int]

    def to_json(self) -> dict[str, int]:
        """Return the numbers by the states' names; ``all`` is that of all."""
        return {"all": self.matching, **{state.value: number for state, number in self.by_state.items()}}


async def search(tx: Transaction, caller: Caller, asked: Search) -> Found:
    """Return a page of the devices that the caller may see."""
    visible = _visible(caller)
    counts = await count(tx, caller, asked)
    everything = counts.matching
    if _conditions(asked):
        everything = await tx.session.scalar(select(func.count()).select_from(Device).where(*visible)) or 0
    wanted = [*visible, *_conditions(asked)]
    total = counts.matching
    if asked.state is not None:
        wanted.append(_is(asked.state, tx.now))
        total = counts.by_state[asked.state]
    start = (min(max(asked.page, 1), PAGES) - 1) * asked.size
    query = _joined(select(Device)).where(*wanted).order_by(*_order(asked)).offset(start).limit(asked.size)
    rows = list(await tx.session.scalars(query))
    items = await devices.details_of(tx, rows)
    return Found(items, total, everything, counts, start + 1 if items else 0)


async def count(tx: Transaction, caller: Caller, asked: Search) -> Counts:
    """Count the devices that a search finds, in one look at them."""
    states: list[Any] = [func.count(case((_is(state, tx.now), 1))) for state in State]
    numbers_of_all: Select[Any] = select(func.count(), *states)
    query = _joined(numbers_of_all).where(*_visible(caller), *_conditions(asked))
    matching, *numbers = (await tx.session.execute(query)).one()
    return Counts(matching, dict(zip(State, numbers, strict=True)))


def _visible(caller: Caller) -> list[ColumnElement[bool]]:
    return [Device.user_id == caller.user_id] if caller.only_own else []


def _joined(query: Select[Any]) -> Select[Any]:
    return (
        query.select_from(Device)
        .outerjoin(Report, Report.device_id == Device.id)
        .outerjoin(User, User.id == Device.user_id)
    )


def _conditions(asked: Search) -> list[ColumnElement[bool]]:
    """Return what is asked for besides the state."""
    found = []
    # PostgreSQL has no text with a NUL in it.
    if text := asked.text.replace("\0", "").strip()[:TEXT]:
        found.append(_matches(text))
    if asked.gateway_id is not None:
        found.append(Device.gateway_id == asked.gateway_id)
    if asked.user_id is not None:
        found.append(Device.user_id == asked.user_id)
    return found


def _is(state: State, now: int) -> ColumnElement[bool]:
    young = func.coalesce(Report.latest_handshake, 0) > now - ONLINE
    match state:
        case State.ONLINE:
            return and_(Device.active, young)
        case State.OFFLINE:
            return and_(Device.active, not_(young))
        case State.DISABLED:
            return not_(Device.enabled)
        case State.EXPIRED:
            return and_(Device.expires_at.is_not(None), Device.expires_at <= now)
        case State.NEVER:
            return Report.latest_handshake.is_(None)


def _matches(text: str) -> ColumnElement[bool]:
    """Say that a name, the user's, an address or a public key is like a text."""
    ways: list[ColumnElement[bool]] = [
        Device.name.icontains(text, autoescape=True),
        User.name.icontains(text, autoescape=True),
    ]
    if (span := _addresses(text)) is not None:
        first, last = span
        held = exists().where(
            Address.device_id == Device.id,
            Address.state == "held",
            func.length(Address.value) == len(first),
            Address.value.between(first, last),
        )
        ways.append(held)
    if _KEY.fullmatch(text):
        first, last = _keys(text.rstrip("="))
        ways.append(Device.public_key.between(first, last))
    return or_(*ways)


def _keys(begun: str) -> tuple[bytes, bytes]:
    """Return the first and the last key that begins with some base64: 6 bits a character."""
    return b64decode(begun.ljust(43, "A") + "="), b64decode(begun.ljust(43, "/") + "=")


def _addresses(text: str) -> tuple[bytes, bytes] | None:
    """Return the first and the last address that a text means: one, a network, or an IPv4 one's beginning."""
    try:
        if "/" in text:
            network = ip_network(text, strict=False)
            return network.network_address.packed, network.broadcast_address.packed
        if _BEGUN.fullmatch(text):
            parts = text.rstrip(".").split(".")
            if len(parts) == 1 and not text.endswith("."):
                # A number alone is more likely a part of a name.
                return None
            text = ".".join([*parts, *["0"] * (4 - len(parts))])
            network = ip_network(f"{text}/{8 * len(parts)}", strict=False)
            return network.network_address.packed, network.broadcast_address.packed
        one = ip_address(text).packed
    except ValueError:
        return None
    return one, one


def _order(asked: Search) -> list[Any]:
    columns: dict[Sort, Any] = {
        Sort.NAME: func.lower(Device.name),
        Sort.ADDRESS: _first_address(),
        Sort.HANDSHAKE: Report.latest_handshake,
        Sort.RECEIVED: Report.received,
        Sort.SENT: Report.sent,
        Sort.EXPIRES: Device.expires_at,
        Sort.CREATED: Device.created_at,
    }
    column = columns[asked.sort]
    directed = column.desc() if asked.descending else column.asc()
    # What has none comes last, whichever way it is sorted.
    return [column.is_(None), directed, Device.id]


def _first_address() -> Any:  # noqa: ANN401 (a query)
    held = select(Address.value).where(
        Address.device_id == Device.id, Address.state == "held", func.length(Address.value) == 4
    )
    return held.order_by(Address.value).limit(1).scalar_subquery()
