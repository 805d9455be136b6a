"""Logging in at a provider of identities: the authorization code flow, with PKCE, state and nonce.

# Theory

A browser is sent to the provider with a *state*, which is one of our challenges: good once, for five minutes,
and in the visit in which it was made, so that nobody logs a visitor in as somebody else by an address. The
provider sends it back with a code, which we exchange ourselves, with a proof that we asked (PKCE), for a
signed token, which names the login it is for (nonce).

Whoever the provider knows is somebody here by a row that says so (`Identity`), never by a name or an e-mail
address that both have. Without one they may come if a rule of the settings says so; they are members then.
There is no rule at first. Who has a second factor here shows it, too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.errors import ConflictError, ForbiddenError, NotFoundError
from wirewright.coordinator.login import authority, challenges, second_factor, sessions, signing_in
from wirewright.coordinator.login.challenges import Purpose
from wirewright.coordinator.login.provider import Asking, Provider, ProviderSettings
from wirewright.coordinator.login.signing_in import Entered, WrongError
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import SYSTEM, Caller, Role
from wirewright.coordinator.storage.logins import Identity
from wirewright.coordinator.storage.tables import User

if TYPE_CHECKING:
    from wirewright.coordinator.login.sessions import Browser
    from wirewright.coordinator.storage import Storage, Transaction

CALLBACK: Final = "/login/oidc/callback"
"""Where the provider sends a browser back to, below the page's root."""
MOST: Final = 8
"""Identities of a user."""
_LATE: Final = "This login took too long, or began in another browser. Begin again."


@dataclass(frozen=True, slots=True)
class Returned:
    """What came of a login at a provider: a session, or an identity that was added; and where to go then."""

    entered: Entered | None
    to: str


async def begin(  # noqa: PLR0917 - each is something else
    storage: Storage, provider: Provider, root: str, visit: str, to: str, caller: Caller | None = None
) -> str:
    """Return where to send a browser; with a ``caller``, to add who they are there to who they are here.

    ``visit`` is a secret that this browser sends us and nobody else knows: a cookie's value.
    """
    user_id = None
    if caller is not None:
        user_id = (await storage.read(authority.over, caller, caller.user_id or "")).id
    asking = Asking(root + CALLBACK, secrets.token_urlsafe(32), secrets.token_urlsafe(48))
    value = {
        "nonce": asking.nonce,
        "verifier": asking.verifier,
        "redirect": asking.redirect_uri,
        "visit": _seen(visit),
        "to": to[:500],
        "user": user_id,
    }
    # A provider that is away makes no challenge.
    await provider.is_from(provider.settings.issuer, storage.clock())
    state = await storage.write(challenges.ask, Purpose.PROVIDER, value)
    return await provider.address(asking, urlsafe_b64encode(state).decode().rstrip("="), storage.clock())


async def finish(  # noqa: PLR0917 - each is something else
    storage: Storage,
    provider: Provider,
    visit: str,
    answer: Mapping[str, str],
    browser: Browser,
    caller: Caller | None = None,
) -> Returned:
    """Take the ``answer`` that a provider sent a browser back with; raise `WrongError` for another one."""
    value = await storage.write(challenges.answered, Purpose.PROVIDER, _raw(answer.get("state", "")))
    if value is None or not hmac.compare_digest(value["visit"], _seen(visit)):
        raise WrongError(_LATE)
    now = storage.clock()
    if not await provider.is_from(answer.get("iss"), now):
        raise WrongError("Another provider answered than the one that was asked. Begin again.")
    if "error" in answer or not answer.get("code"):
        why = answer.get("error", "")
        told = f" ({why})" if re.fullmatch(r"[a-z_]{1,40}", why) else ""
        raise WrongError(f"The provider let you not in{told}.")
    asking = Asking(value["redirect"], value["nonce"], value["verifier"])
    claims = await provider.claims(answer["code"], asking, now)
    if value["user"] is not None:
        if caller is None or caller.user_id != value["user"]:
            raise WrongError(_LATE)
        await storage.write(_add, caller, provider.settings.issuer, claims)
        return Returned(None, value["to"])
    return Returned(await storage.write(_enter, provider.settings, claims, browser), value["to"])


async def listed(tx: Transaction, user_id: str) -> list[Identity]:
    """Return who a user is at providers."""
    query = (
        select(Identity).where(Identity.user_id == user_id).order_by(Identity.created_at, Identity.subject)
    )
    return list(await tx.session.scalars(query))


async def remove_all(tx: Transaction, caller: Caller, user_id: str, *, keep: str | None = None) -> None:
    """Forget who a user is at providers, and end their sessions but for ``keep``; see `authority.over`."""
    await authority.over(tx, caller, user_id)
    gone = delete(Identity).where(Identity.user_id == user_id).returning(Identity.issuer)
    issuers = sorted(set(await tx.session.scalars(gone)))
    if not issuers:
        raise NotFoundError("This user has no identity at a provider.")
    await sessions.end_all(tx, user_id, but=keep)
    audit.record(tx, caller, "identity.remove", user_id, issuers=issuers)


async def _enter(
    tx: Transaction, settings: ProviderSettings, claims: dict[str, Any], browser: Browser
) -> Entered:
    known = select(Identity.user_id).where(
        Identity.issuer == settings.issuer, Identity.subject == claims["sub"]
    )
    user_id = await tx.session.scalar(known)
    user = await (_newcomer(tx, settings, claims) if user_id is None else users.get(tx, user_id))
    if not user.enabled:
        raise ForbiddenError(f"{user.name} is disabled; ask an administrator.")
    whole = not await second_factor.is_wanted(tx, user.id)
    return await signing_in.enter(tx, user, browser, whole=whole, by="provider")


async def _newcomer(tx: Transaction, settings: ProviderSettings, claims: dict[str, Any]) -> User:
    if not may_come(settings, claims):
        raise ForbiddenError(
            f"{settings.name} knows you, but nobody has let you in here. Ask an administrator, or log in "
            "another way and add this identity on the page of your account."
        )
    user = await users.create(tx, SYSTEM, await _free_name(tx, claims), Role.MEMBER)
    await _keep(tx, SYSTEM, user, settings.issuer, claims)
    return user


async def _add(tx: Transaction, caller: Caller, issuer: str, claims: dict[str, Any]) -> None:
    user = await authority.over(tx, caller, caller.user_id or "")
    count = select(func.count()).select_from(Identity).where(Identity.user_id == user.id)
    if (await tx.session.scalar(count) or 0) >= MOST:
        raise ConflictError(f"A user has at most {MOST} identities; remove them first.")
    await _keep(tx, caller, user, issuer, claims)


async def _keep(tx: Transaction, caller: Caller, user: User, issuer: str, claims: dict[str, Any]) -> None:
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(Identity)
    row = {"issuer": issuer, "subject": claims["sub"], "user_id": user.id, "created_at": tx.now}
    # Whoever comes twice at once is made once.
    kept = insert.values(row).on_conflict_do_nothing().returning(Identity.user_id)
    if await tx.session.scalar(kept) is None:
        raise ConflictError("This identity is somebody's already. If it is yours, log in again.")
    audit.record(tx, caller, "identity.add", user.id, issuer=issuer, identity=claims["sub"])


def may_come(settings: ProviderSettings, claims: dict[str, Any]) -> bool:
    """Whether a rule lets in somebody who is nobody here yet."""
    email = claims.get("email")
    if isinstance(email, str) and claims.get("email_verified") is True:
        domain = email.rpartition("@")[2].lower()
        if domain in settings.domains and email.count("@") == 1:
            return True
    return any(_has(claims.get(name), value) for name, value in settings.claims)


def _has(claim: object, value: str) -> bool:
    if isinstance(claim, list):
        return value in [each for each in claim if isinstance(each, str)]
    return claim == value


async def _free_name(tx: Transaction, claims: dict[str, Any]) -> str:
    """Return a name for a newcomer, like the one that they have there; it is nobody's here."""
    email = claims.get("email")
    said = (claims.get("preferred_username"), email and str(email).partition("@")[0], claims.get("name"))
    plain = (re.sub(r"[^a-zA-Z0-9._-]+", "-", str(each or "")).strip("._-")[:48] for each in said)
    name = next((each for each in plain if each), "user")
    for number in range(1, 100):
        free = name if number == 1 else f"{name}-{number}"
        if not await tx.session.scalar(select(exists().where(User.name == free))):
            return free
    return f"{name}-{secrets.token_hex(6)}"


def _seen(visit: str) -> str:
    return hashlib.sha256(b"wirewright visit " + visit.encode()).hexdigest()


def _raw(state: str) -> bytes:
    try:
        return urlsafe_b64decode(state[:64].encode("ascii") + b"==")
    except ValueError:
        return b""
