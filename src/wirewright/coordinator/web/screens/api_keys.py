"""One's own API keys: made and shown once, and removed."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.tables import Token
from wirewright.coordinator.web import lifetimes
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Fresh, Visiting

router = APIRouter(prefix="/account/keys")
Id = Annotated[str, Path(pattern=UUID)]


@router.post("")
async def create(
    request: Request,
    store: Store,
    visitor: Fresh,
    name: Annotated[str, Form(max_length=64)] = "",
    scopes: Annotated[list[Scope], Form(alias="scope", max_length=len(Scope))] = [],  # noqa: B006 (never changed)
    expires: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Make a key, and show it this once."""
    caller = visitor.caller
    caller.require(Scope.TOKENS_WRITE)
    if not scopes:
        raise InvalidError("Choose what the key is for.")

    async def work(tx: Transaction) -> tuple[Token, str]:
        new = users.NewToken(name, tuple(scopes), None, lifetimes.ends(expires, tx.now))
        token, secret = await users.create_token(tx, caller, new)
        return token, secret.expose()

    token, text = await store.write(work)
    return render(request, "key.html", 201, token=token, text=text)


@router.get("/{token}/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting, token: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.TOKENS_WRITE)
    found = await store.read(users.token, visitor.caller, token)
    return ask(request, about_key(found), action=f"/account/keys/{token}/remove", back="/account")


@router.post("/{token}/remove")
async def remove(request: Request, store: Store, visitor: Visiting, token: Id) -> Response:
    """Make a key worth nothing."""
    visitor.caller.require(Scope.TOKENS_WRITE)
    await store.write(users.delete_token, visitor.caller, token)
    return done(request, "/account", "key-removed")


def about_key(token: Token) -> Question:
    """Return what is asked before a key is removed."""
    losses = [f"what it is for ({', '.join(token.scopes)}): whatever uses it is refused at once"]
    return Question(f"Remove the API key {token.name}?", losses)
