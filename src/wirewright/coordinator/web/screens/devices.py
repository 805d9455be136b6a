"""stub of list."""

import types
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.services import devices
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.visitors import Visiting

router = APIRouter(prefix="/devices")


@dataclass(frozen=True)
class Asked:
    q: str = ""
    state: str = ""
    sort: str = "name"
    page: int = 1

    def address(self, **other):
        return "/devices?" + urlencode({k: v for k, v in asdict(replace(self, **other)).items() if v})


@router.get("")
async def show(
    request: Request,
    store: Store,
    visitor: Visiting,
    q: str = "",
    state: str = "",
    sort: str = "name",
    page: int = 1,
) -> Response:
    async def work(tx):
        p = await devices.listed(tx, visitor.caller, None, 50)
        items = [i for i in p.items if q in i.device.name]
        return dict(
            now=tx.now,
            found=types.SimpleNamespace(
                items=items, total=len(items), all=len(p.items), online=1, first=1, last=len(items)
            ),
        )

    return render(request, "devices.html", asked=Asked(q, state, sort, page), **await store.read(work))
