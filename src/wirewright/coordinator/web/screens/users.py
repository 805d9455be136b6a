"""Users and their roles."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import func, select

from wirewright.coordinator.api.dependencies import Store, the_coordinator
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.login import passwords
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import ROLES, Role, Scope
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.tables import Device, User
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.screens import user_logins
from wirewright.coordinator.web.visitors import Fresh, Visiting

router = APIRouter(prefix="/users")
Id = Annotated[str, Path(pattern=UUID)]
_PAGE = 100
WORDS = {
    Role.ADMIN: "everything",
    Role.OPERATOR: "all devices, invitations and addresses; reads the rest",
    Role.MEMBER: "sees and adds its own devices only",
}


@router.get("")
async def show(
    request: Request,
    store: Store,
    visitor: Visiting,
    after: Annotated[str | None, Query(pattern=UUID)] = None,
) -> Response:
    """List users."""
    visitor.caller.require(Scope.USERS_READ)

    async def work(tx: Transaction) -> dict[str, object]:
        found = await users.listed(tx, after, _PAGE)
        count = select(Device.user_id, func.count()).group_by(Device.user_id)
        mine = count.where(Device.user_id.in_([user.id for user in found.items]))
        devices = {row[0]: row[1] for row in await tx.session.execute(mine)}
        return {"found": found, "devices": devices, "now": tx.now}

    return render(request, "users.html", words=WORDS, **await store.read(work))


@router.get("/new")
async def form(request: Request, visitor: Visiting) -> Response:
    """Show what a user to be is asked for."""
    visitor.caller.require(Scope.USERS_WRITE)
    return render(request, "user_new.html", words=WORDS, name="", role=Role.MEMBER, error=None)


@router.post("")
async def create(
    request: Request,
    store: Store,
    visitor: Fresh,
    name: Annotated[str, Form(max_length=64)] = "",
    role: Annotated[Role, Form()] = Role.MEMBER,
    password: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Make a user, perhaps with a first password."""
    caller = visitor.caller
    caller.require(Scope.USERS_WRITE)
    try:
        hashed = None
        if password:
            passwords.check(password, name)
            hashed = await the_coordinator(request).passwords.hash(password)

        async def work(tx: Transaction) -> User:
            user = await users.create(tx, caller, name, role)
            if hashed is not None:
                await passwords.set_password(tx, caller, user.id, hashed)
            return user

        made = await store.write(work)
    except CoordinatorError as error:
        return render(
            request, "user_new.html", error.status, words=WORDS, name=name, role=role, error=str(error)
        )
    return done(request, f"/users/{made.id}", "user-added")


@router.get("/{user}")
async def show_one(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Show a user."""
    visitor.caller.require(Scope.USERS_READ)

    async def work(tx: Transaction) -> dict[str, object]:
        found = await users.get(tx, user)
        return {
            "user": found,
            "devices": await _devices_of(tx, user),
            "ways": await user_logins.ways_in(tx, visitor.caller, user),
            "now": tx.now,
        }

    may_give = [role for role in Role if ROLES[role] <= visitor.caller.scopes]
    return render(request, "user.html", words=WORDS, roles=may_give, **await store.read(work))


@router.post("/{user}/role")
async def change_role(
    request: Request, store: Store, visitor: Fresh, user: Id, role: Annotated[Role, Form()]
) -> Response:
    """Give a user another role."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(users.update, visitor.caller, user, role=role)
    return done(request, f"/users/{user}", "user-role")


@router.post("/{user}/enable")
async def enable(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Let a user in again."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(users.update, visitor.caller, user, enabled=True)
    return done(request, f"/users/{user}", "user-enabled")


@router.post("/{user}/disable")
async def disable(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Let a user in no more; their devices stay."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(users.update, visitor.caller, user, enabled=False)
    return done(request, f"/users/{user}", "user-disabled")


@router.post("/{user}/password")
async def change_password(
    request: Request,
    store: Store,
    visitor: Fresh,
    user: Id,
    password: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Give a user another password, which ends their sessions."""
    caller = visitor.caller
    caller.require(Scope.USERS_WRITE)
    user_logins.refuse_oneself(visitor, user)
    found = await store.read(users.get, user)
    passwords.check(password, found.name)
    hashed = await the_coordinator(request).passwords.hash(password)
    await store.write(passwords.set_password, caller, user, hashed)
    return done(request, f"/users/{user}", "user-password")


@router.get("/{user}/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.USERS_WRITE)
    found = await store.read(users.get, user)
    owned = await store.read(_devices_of, user)
    obstacle = f"{found.name} has devices ({owned}). Remove them first."
    losses = ["their login, their sessions and API keys"]
    kept = ["what they did: the audit log has it"]
    question = Question(f"Remove the user {found.name}?", losses, kept, obstacle if owned else None)
    return ask(request, question, action=f"/users/{user}/remove", back=f"/users/{user}")


@router.post("/{user}/remove")
async def remove(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Remove a user who has no devices."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(users.delete, visitor.caller, user)
    return done(request, "/users", "user-removed")


async def _devices_of(tx: Transaction, user: str) -> int:
    count = select(func.count()).select_from(Device).where(Device.user_id == user)
    return await tx.session.scalar(count) or 0
