"""``/invitations`` and ``/enrolment``."""

from base64 import b64decode
from typing import Annotated

from fastapi import APIRouter, Request, Response

from wirewright.coordinator.api.dependencies import Creating, Pages, Store, needs, origin, the_coordinator
from wirewright.coordinator.api.enrolments import (
    EnrolmentAnswer,
    EnrolmentParameters,
    EnrolmentRequest,
    InvitationAnswer,
    InvitationRequest,
    NewInvitationAnswer,
    TunnelParameters,
)
from wirewright.coordinator.api.models import DeviceAnswer, Id, Listed, instant
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import CoordinatorError, TooManyError
from wirewright.coordinator.services import enrolment, invitations, tunnels
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.storage import Transaction

router = APIRouter(tags=["invitations"])
Reader = Annotated[Caller, needs(Scope.INVITATIONS_READ)]
Writer = Annotated[Caller, needs(Scope.INVITATIONS_WRITE)]


@router.get("/invitations", responses=answers())
async def list_invitations(store: Store, _caller: Reader, pages: Pages) -> Listed[InvitationAnswer]:
    """List invitations, those that are used up or expired too."""
    found = await store.read(invitations.listed, pages.after, pages.limit)
    return Listed(items=[InvitationAnswer.of(row) for row in found.items], next=found.next)


@router.post("/invitations", status_code=201, response_model=NewInvitationAnswer, responses=answers(404))
async def create_invitation(caller: Writer, once: Creating, body: InvitationRequest) -> Response:
    """Make an invitation; it is shown this once."""
    lifetime = body.device_lifetime_seconds
    new = invitations.NewInvitation(
        body.name,
        body.gateway,
        body.user,
        body.uses,
        instant(body.expires_at),
        None if body.policy is None else [rule.model_dump(mode="json") for rule in body.policy],
        None if lifetime is None else lifetime * SECOND,
        body.on_lease,
    )

    async def work(tx: Transaction) -> NewInvitationAnswer:
        invitation, secret = await invitations.create(tx, caller, new)
        shown = InvitationAnswer.of(invitation).model_dump()
        return NewInvitationAnswer(**shown, invitation=secret.expose())

    return await once.create(caller, work)


@router.get("/invitations/{invitation}", responses=answers(404))
async def show_invitation(store: Store, _caller: Reader, invitation: Id) -> InvitationAnswer:
    """Show an invitation, without what it is proved with."""
    return InvitationAnswer.of(await store.read(invitations.get, invitation))


@router.delete("/invitations/{invitation}", status_code=204, responses=answers(404))
async def remove_invitation(store: Store, caller: Writer, invitation: Id) -> None:
    """Take an invitation back; devices that it enrolled stay."""
    await store.write(invitations.delete, caller, invitation)


@router.get("/enrolment", tags=["enrolment"], responses=answers(429))
async def show_enrolment(store: Store, request: Request) -> EnrolmentParameters:
    """Tell the public key that clients prove theirs against."""
    _admit(request)
    key = await store.read(enrolment.own_key)
    return EnrolmentParameters(public_key=str(key.public_key))


@router.post(
    "/enrolment",
    status_code=201,
    tags=["enrolment"],
    responses=answers(404, 409, 429)
    | {200: {"model": EnrolmentAnswer, "description": "It was enrolled before"}},
)
async def enrol(
    store: Store, request: Request, response: Response, body: EnrolmentRequest
) -> EnrolmentAnswer:
    """Use an invitation. The same one with the same key gives the same device again (200)."""
    metrics = the_coordinator(request).metrics
    _admit(request)
    asked = enrolment.Enrolment(body.invitation, body.public_key, body.name, b64decode(body.proof))

    async def work(tx: Transaction) -> tuple[EnrolmentAnswer, bool]:
        details, gateway, new = await enrolment.enrol(tx, origin(request), asked)
        parameters = TunnelParameters.of(await tunnels.parameters(tx, gateway, details.addresses))
        return EnrolmentAnswer(device=DeviceAnswer.of(details), tunnel=parameters), new

    try:
        answer, new = await store.write(work)
    except CoordinatorError as error:
        metrics.enrolments.labels(error.kind).inc()
        raise
    metrics.enrolments.labels("new" if new else "again").inc()
    response.status_code = 201 if new else 200
    response.headers["Cache-Control"] = "no-store"
    return answer


def _admit(request: Request) -> None:
    wait = the_coordinator(request).admit(origin(request))
    if wait is not None:
        the_coordinator(request).metrics.enrolments.labels(TooManyError.kind).inc()
        error = TooManyError(f"Too many enrolments were tried; come again in {wait} s.")
        error.retry_after = wait
        raise error
