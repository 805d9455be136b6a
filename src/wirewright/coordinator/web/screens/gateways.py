"""Gateways, and the pools that they give addresses from."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import func, select

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.services import addresses, changes, gateways, networks, pools
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.tables import Device, Gateway, Pool
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.forms import require_sent
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Visiting, root_url

router = APIRouter(prefix="/gateways")
pool_router = APIRouter(prefix="/pools")
Id = Annotated[str, Path(pattern=UUID)]
_PAGE = 50


@router.get("")
async def show(
    request: Request,
    store: Store,
    visitor: Visiting,
    after: Annotated[str | None, Query(pattern=UUID)] = None,
) -> Response:
    """List gateways."""
    visitor.caller.require(Scope.GATEWAYS_READ)

    async def work(tx: Transaction) -> dict[str, object]:
        found = await gateways.listed(tx, after, _PAGE)
        count = select(Device.gateway_id, func.count()).group_by(Device.gateway_id)
        devices = {row[0]: row[1] for row in await tx.session.execute(count)}
        return {"found": found, "devices": devices, "now": tx.now}

    return render(request, "gateways.html", **await store.read(work))


@router.get("/new")
async def form(request: Request, visitor: Visiting) -> Response:
    """Show what a gateway to be is asked for."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    return render(request, "gateway_new.html")


@router.post("")
async def create(
    request: Request,
    store: Store,
    visitor: Visiting,
    name: Annotated[str, Form(max_length=64)] = "",
    endpoint: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """Make a gateway, and show its credential this once."""
    caller = visitor.caller
    caller.require(Scope.GATEWAYS_WRITE)

    async def work(tx: Transaction) -> tuple[Gateway, str]:
        gateway, secret = await gateways.create(tx, caller, gateways.NewGateway(name, endpoint))
        return gateway, secret.expose() if secret else ""

    gateway, credential = await store.write(work)
    return _credential(request, gateway, credential)


@router.get("/{gateway}")
async def show_one(request: Request, store: Store, visitor: Visiting, gateway: Id) -> Response:
    """Show a gateway with its pools."""
    visitor.caller.require(Scope.GATEWAYS_READ)

    async def work(tx: Transaction) -> dict[str, object]:
        found = await changes.found(tx, gateway)
        usage = await addresses.usage(tx)
        rows = await tx.session.scalars(
            select(Pool).where(Pool.gateway_id == gateway).order_by(Pool.family, Pool.first)
        )
        shown = [
            {
                "id": pool.id,
                "network": networks.network(pool.first, pool.prefix_length),
                "held": usage.get(pool.id, (0, 0))[0],
                "quarantined": usage.get(pool.id, (0, 0))[1],
            }
            for pool in rows
        ]
        count = select(func.count()).select_from(Device).where(Device.gateway_id == gateway)
        return {
            "gateway": found,
            "pools": shown,
            "devices": await tx.session.scalar(count) or 0,
            "now": tx.now,
        }

    return render(request, "gateway.html", **await store.read(work))


@router.post("/{gateway}/settings")
async def change(
    request: Request,
    store: Store,
    visitor: Visiting,
    gateway: Id,
    endpoint: Annotated[str, Form(max_length=300)] = "",
    dns: Annotated[str, Form(max_length=600)] = "",
    mtu: Annotated[str, Form(max_length=5, pattern=r"^[0-9]*$")] = "",
) -> Response:
    """Change what devices are told of a gateway."""
    await require_sent(request, "endpoint", "dns", "mtu")
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    wanted = gateways.GatewayChange(
        endpoint=endpoint.strip(),
        dns=tuple(dns.replace(",", " ").split()),
        mtu=int(mtu) if mtu else None,
    )
    await store.write(gateways.update, visitor.caller, gateway, wanted)
    return done(request, f"/gateways/{gateway}", "gateway-settings")


@router.get("/{gateway}/credential")
async def ask_to_renew(request: Request, store: Store, visitor: Visiting, gateway: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    found = await store.read(changes.found, gateway)
    losses = [
        "the credential that it has: it is told nothing more until it has the new one",
    ]
    kept = ["its tunnels: devices stay connected as they are"]
    text = f"Make another credential for {found.name}?"
    question = Question(text, losses, kept, button="Make another")
    here = f"/gateways/{gateway}"
    return ask(request, question, action=f"{here}/credential", back=here)


@router.post("/{gateway}/credential")
async def renew_credential(request: Request, store: Store, visitor: Visiting, gateway: Id) -> Response:
    """Make another credential; the one before is worth nothing from now on."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    renewed, secret = await store.write(gateways.renew_credential, visitor.caller, gateway)
    return _credential(request, renewed, secret.expose())


@router.get("/{gateway}/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting, gateway: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    found = await store.read(changes.found, gateway)
    losses = ["its credential: where it runs, it is told nothing more"]
    question = Question(f"Remove the gateway {found.name}?", losses)
    return ask(request, question, action=f"/gateways/{gateway}/remove", back=f"/gateways/{gateway}")


@router.post("/{gateway}/remove")
async def remove(request: Request, store: Store, visitor: Visiting, gateway: Id) -> Response:
    """Remove a gateway that has neither devices nor pools."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    await store.write(gateways.delete, visitor.caller, gateway)
    return done(request, "/gateways", "gateway-removed")


@router.post("/{gateway}/pools")
async def add_pool(
    request: Request,
    store: Store,
    visitor: Visiting,
    gateway: Id,
    network: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Make a pool of a gateway."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    if not network.strip():
        raise InvalidError("A pool is a network, such as 10.88.0.0/16.")
    await store.write(pools.create, visitor.caller, pools.NewPool(gateway, network.strip()))
    return done(request, f"/gateways/{gateway}", "pool-added")


@pool_router.get("/{pool}/remove")
async def ask_to_remove_pool(request: Request, store: Store, visitor: Visiting, pool: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    found = await store.read(pools.get, pool)
    network = networks.network(found.first, found.prefix_length)
    losses = [
        "the addresses in it: new devices get none of them",
        "its quarantine: who had an address of it lately is forgotten",
    ]
    question = Question(f"Remove the pool {network}?", losses)
    back = f"/gateways/{found.gateway_id}"
    return ask(request, question, action=f"/pools/{pool}/remove", back=back)


@pool_router.post("/{pool}/remove")
async def remove_pool(request: Request, store: Store, visitor: Visiting, pool: Id) -> Response:
    """Remove a pool of which no device holds an address."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)

    async def work(tx: Transaction) -> str:
        gateway = (await pools.get(tx, pool)).gateway_id
        await pools.delete(tx, visitor.caller, pool)
        return gateway

    return done(request, f"/gateways/{await store.write(work)}", "pool-removed")


def _credential(request: Request, gateway: Gateway, credential: str) -> Response:
    return render(
        request,
        "gateway_credential.html",
        201,
        gateway=gateway,
        credential=credential,
        root=root_url(request),
    )
