"""Passkeys: logging in by one, and adding one to one's account. Scripts of ours ask and answer here."""

from time import monotonic
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from wirewright.coordinator.api.dependencies import Store, origin, the_coordinator
from wirewright.coordinator.api.models import Id
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.login import passkeys
from wirewright.coordinator.login.passkeys import Party
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.cookies import SESSION, set_cookie
from wirewright.coordinator.web.saying import done, say
from wirewright.coordinator.web.visitors import (
    Fresh,
    Visiting,
    browser_of,
    local_path,
    root_url,
    the_site,
)

router = APIRouter()


class Login(BaseModel):
    """What a browser answers, and where its user wants to go."""

    answer: dict[str, Any]
    next: str = Field("/", max_length=500)


class Adding(BaseModel):
    """What a browser answers, and how its user calls the passkey."""

    answer: dict[str, Any]
    name: str = Field(max_length=64)


@router.post("/login/passkey/begin")
async def begin_login(request: Request, store: Store) -> Response:
    """Give what the browser is to be asked for."""
    the_coordinator(request).throttle.admit(origin(request), "", monotonic())
    return JSONResponse(await store.write(passkeys.begin_login, _party(request)))


@router.post("/login/passkey")
async def log_in(request: Request, store: Store, body: Login) -> Response:
    """Log in whoever's passkey answered; say where to go."""
    the_coordinator(request).throttle.admit(origin(request), "", monotonic())
    entered = await passkeys.log_in(store, _party(request), body.answer, browser_of(request))
    answer = JSONResponse({"to": local_path(body.next)})
    set_cookie(answer, the_site(request), SESSION, entered.secret.expose())
    return answer


@router.post("/account/passkeys/begin")
async def begin_adding(request: Request, store: Store, visitor: Fresh) -> Response:
    """Give what the browser is to be asked for."""
    return JSONResponse(await store.write(passkeys.begin_adding, visitor.caller, _party(request)))


@router.post("/account/passkeys")
async def add(request: Request, store: Store, visitor: Fresh, body: Adding) -> Response:
    """Keep a passkey."""
    await store.write(passkeys.add, visitor.caller, _party(request), body.name, body.answer)
    answer = JSONResponse({"to": "/account"}, 201)
    say(request, answer, "passkey-added")
    return answer


@router.get("/account/passkeys/{passkey}/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting, passkey: Id) -> Response:
    """Ask again, and say what will be lost."""
    found = await store.read(passkeys.get, visitor.caller, passkey)
    losses = [
        "logging in by it; what the device itself keeps of it can be removed there",
        "your sessions in other browsers: they are logged out",
    ]
    question = Question(f"Remove the passkey {found.name}?", losses)
    return ask(request, question, action=f"/account/passkeys/{passkey}/remove", back="/account")


@router.post("/account/passkeys/{passkey}/remove")
async def remove(request: Request, store: Store, visitor: Visiting, passkey: Id) -> Response:
    """Forget a passkey; other browsers are logged out."""
    await store.write(passkeys.remove, visitor.caller, passkey, keep=visitor.session.id)
    return done(request, "/account", "passkey-removed")


def _party(request: Request) -> Party:
    party = Party.at(root_url(request))
    if party is None:
        raise InvalidError(
            "Browsers have passkeys for a name with https only: open the page by its name, not by an address."
        )
    return party
