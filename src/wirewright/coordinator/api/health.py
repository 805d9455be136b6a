"""``/healthz`` and ``/metrics``, outside the versioned API, where monitoring looks for them."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy import select

from wirewright.coordinator import metrics
from wirewright.coordinator.api.dependencies import Store, needs, the_coordinator
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.storage import Transaction

router = APIRouter(tags=["health"])
Reader = Annotated[Caller, needs(Scope.METRICS_READ)]


class Health(BaseModel):
    """Alive, with a database."""

    status: str


@router.get("/healthz", responses=answers())
async def health(store: Store) -> Health:
    """Say whether requests can be served; needs no token, tells nothing else."""
    await store.read(_reach)
    return Health(status="ok")


@router.get("/metrics", response_class=Response, responses=answers() | {200: {"content": {"text/plain": {}}}})
async def show_metrics(request: Request, _caller: Reader) -> Response:
    """Tell Prometheus, whose token needs the scope metrics:read."""
    coordinator = the_coordinator(request)
    coordinator.metrics.streams.set(len(coordinator.streams))
    text = await coordinator.metrics.text(coordinator.storage, coordinator.gateway)
    return Response(text, media_type=metrics.MEDIA_TYPE)


async def _reach(tx: Transaction) -> None:
    await tx.session.execute(select(1))
