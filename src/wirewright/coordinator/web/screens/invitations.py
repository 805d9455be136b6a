"""Invitations: made and shown once here, and taken by whoever opens the link, without a login."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.services import invitations
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.services.paging import Page
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.tables import Invitation
from wirewright.coordinator.web import lifetimes, rules
from wirewright.coordinator.web.choices import gateways_to_choose, user_chosen, users_to_choose
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Visiting, root_url

router = APIRouter()
Id = Annotated[str, Path(pattern=UUID)]
Cursor = Annotated[str | None, Query(pattern=UUID)]
_PAGE = 50


@router.get("/join")
async def join(request: Request) -> Response:
    """Show who was invited how to get a tunnel; the invitation stays behind the ``#``, unseen by servers."""
    return render(request, "join.html")


@router.get("/invitations")
async def show(request: Request, store: Store, visitor: Visiting, after: Cursor = None) -> Response:
    """List invitations, the newest first."""
    visitor.caller.require(Scope.INVITATIONS_READ)

    async def work(tx: Transaction) -> tuple[Page[Invitation], int]:
        return await invitations.listed(tx, after, _PAGE, newest_first=True), tx.now

    found, now = await store.read(work)
    return render(request, "invitations.html", found=found, now=now)


@router.get("/invitations/new")
async def form(request: Request, store: Store, visitor: Visiting) -> Response:
    """Show what an invitation to be is asked for."""
    visitor.caller.require(Scope.INVITATIONS_WRITE)
    return render(
        request,
        "invite.html",
        lifetimes=lifetimes.CHOICES,
        gateways=await store.read(gateways_to_choose),
        users=await store.read(users_to_choose, visitor.caller),
    )


@router.post("/invitations")
async def create(
    request: Request,
    store: Store,
    visitor: Visiting,
    name: Annotated[str, Form(max_length=64)] = "",
    uses: Annotated[int, Form()] = 1,
    expires: Annotated[str, Form(max_length=40)] = "7d",
    lifetime: Annotated[str, Form(max_length=40)] = "",
    gateway: Annotated[str, Form(max_length=64)] = "",
    user: Annotated[str, Form(max_length=64)] = "",
    policy: Annotated[str, Form(max_length=20_000)] = "",
    on_lease: Annotated[bool, Form()] = False,
) -> Response:
    """Make an invitation, and show its link this once."""
    caller = visitor.caller
    caller.require(Scope.INVITATIONS_WRITE)

    async def work(tx: Transaction) -> tuple[Invitation, str, int]:
        expires_at = lifetimes.ends(expires, tx.now)
        if expires_at is None:
            raise InvalidError("An invitation expires.")
        new = invitations.NewInvitation(
            name,
            gateway or None,
            await user_chosen(tx, caller, user),
            uses,
            expires_at,
            rules.from_text(policy),
            lifetimes.span(lifetime),
            on_lease,
        )
        made, secret = await invitations.create(tx, caller, new)
        return made, secret.expose(), tx.now

    made, text, now = await store.write(work)
    url = f"{root_url(request)}/#{text}"
    return render(request, "invited.html", 201, invitation=made, url=url, now=now)


@router.get("/invitations/{invitation}/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting, invitation: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.INVITATIONS_WRITE)
    found = await store.read(invitations.get, invitation)
    left = "one device" if found.uses_left == 1 else f"{found.uses_left} devices"
    is_over = not found.uses_left or found.expires_at <= store.clock()
    losses = ["its line in the list" if is_over else f"its link, by which {left} could still come"]
    question = Question(f"Remove the invitation {found.name}?", losses, ["devices that came by it"])
    return ask(request, question, action=f"/invitations/{invitation}/remove", back="/invitations")


@router.post("/invitations/{invitation}/remove")
async def remove(request: Request, store: Store, visitor: Visiting, invitation: Id) -> Response:
    """Take an invitation back."""
    visitor.caller.require(Scope.INVITATIONS_WRITE)
    await store.write(invitations.delete, visitor.caller, invitation)
    return done(request, "/invitations", "invitation-removed")
