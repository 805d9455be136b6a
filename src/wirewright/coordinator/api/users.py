"""``/users`` and ``/tokens``."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from wirewright.coordinator.api.dependencies import Creating, Pages, Store, authenticated, needs
from wirewright.coordinator.api.models import (
    Handle,
    Id,
    Listed,
    NewTokenAnswer,
    TokenAnswer,
    TokenRequest,
    UserAnswer,
    UserPatch,
    UserRequest,
    instant,
    moment,
)
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import Caller, Role, Scope
from wirewright.coordinator.storage import Transaction

router = APIRouter(tags=["users"])
Reader = Annotated[Caller, needs(Scope.USERS_READ)]
Writer = Annotated[Caller, needs(Scope.USERS_WRITE)]
TokenReader = Annotated[Caller, needs(Scope.TOKENS_READ)]
TokenWriter = Annotated[Caller, needs(Scope.TOKENS_WRITE)]


class MeAnswer(BaseModel):
    """Who a token belongs to, and what it may."""

    id: Id | None
    actor: str
    role: Role
    scopes: list[Scope]
    expires_at: datetime | None


@router.get("/me", responses=answers())
async def show_me(caller: Annotated[Caller, Depends(authenticated)]) -> MeAnswer:
    """Show who asks."""
    return MeAnswer(
        id=caller.user_id,
        actor=caller.actor,
        role=caller.role,
        scopes=sorted(caller.scopes),
        expires_at=moment(caller.expires_at),
    )


@router.get("/users", responses=answers())
async def list_users(
    store: Store, _caller: Reader, pages: Pages, name: Annotated[Handle | None, Query()] = None
) -> Listed[UserAnswer]:
    """List users."""
    found = await store.read(users.listed, pages.after, pages.limit, name)
    return Listed(items=[UserAnswer.of(user) for user in found.items], next=found.next)


@router.post("/users", status_code=201, response_model=UserAnswer, responses=answers(409))
async def create_user(caller: Writer, once: Creating, body: UserRequest) -> Response:
    """Make a user, who has no token yet."""

    async def work(tx: Transaction) -> UserAnswer:
        return UserAnswer.of(await users.create(tx, caller, body.name, body.role))

    return await once.create(caller, work)


@router.get("/users/{user}", responses=answers(404))
async def show_user(store: Store, _caller: Reader, user: Id) -> UserAnswer:
    """Show a user."""
    return UserAnswer.of(await store.read(users.get, user))


@router.patch("/users/{user}", responses=answers(404, 409))
async def change_user(store: Store, caller: Writer, user: Id, body: UserPatch) -> UserAnswer:
    """Change a user's role, or whether its tokens are worth anything."""
    changed = await store.write(users.update, caller, user, role=body.role, enabled=body.enabled)
    return UserAnswer.of(changed)


@router.delete("/users/{user}", status_code=204, responses=answers(404, 409))
async def remove_user(store: Store, caller: Writer, user: Id) -> None:
    """Remove a user and its tokens; one with devices is kept."""
    await store.write(users.delete, caller, user)


@router.get("/tokens", responses=answers())
async def list_tokens(store: Store, caller: TokenReader, pages: Pages) -> Listed[TokenAnswer]:
    """List the caller's tokens, or those of all for who may read users."""
    found = await store.read(users.tokens, caller, pages.after, pages.limit)
    return Listed(items=[TokenAnswer.of(token) for token in found.items], next=found.next)


@router.post("/tokens", status_code=201, response_model=NewTokenAnswer, responses=answers(404, 409))
async def create_token(caller: TokenWriter, once: Creating, body: TokenRequest) -> Response:
    """Make a token; it is shown this once."""
    new = users.NewToken(body.name, tuple(body.scopes), body.user, instant(body.expires_at))

    async def work(tx: Transaction) -> NewTokenAnswer:
        token, secret = await users.create_token(tx, caller, new)
        return NewTokenAnswer(**TokenAnswer.of(token).model_dump(), token=secret.expose())

    return await once.create(caller, work)


@router.delete("/tokens/{token}", status_code=204, responses=answers(404))
async def remove_token(store: Store, caller: TokenWriter, token: Id) -> None:
    """Make a token worth nothing."""
    await store.write(users.delete_token, caller, token)
