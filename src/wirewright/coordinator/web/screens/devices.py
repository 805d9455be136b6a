"""The list of devices: searched, sorted, and many changed at once."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store, origin, the_coordinator
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.live import SHOWN
from wirewright.coordinator.login import sessions
from wirewright.coordinator.services import bulk, live, searching
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.services.bulk import Action
from wirewright.coordinator.services.searching import Search, Sort, State
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.tables import Gateway, User
from wirewright.coordinator.streaming import Following
from wirewright.coordinator.web import lifetimes
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.cookies import SESSION, cookie
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Visiting, local_path, the_site

router = APIRouter()
Id = Annotated[str, Query(pattern=UUID)]
_NAMED = 20
"""Devices that are named before they are removed together."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the list says."""

    q: str = ""
    state: str = ""
    sort: str = "name"
    page: int = 1
    user: str = ""
    gateway: str = ""

    def address(self, **other: object) -> str:
        """Return the address of another list like this."""
        values = asdict(replace(self, **other))  # type: ignore[arg-type]
        usual = asdict(Asked())
        query = urlencode({name: value for name, value in values.items() if value != usual[name]})
        return f"/devices?{query}" if query else "/devices"

    def search(self) -> Search:
        """Return it as the services take it."""
        return Search(
            self.q,
            State(self.state) if self.state in list(State) else None,
            Sort(self.sort.removeprefix("-")) if self.sort.removeprefix("-") in list(Sort) else Sort.NAME,
            self.sort.startswith("-"),
            self.page,
            gateway_id=self.gateway or None,
            user_id=self.user or None,
        )


@router.get("/devices")
async def show(
    request: Request,
    store: Store,
    visitor: Visiting,
    q: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    sort: Annotated[str, Query(max_length=20)] = "name",
    page: Annotated[int, Query(ge=1, le=searching.PAGES)] = 1,
    user: Annotated[str, Query(max_length=36)] = "",
    gateway: Annotated[str, Query(max_length=36)] = "",
) -> Response:
    """List devices."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_READ)
    asked = Asked(q, state, sort, page, user, gateway)

    async def work(tx: Transaction) -> dict[str, object]:
        return {
            "found": await searching.search(tx, caller, asked.search()),
            "whose": await _whose(tx, caller, asked),
            "now": tx.now,
        }

    return render(request, "devices.html", asked=asked, lifetimes=lifetimes.CHOICES, **await store.read(work))


@router.post("/devices/bulk")
async def change_many(
    request: Request,
    store: Store,
    visitor: Visiting,
    ids: Annotated[list[str], Form(alias="id", max_length=bulk.AT_ONCE)] = [],  # noqa: B006 (never changed)
    action: Annotated[str, Form(max_length=20)] = "",
    sure: Annotated[str, Form(max_length=5)] = "",
    next_: Annotated[str, Form(alias="next", max_length=600)] = "/devices",
) -> Response:
    """Do one thing to the devices that were chosen; before they are removed, ask again."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_WRITE)
    # To the part of the list that they are on.
    here = local_path(next_)
    # `expire:30d` moves the expiry to so long from now.
    action, has_lifetime, lifetime = action.partition(":")
    if action not in list(Action) or bool(has_lifetime) != (action == Action.EXPIRE):
        raise InvalidError("Choose what to do with the devices.")
    if action == Action.REMOVE and not sure:
        details = await store.read(live.these, ids)
        mine = [each for each in details if not caller.only_own or each.device.user_id == caller.user_id]
        if not mine:
            raise InvalidError("Choose devices first, by the boxes before their names.")
        names = [each.device.name for each in mine]
        more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
        fields = [
            ("action", action),
            ("sure", "yes"),
            ("next", here),
            *(("id", each.device.id) for each in mine),
        ]
        what = f"{len(mine)} devices" if len(mine) > 1 else f"the device {names[0]}"
        losses = [
            f"their tunnels, at once: {', '.join([*names[:_NAMED], *more])}",
            "their addresses, which nobody gets for an hour, and their counters",
        ]
        question = Question(f"Remove {what}?", losses, fields=fields)
        return ask(request, question, action="/devices/bulk", back=here)

    async def work(tx: Transaction) -> int:
        return await bulk.apply(tx, caller, ids, Action(action), lifetimes.ends(lifetime, tx.now))

    count = await store.write(work)
    return done(request, here, f"devices-{action}", count)


@router.get("/live")
async def follow(
    request: Request,
    store: Store,
    visitor: Visiting,
    ids: Annotated[list[str], Query(alias="id", max_length=SHOWN)] = [],  # noqa: B006 (never changed)
) -> Response:
    """Follow what the devices do that a page shows, for as long as its session is one."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_READ)
    text = cookie(the_site(request), SESSION, request.cookies) or ""

    async def still() -> Caller:
        return (await store.read(sessions.authenticate, text, origin(request))).caller

    return Following(the_coordinator(request), caller, frozenset(ids), still)


async def _whose(tx: Transaction, caller: Caller, asked: Asked) -> str:
    """Return whose devices a list is of, where it is not of all."""
    user = await tx.session.get(User, asked.user) if asked.user and caller.may(Scope.USERS_READ) else None
    gateway = await tx.session.get(Gateway, asked.gateway) if asked.gateway else None
    words = [f"of {user.name}" if user else "", f"at {gateway.name}" if gateway else ""]
    return " ".join(word for word in words if word)
