"""The audit log: who did what, when, newest first."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.services import audit
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.services.paging import Page
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.tables import Audit
from wirewright.coordinator.web.choices import names_of
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.visitors import Visiting

router = APIRouter(prefix="/audit")
_PAGE = 100


@router.get("")
async def show(
    request: Request,
    store: Store,
    visitor: Visiting,
    after: Annotated[str | None, Query(pattern=UUID)] = None,
    action: Annotated[str, Query(pattern=r"^[a-z._-]{0,64}$")] = "",
    subject: Annotated[str | None, Query(pattern=UUID)] = None,
) -> Response:
    """Show what was done."""
    visitor.caller.require(Scope.AUDIT_READ)

    async def work(tx: Transaction) -> tuple[Page[Audit], dict[str, str], int]:
        found = await audit.entries(
            tx, after, _PAGE, action=action or None, subject=subject, newest_first=True
        )
        return found, await names_of(tx, found.items), tx.now

    found, names, now = await store.read(work)
    return render(request, "audit.html", found=found, names=names, now=now, action=action, subject=subject)
