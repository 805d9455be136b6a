"""What the routers ask for: the coordinator, the one who asks, pages, and answers that are given once."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from wirewright.coordinator.api.models import Id
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.errors import UnauthorizedError
from wirewright.coordinator.services import gateways, idempotency, users
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.services.paging import LIMIT
from wirewright.coordinator.storage import Storage, Transaction, tables

_bearer = HTTPBearer(auto_error=False, description="A token (wwt_…), or a gateway's credential (wwg_…).")


def the_coordinator(request: Request) -> Coordinator:
    """Return what this process has."""
    coordinator = request.app.state.coordinator
    assert isinstance(coordinator, Coordinator)
    return coordinator


def the_storage(request: Request) -> Storage:
    """Return the storage."""
    return the_coordinator(request).storage


def bearer(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    """Return what the request is proved with, or refuse it."""
    if credentials is None:
        raise UnauthorizedError("Send a token: Authorization: Bearer wwt_….")
    return credentials.credentials


def origin(request: Request) -> str:
    """Return the network address that asks."""
    return request.client.host[:64] if request.client else ""


Store = Annotated[Storage, Depends(the_storage)]
Bearer = Annotated[str, Depends(bearer)]


async def authenticated(store: Store, text: Bearer, request: Request) -> Caller:
    """Return the user who asks."""
    return await store.read(users.authenticate, text, origin(request))


async def authenticated_gateway(store: Store, text: Bearer) -> tables.Gateway:
    """Return the gateway that asks."""
    return await store.read(gateways.authenticate, text)


TheGateway = Annotated[tables.Gateway, Depends(authenticated_gateway)]


def needs(scope: Scope) -> Any:  # noqa: ANN401 (a dependency)
    """Return the dependency that gives the caller, who has the scope."""

    async def authorized(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        caller.require(scope)
        return caller

    return Depends(authorized)


class Paging:
    """Which page of a list is asked for."""

    def __init__(
        self,
        after: Annotated[Id | None, Query(description="The `next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT)] = 50,
    ) -> None:
        self.after = after
        self.limit = limit


Pages = Annotated[Paging, Depends()]


class Once:
    """Creates that are repeated safely: with an ``Idempotency-Key`` the same request has the same answer."""

    def __init__(
        self,
        request: Request,
        store: Store,
        text: Bearer,
        idempotency_key: Annotated[
            str | None, Header(min_length=1, max_length=idempotency.KEY_LENGTH)
        ] = None,
    ) -> None:
        self._request, self._store, self._bearer, self._key = request, store, text, idempotency_key

    async def create(self, caller: Caller, work: Callable[[Transaction], Awaitable[BaseModel]]) -> Response:
        """Do the work and answer with what it returns."""

        async def told(tx: Transaction) -> bytes:
            return (await work(tx)).model_dump_json().encode()

        if self._key is None or caller.user_id is None:
            return _json(201, await self._store.write(told))
        asked = f"{self._request.method} {self._request.url.path}\n".encode() + await self._request.body()
        attempt = idempotency.Attempt(caller.user_id, self._key, self._bearer, asked)
        return _json(*await self._store.write(idempotency.once, attempt, 201, told))


Creating = Annotated[Once, Depends()]


def _json(status: int, content: bytes) -> Response:
    return Response(content, status, media_type="application/json", headers={"Cache-Control": "no-store"})
