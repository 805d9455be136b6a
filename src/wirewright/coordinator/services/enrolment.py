"""Enrolment: an invitation and a proof of possession become a device.

It is idempotent by itself: the same invitation and the same key give the same device, however often, so
that an answer which was lost is cured by asking again. That holds after the invitation is used up or
expired too, since it grants nothing new; it ends when the invitation is taken back.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from wirewright.client import proof
from wirewright.coordinator.errors import ForbiddenError, InvalidError
from wirewright.coordinator.services import audit, changes, devices, texts
from wirewright.coordinator.services.access import Caller, Role
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.storage.tables import Device, Gateway, Invitation, Setting
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from wirewright.coordinator.services.devices import DeviceDetails
    from wirewright.coordinator.storage import Transaction

ENROLMENT_KEY = "enrolment key"
"""The setting with the coordinator's private key for proofs, which all replicas share."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a client sends."""

    invitation: str = field(repr=False)
    public_key: str
    name: str
    proof: bytes


async def own_key(tx: Transaction) -> SecretKey:
    """Return the key that clients prove theirs against. Who has it could enrol keys that are not its own."""
    setting = await tx.session.get(Setting, ENROLMENT_KEY)
    if setting is None:
        raise InvalidError("The database was not prepared: start the coordinator once.")
    return SecretKey.from_buffer(b64decode(setting.value["key"]))


async def enrol(tx: Transaction, origin: str, asked: Enrolment) -> tuple[DeviceDetails, Gateway, bool]:
    """Return the device, its gateway, and whether it is new."""
    secret = Secret.parse(Kind.INVITATION, asked.invitation)
    found = None
    if secret is not None:
        found = await tx.session.scalar(select(Invitation).where(Invitation.public_id == secret.public_id))
    if secret is None or not secret.matches(found.secret_hash if found else None) or found is None:
        raise ForbiddenError(_REFUSED)
    key = texts.public_key(asked.public_key)
    coordinator = await own_key(tx)
    said = proof.message(secret.public_id, key, coordinator.public_key, asked.name)
    if not proof.proved(coordinator, key, said, asked.proof):
        raise ForbiddenError(
            "The proof does not show that the client has the private key of this public key."
        )

    # What is unproved is no actor: the invitation is.
    actor = Caller(f"invitation {secret.public_id}", origin, Role.MEMBER, frozenset())
    gateway = await changes.lock(tx, found.gateway_id)
    query = select(Invitation).where(Invitation.id == found.id).with_for_update()
    invitation = await tx.session.scalar(query.execution_options(populate_existing=True))
    if invitation is None:
        raise ForbiddenError(_REFUSED)
    before = await tx.session.scalar(
        select(Device).where(Device.public_key == bytes(key), Device.invitation_id == invitation.id)
    )
    if before is not None:
        return await devices.details(tx, before), gateway, False
    if invitation.uses_left < 1 or invitation.expires_at <= tx.now:
        raise ForbiddenError(_REFUSED)
    await devices.displace(tx, actor, key)
    invitation.uses_left -= 1
    lifetime = invitation.device_lifetime
    new = devices.NewDevice(
        asked.name,
        asked.public_key,
        policy=invitation.policy,
        expires_at=None if lifetime is None else tx.now + lifetime,
        on_lease=invitation.on_lease,
    )
    device = await devices.add(tx, gateway, new, invitation.user_id, invitation.id, proved=True)
    audit.record(
        tx,
        actor,
        "device.enrol",
        device.id,
        name=device.name,
        public_key=asked.public_key,
        gateway=gateway.id,
        invitation=invitation.name,
    )
    return await devices.details(tx, device), gateway, True


_REFUSED = "The invitation is unknown, expired, used up or was taken back; ask for a new one."
