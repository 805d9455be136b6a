"""``/audit``."""

from typing import Annotated

from fastapi import APIRouter, Query

from wirewright.coordinator.api.dependencies import Pages, Store, needs
from wirewright.coordinator.api.models import AuditAnswer, Id, Listed
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.services import audit
from wirewright.coordinator.services.access import Caller, Scope

router = APIRouter(prefix="/audit", tags=["audit"])
Reader = Annotated[Caller, needs(Scope.AUDIT_READ)]


@router.get("", responses=answers())
async def list_audit(
    store: Store,
    _caller: Reader,
    pages: Pages,
    action: Annotated[str | None, Query(pattern=r"^[a-z.]{1,64}$")] = None,
    subject: Id | None = None,
    newest_first: bool = False,
) -> Listed[AuditAnswer]:
    """List what was done, in the order in which it was done, or the other way round."""
    found = await store.read(
        audit.entries,
        pages.after,
        pages.limit,
        action=action,
        subject=subject,
        newest_first=newest_first,
    )
    return Listed(items=[AuditAnswer.of(row) for row in found.items], next=found.next)
