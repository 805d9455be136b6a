"""``/gateways``, ``/pools``, ``/reservations`` and ``/leases``."""

from typing import Annotated

from fastapi import APIRouter, Response

from wirewright.coordinator.api.dependencies import Creating, Pages, Store, needs
from wirewright.coordinator.api.models import (
    AddressAnswer,
    GatewayAnswer,
    GatewayPatch,
    GatewayRequest,
    Id,
    Listed,
    NewGatewayAnswer,
    PoolAnswer,
    PoolRequest,
    ReservationRequest,
)
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.services import addresses, changes, gateways, pools
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.storage import Transaction

router = APIRouter(tags=["gateways"])
Reader = Annotated[Caller, needs(Scope.GATEWAYS_READ)]
Writer = Annotated[Caller, needs(Scope.GATEWAYS_WRITE)]
AddressReader = Annotated[Caller, needs(Scope.ADDRESSES_READ)]
AddressWriter = Annotated[Caller, needs(Scope.ADDRESSES_WRITE)]


@router.get("/gateways", responses=answers())
async def list_gateways(store: Store, _caller: Reader, pages: Pages) -> Listed[GatewayAnswer]:
    """List gateways."""
    found = await store.read(gateways.listed, pages.after, pages.limit)
    return Listed(items=[GatewayAnswer.of(gateway) for gateway in found.items], next=found.next)


@router.post("/gateways", status_code=201, response_model=NewGatewayAnswer, responses=answers(409))
async def create_gateway(caller: Writer, once: Creating, body: GatewayRequest) -> Response:
    """Make a gateway; its credential is shown this once."""
    dns = tuple(str(server) for server in body.dns)
    new = gateways.NewGateway(body.name, body.endpoint, body.public_key, dns, body.mtu)

    async def work(tx: Transaction) -> NewGatewayAnswer:
        gateway, secret = await gateways.create(tx, caller, new)
        shown = GatewayAnswer.of(gateway).model_dump()
        return NewGatewayAnswer(**shown, credential=secret.expose() if secret else None)

    return await once.create(caller, work)


@router.get("/gateways/{gateway}", responses=answers(404))
async def show_gateway(store: Store, _caller: Reader, gateway: Id) -> GatewayAnswer:
    """Show a gateway."""
    return GatewayAnswer.of(await store.read(changes.found, gateway))


@router.patch("/gateways/{gateway}", responses=answers(404, 409))
async def change_gateway(store: Store, caller: Writer, gateway: Id, body: GatewayPatch) -> GatewayAnswer:
    """Change what devices are told of a gateway."""
    dns = None if body.dns is None else tuple(str(server) for server in body.dns)
    change = gateways.GatewayChange(body.endpoint, body.public_key, dns, body.mtu)
    return GatewayAnswer.of(await store.write(gateways.update, caller, gateway, change))


@router.delete("/gateways/{gateway}", status_code=204, responses=answers(404, 409))
async def remove_gateway(store: Store, caller: Writer, gateway: Id) -> None:
    """Remove a gateway that has neither devices nor pools."""
    await store.write(gateways.delete, caller, gateway)


@router.post(
    "/gateways/{gateway}/credential", status_code=201, response_model=NewGatewayAnswer, responses=answers(404)
)
async def renew_credential(caller: Writer, once: Creating, gateway: Id) -> Response:
    """Make a new credential; the one before is worth nothing from now on."""

    async def work(tx: Transaction) -> NewGatewayAnswer:
        renewed, secret = await gateways.renew_credential(tx, caller, gateway)
        return NewGatewayAnswer(**GatewayAnswer.of(renewed).model_dump(), credential=secret.expose())

    return await once.create(caller, work)


@router.get("/pools", responses=answers())
async def list_pools(store: Store, _caller: Reader, pages: Pages) -> Listed[PoolAnswer]:
    """List pools, with how many of their addresses are held or in quarantine."""

    async def work(tx: Transaction) -> Listed[PoolAnswer]:
        found = await pools.listed(tx, pages.after, pages.limit)
        usage = await addresses.usage(tx)
        items = [PoolAnswer.of(pool, *usage.get(pool.id, (0, 0))) for pool in found.items]
        return Listed(items=items, next=found.next)

    return await store.read(work)


@router.post("/pools", status_code=201, response_model=PoolAnswer, responses=answers(404, 409))
async def create_pool(caller: Writer, once: Creating, body: PoolRequest) -> Response:
    """Make a pool; its first address is the gateway's."""
    new = pools.NewPool(body.gateway, body.network, body.quarantine_seconds * SECOND)

    async def work(tx: Transaction) -> PoolAnswer:
        return PoolAnswer.of(await pools.create(tx, caller, new), 1, 0)

    return await once.create(caller, work)


@router.delete("/pools/{pool}", status_code=204, responses=answers(404, 409))
async def remove_pool(store: Store, caller: Writer, pool: Id) -> None:
    """Remove a pool of which no device holds an address."""
    await store.write(pools.delete, caller, pool)


@router.get("/reservations", responses=answers())
async def list_reservations(store: Store, _caller: AddressReader, pages: Pages) -> Listed[AddressAnswer]:
    """List addresses that are given to nobody by themselves."""
    found = await store.read(addresses.held, "reserved", pages.after, pages.limit)
    return Listed(items=[AddressAnswer.of(row) for row in found.items], next=found.next)


@router.post("/reservations", status_code=201, response_model=AddressAnswer, responses=answers(404, 409))
async def create_reservation(caller: AddressWriter, once: Creating, body: ReservationRequest) -> Response:
    """Keep an address from being given out."""

    async def work(tx: Transaction) -> AddressAnswer:
        row = await pools.reserve(tx, caller, body.gateway, body.address, body.note)
        return AddressAnswer.of(row)

    return await once.create(caller, work)


@router.delete("/reservations/{reservation}", status_code=204, responses=answers(404))
async def remove_reservation(store: Store, caller: AddressWriter, reservation: Id) -> None:
    """Let an address be given out again."""
    await store.write(addresses.cancel_reservation, caller, reservation)


@router.get("/leases", responses=answers())
async def list_leases(store: Store, _caller: AddressReader, pages: Pages) -> Listed[AddressAnswer]:
    """List addresses that devices hold for a time."""
    found = await store.read(addresses.held, "leased", pages.after, pages.limit)
    return Listed(items=[AddressAnswer.of(row) for row in found.items], next=found.next)
