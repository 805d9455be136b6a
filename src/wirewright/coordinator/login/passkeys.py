"""Passkeys (WebAuthn, level 3): key pairs that a device or a password manager keeps, for the page's name.

# Theory

The page asks with a challenge; the browser answers with a signature over it, the page's origin, and what the
authenticator did. The user is verified (a finger, a face, a PIN) at each use, so a passkey is both factors in
one: something that one has, and is or knows. It is found by its own name (*discoverable*), so that nobody
says who they are before, and nothing is told of who exists.

A challenge is good once, for five minutes, and for one purpose. Who signed is known by the public key, which
is all that is kept of a passkey. A counter that goes back tells of a copy; most authenticators count nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from sqlalchemy import select
from webauthn.helpers import base64url_to_bytes, options_to_json_dict, parse_client_data_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from wirewright.coordinator.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.login import authority, challenges, sessions, signing_in
from wirewright.coordinator.login.challenges import Purpose
from wirewright.coordinator.login.signing_in import Entered, WrongError
from wirewright.coordinator.services import audit, texts
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.storage.logins import Passkey
from wirewright.coordinator.storage.tables import User

if TYPE_CHECKING:
    from wirewright.coordinator.login.sessions import Browser
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Storage, Transaction

MOST: Final = 16
"""Passkeys of a user."""
_NAME: Final = "Wirewright"
_WRONG: Final = "This passkey is unknown here, or the answer came too late. Try again, or log in another way."


@dataclass(frozen=True, slots=True)
class Party:
    """The page as passkeys know it: its name (relying party identifier), and its origin."""

    id: str
    origin: str

    @classmethod
    def at(cls, url: str) -> Party | None:
        """Return that of a page at ``url``; ``None`` where browsers have none: at an address, or without TLS.

        ``localhost`` needs no TLS (W3C Secure Contexts, section 3.1).
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        with suppress(ValueError):
            ip_address(host)
            return None
        if not host or (parts.scheme != "https" and host != "localhost"):
            return None
        standard = {"https": 443, "http": 80}.get(parts.scheme)
        port = "" if parts.port in {None, standard} else f":{parts.port}"
        return cls(host, f"{parts.scheme}://{host}{port}")


async def begin_adding(tx: Transaction, caller: Caller, party: Party) -> dict[str, Any]:
    """Return what ``navigator.credentials.create`` is to be asked for, as JSON."""
    user = await authority.over(tx, caller, _own(caller))
    known = await listed(tx, user.id)
    if len(known) >= MOST:
        raise ConflictError(f"A user has at most {MOST} passkeys; remove one first.")
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=_NAME,
        user_id=UUID(user.id).bytes,
        user_name=user.name,
        user_display_name=user.name,
        challenge=await challenges.ask(tx, Purpose.PASSKEY_ADD, user_id=user.id),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            require_resident_key=True,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each.credential) for each in known],
    )
    return options_to_json_dict(options)


async def add(tx: Transaction, caller: Caller, party: Party, name: str, answer: dict[str, Any]) -> Passkey:
    """Keep the passkey that a browser made; raise `InvalidError` for an answer to something else."""
    user = await authority.over(tx, caller, _own(caller))
    label = texts.label(name, "The name of a passkey")
    challenge = _challenge(answer)
    if challenge is None or await challenges.answered(tx, Purpose.PASSKEY_ADD, challenge, user.id) is None:
        raise InvalidError("This passkey was made too late, or for something else. Begin again.")
    try:
        made = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except Exception:  # what a browser sends is anything, and the library's errors are of many kinds
        raise InvalidError("The browser's answer is no passkey for this page. Begin again.") from None
    if len(await listed(tx, user.id)) >= MOST:
        raise ConflictError(f"A user has at most {MOST} passkeys; remove one first.")
    if await tx.session.scalar(select(Passkey.id).where(Passkey.credential == made.credential_id)):
        raise ConflictError("This passkey is known already.")
    passkey = Passkey(
        id=new_id(tx.now),
        user_id=user.id,
        name=label,
        credential=made.credential_id,
        public_key=made.credential_public_key,
        signs=made.sign_count,
        created_at=tx.now,
        used_at=None,
    )
    tx.session.add(passkey)
    await tx.session.flush()
    audit.record(tx, caller, "passkey.add", passkey.id, user=user.id, name=label)
    return passkey


async def begin_login(tx: Transaction, party: Party) -> dict[str, Any]:
    """Return what ``navigator.credentials.get`` is to be asked for, as JSON; of whom is not asked."""
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=await challenges.ask(tx, Purpose.PASSKEY_LOGIN),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


async def log_in(storage: Storage, party: Party, answer: dict[str, Any], browser: Browser) -> Entered:
    """Begin a whole session of the user whose passkey answered; raise `WrongError` for any other answer."""

    async def work(tx: Transaction) -> Entered | None:
        challenge, credential = _challenge(answer), _credential(answer)
        if challenge is None or await challenges.answered(tx, Purpose.PASSKEY_LOGIN, challenge) is None:
            return None
        query = select(Passkey, User).join(User, User.id == Passkey.user_id)
        query = query.where(Passkey.credential == credential).with_for_update(of=Passkey)
        row = (await tx.session.execute(query)).one_or_none()
        if row is None or not row[1].enabled:
            return None
        passkey, user = row
        try:
            shown = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=party.id,
                expected_origin=party.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.signs,
                require_user_verification=True,
            )
        except Exception:  # as above
            signing_in.note_refusal(tx, user, browser, by="passkey")
            return None
        passkey.signs, passkey.used_at = shown.new_sign_count, tx.now
        return await signing_in.enter(tx, user, browser, whole=True, by="passkey")

    entered = await storage.write(work)
    if entered is None:
        raise WrongError(_WRONG)
    return entered


async def listed(tx: Transaction, user_id: str) -> list[Passkey]:
    """Return a user's passkeys, the oldest first."""
    query = select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id)
    return list(await tx.session.scalars(query))


async def get(tx: Transaction, caller: Caller, passkey_id: str) -> Passkey:
    """Return a passkey: one's own, or anybody's for who may change users."""
    passkey = await tx.session.get(Passkey, passkey_id)
    if passkey is None or (passkey.user_id != caller.user_id and not caller.may(Scope.USERS_WRITE)):
        raise NotFoundError(f"There is no passkey {passkey_id}.")
    return passkey


async def remove(tx: Transaction, caller: Caller, passkey_id: str, *, keep: str | None = None) -> None:
    """Forget a passkey, and end its user's sessions but for ``keep``; who may is `authority.over`."""
    passkey = await get(tx, caller, passkey_id)
    await authority.over(tx, caller, passkey.user_id)
    await tx.session.delete(passkey)
    await sessions.end_all(tx, passkey.user_id, but=keep)
    audit.record(tx, caller, "passkey.remove", passkey.id, user=passkey.user_id, name=passkey.name)


def _own(caller: Caller) -> str:
    if caller.user_id is None:
        raise ForbiddenError("Only a user has passkeys.")
    return caller.user_id


def _challenge(answer: dict[str, Any]) -> bytes | None:
    """Return which challenge an answer says that it is to."""
    try:
        return bytes(
            parse_client_data_json(base64url_to_bytes(answer["response"]["clientDataJSON"])).challenge
        )
    except Exception:  # as above
        return None


def _credential(answer: dict[str, Any]) -> bytes:
    try:
        return base64url_to_bytes(answer["rawId"])[:1023]
    except (KeyError, TypeError, ValueError, AttributeError):
        return b""
