"""Invitations: rights to enrol devices. One is shown once, expires, and is used up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from wirewright.coordinator.clock import DAY, SECOND
from wirewright.coordinator.errors import InvalidError, NotFoundError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import audit, devices, gateways, texts
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.tables import Invitation, User

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

LIFETIME: Final = 7 * DAY
"""Of an invitation, unless it says otherwise."""
LONGEST: Final = 366 * DAY
USES: Final = 1000
"""Devices that one invitation enrols, at most."""


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """An invitation to be; times in microseconds."""

    name: str
    gateway_id: str | None = None
    user_id: str | None = None
    """Whose the devices will be."""
    uses: int = 1
    expires_at: int | None = None
    """`LIFETIME` from now, if nothing is said."""
    policy: list[dict[str, object]] | None = None
    device_lifetime: int | None = None
    """For which each device may stay; ``None`` for ever."""
    on_lease: bool = False
    """Whether the devices ask for their addresses themselves, so that none is chosen for them."""


async def create(tx: Transaction, caller: Caller, new: NewInvitation) -> tuple[Invitation, Secret]:
    """Make an invitation."""
    expires_at = tx.now + LIFETIME if new.expires_at is None else new.expires_at
    if not tx.now < expires_at <= tx.now + LONGEST:
        raise InvalidError("An invitation expires in the future, within a year.")
    if not 1 <= new.uses <= USES:
        raise InvalidError(f"An invitation is for 1 to {USES} devices.")
    if new.device_lifetime is not None and not SECOND <= new.device_lifetime <= 100 * LONGEST:
        raise InvalidError("A device lives from a second to a hundred years.")
    if new.user_id is not None and await tx.session.get(User, new.user_id) is None:
        raise NotFoundError(f"There is no user {new.user_id}.")
    secret = Secret.generate(Kind.INVITATION)
    invitation = Invitation(
        id=new_id(tx.now),
        name=texts.label(new.name, "The name of an invitation"),
        public_id=secret.public_id,
        secret_hash=secret.hash,
        gateway_id=await gateways.choose(tx, new.gateway_id),
        user_id=new.user_id,
        policy=devices.checked_policy(new.policy),
        device_lifetime=new.device_lifetime,
        on_lease=new.on_lease,
        uses=new.uses,
        uses_left=new.uses,
        expires_at=expires_at,
        created_at=tx.now,
    )
    tx.session.add(invitation)
    await tx.session.flush()
    told = audit.detail_of(
        name=invitation.name, gateway=invitation.gateway_id, user=new.user_id, uses=new.uses
    )
    audit.record(tx, caller, "invitation.create", invitation.id, **told)
    return invitation, secret


async def get(tx: Transaction, invitation_id: str) -> Invitation:
    """Return an invitation, or raise `NotFoundError`."""
    invitation = await tx.session.get(Invitation, invitation_id)
    if invitation is None:
        raise NotFoundError(f"There is no invitation {invitation_id}.")
    return invitation


async def listed(
    tx: Transaction, after: str | None, limit: int, *, newest_first: bool = False
) -> Page[Invitation]:
    """Return invitations, those that are used up or expired too."""
    return await page(tx, select(Invitation), Invitation.id, after, limit, backwards=newest_first)


async def delete(tx: Transaction, caller: Caller, invitation_id: str) -> None:
    """Take an invitation back; devices that it enrolled stay."""
    query = select(Invitation).where(Invitation.id == invitation_id).with_for_update()
    invitation = await tx.session.scalar(query)
    if invitation is None:
        raise NotFoundError(f"There is no invitation {invitation_id}.")
    await tx.session.delete(invitation)
    audit.record(tx, caller, "invitation.delete", invitation.id, name=invitation.name)
