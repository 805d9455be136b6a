"""The one process: state directory, database, first start, API, and the gateway in it.

What begins later ends earlier: the API is offered once the first start is over, and the record that leads
commands of this machine to it is there while it is.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy.exc import DatabaseError

from wirewright.client.access import checked_url
from wirewright.client.places import Record
from wirewright.config.values import host_and_port
from wirewright.coordinator import app
from wirewright.coordinator.embedding import Carriage, embedded
from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.login import links, setup
from wirewright.coordinator.login.provider import Provider, ProviderSettings
from wirewright.coordinator.services import bootstrap
from wirewright.coordinator.services.credentials import Kind
from wirewright.coordinator.serving import Listening, Served, refuse_open, serving
from wirewright.coordinator.solitude import SecondGatewayError, Solitude, alone
from wirewright.coordinator.state import StateDirectory
from wirewright.coordinator.storage import Storage
from wirewright.coordinator.storage.schema import NewerDatabaseError, current_revision, revisions
from wirewright.coordinator.storage.urls import DatabaseUrl
from wirewright.coordinator.web import Site

if TYPE_CHECKING:
    from wirewright.coordinator.services.credentials import Secret
    from wirewright.coordinator.storage import Transaction
    from wirewright.gateway.running import RunningGateway


class StartError(Exception):
    """The process cannot start; the text says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process is told."""

    state: Path
    listening: Listening = field(default_factory=Listening)
    database: str | None = None
    """The address of a database; ``None`` for the file in the state directory."""
    public_url: str | None = None
    """Where others find the API and the page, for links."""
    gateway: Carriage | None = field(default_factory=Carriage)
    """What carries the packets of the gateway in this process; ``None`` for no gateway."""
    endpoint: str | None = None
    """Where devices find that gateway; ``None`` keeps what it is, and guesses at the first start."""
    networks: tuple[str, ...] = ()
    """Its pools at the first start; none for the usual ones."""
    provider: ProviderSettings | None = None
    """Where people may log in besides."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that runs."""

    served: Served
    storage: Storage
    gateway: RunningGateway | None
    gateway_id: str | None
    endpoint: str | None
    is_first: bool
    """Whether no process has served before, since there is an administrator."""
    solitude: Solitude | None = None
    setup: str | None = field(default=None, repr=False)
    """A link that makes who opens it the administrator; ``None`` once somebody can log in."""

    async def ended(self) -> None:
        """Wait for an error that ends the gateway, and raise it; without one, wait for ever."""
        if self.gateway is None or self.solitude is None:
            await asyncio.Event().wait()
        else:
            waiting = [asyncio.ensure_future(each) for each in (self.gateway.ended(), self.solitude.kept())]
            try:
                await asyncio.gather(*waiting)
            finally:
                for each in waiting:
                    each.cancel()


def _silent(_: str) -> None:
    pass


@asynccontextmanager
async def running(settings: Settings, tell: Callable[[str], None] = _silent) -> AsyncIterator[Running]:
    """Run until the block is left. ``tell`` hears, in words for a person, of what goes wrong meanwhile.

    Raises `StartError`, `StateError`, what `serving` does, and `OSError` if the gateway cannot begin.
    """
    if settings.public_url is not None:
        checked_url(settings.public_url)
    refuse_open(settings.listening)
    state = StateDirectory(settings.state)
    state.prepare()
    async with AsyncExitStack() as stack:
        stack.enter_context(state.held())
        storage = opened(settings.database, state)
        stack.push_async_callback(storage.close)
        solitude = None
        with _in_words(storage):
            await storage.migrate()
            await storage.write(bootstrap.prepare)
            if settings.gateway is not None:
                # Before its key is told, and its endpoint: who is refused leaves the other one's as they are.
                solitude = await stack.enter_async_context(alone(storage))
            first = await _first_start(storage, state, settings)
        _tell_of(first, tell)
        application = app.create(storage, site=_site(settings))
        if settings.provider is not None:
            application.state.coordinator.provider = Provider(settings.provider)
        served = await stack.enter_async_context(serving(application, settings.listening))
        gateway = None
        if settings.gateway is not None and first.gateway_id is not None:
            run = embedded(storage, first.gateway_id, state.gateway_key(), settings.gateway, tell)
            application.state.coordinator.gateway = gateway = await stack.enter_async_context(run)
        await storage.write(bootstrap.serves, gateway=gateway is not None)
        record = _record(settings, served)
        record.write(state.path)
        stack.callback(Record.remove, state.path)
        token = await storage.write(setup.renew)
        yield Running(
            served,
            storage,
            gateway,
            first.gateway_id,
            first.endpoint,
            first.is_first,
            solitude,
            None if token is None else _link(record.public_url or record.url, token),
        )


@contextmanager
def _in_words(storage: Storage) -> Iterator[None]:
    """Raise `StartError` for what the first start is refused."""
    try:
        yield
    except SecondGatewayError as error:
        raise StartError(str(error)) from None
    except (CoordinatorError, NewerDatabaseError) as error:
        raise StartError(f"{storage.url}: {error}") from None
    except DatabaseError as error:
        raise StartError(f"{storage.url} is no database of a coordinator: {error.orig}") from None


def opened(database: str | None, state: StateDirectory) -> Storage:
    """Return the storage at an address, or in the state directory; raises `DatabaseUrlError`."""
    if database is not None:
        return Storage.open(database)
    state.prepare_database()
    return Storage.open(f"{DatabaseUrl.file(state.database).sqlalchemy.render_as_string()}")


async def renew_token(storage: Storage, state: StateDirectory) -> None:
    """Write a new token of an administrator into the state directory; raises `StartError`."""

    async def work(tx: Transaction) -> None:
        state.keep_token(await bootstrap.another_token(tx))

    async with _changing(storage):
        await storage.write(work)


@dataclass(frozen=True, slots=True)
class LoginLink:
    """A link that logs in whoever opens it: ``user``, or (``None``) an administrator to be."""

    link: str = field(repr=False)
    user: str | None
    until: int
    """When it is worth nothing, in microseconds since 1970."""


async def login_link(storage: Storage, root: str, name: str | None) -> LoginLink:
    """Make a link into the page at ``root``, that opens once; raises `StartError`."""

    async def work(tx: Transaction) -> LoginLink:
        token = await setup.renew(tx) if name is None else None
        if token is not None:
            return LoginLink(_link(root, token), None, tx.now + setup.LIFETIME)
        user, secret = await links.make(tx, name)
        return LoginLink(_link(root, secret), user.name, tx.now + links.LIFETIME)

    async with _changing(storage):
        return await storage.write(work)


@asynccontextmanager
async def _changing(storage: Storage) -> AsyncIterator[None]:
    """Let a command change the database beside the process, and close it; raise `StartError` in words."""
    try:
        if await current_revision(storage.engine) != revisions()[-1]:
            raise StartError(
                f"{storage.url} has no tables of this version: start the coordinator (ww serve)."
            )
        yield
    except CoordinatorError as error:
        raise StartError(str(error)) from None
    except DatabaseError as error:
        raise StartError(f"{storage.url} is no database of a coordinator: {error.orig}") from None
    finally:
        await storage.close()


def _link(root: str, secret: Secret) -> str:
    """Return a link; what stands behind the # is told to no server by opening it, and in no log."""
    path = "/setup" if secret.kind is Kind.SETUP else "/login/link"
    return f"{root.rstrip('/')}{path}#{secret.expose()}"


def _site(settings: Settings) -> Site:
    """Return where the page is: over TLS, unless only this machine can reach it."""
    public = None if settings.public_url is None else checked_url(settings.public_url)
    listening = settings.listening
    over_tls = listening.certificate is not None or bool(listening.behind_proxy)
    secure = over_tls or (public is not None and public.startswith("https://"))
    return Site(public, secure, _instance(public, listening))


def _instance(public: str | None, listening: Listening) -> str:
    """Return what its cookies are told apart by, the port that browsers see: replicas agree on it."""
    if public is not None:
        port = urlsplit(public).port
        return "" if port is None else str(port)
    if listening.behind_proxy:
        # What browsers see is the proxy's, and unknown here.
        return ""
    # Any free port is another one at each start.
    return str(listening.port) if listening.port else secrets.token_hex(4)


@dataclass(frozen=True, slots=True)
class _First:
    gateway_id: str | None = None
    endpoint: str | None = None
    is_first: bool = False
    is_lonely: bool = False
    unmade: tuple[str, ...] = ()


def _tell_of(first: _First, tell: Callable[[str], None]) -> None:
    """Tell what a start leaves as it is, though somebody may think otherwise."""
    if first.unmade:
        tell(
            f"--pool {first.unmade[0]} is for the first start, and was passed over: add a pool with "
            "ww pool add, or on the page below Gateways"
        )
    if first.is_lonely:
        tell(
            f"devices are told to find the gateway at {first.endpoint}, which only this machine does: it has "
            "no way to others now. Name where they find it with --endpoint"
        )


async def _first_start(storage: Storage, state: StateDirectory, settings: Settings) -> _First:
    carriage = settings.gateway
    key = None if carriage is None else state.gateway_key().public_key

    async def work(tx: Transaction) -> _First:
        found = None
        if key is None or carriage is None:
            token = await bootstrap.first_admin(tx)
        else:
            found = await bootstrap.first_start(
                tx,
                str(key),
                settings.endpoint or host_and_port(own_address(), carriage.listen_port),
                wanted=settings.networks or None,
                guessed=settings.endpoint is None,
            )
            token = found.token
        if token is not None:
            # Before the commit: a token in the file that nobody knows does no harm, as the reverse would.
            state.keep_token(token)
        # Another machine's administrator is none that we could tell of.
        is_first = await bootstrap.is_admin_new(tx) and state.token.exists()
        if found is None:
            return _First(is_first=is_first)
        endpoint = (await bootstrap.embedded(tx)).endpoint
        return _First(found.gateway_id, endpoint, is_first, found.is_lonely, found.unmade)

    return await storage.write(work)


def own_address() -> str:
    """Return the address by which this machine reaches others, or the loopback's. Nothing is sent."""
    for family, other in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((other, 9))
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return bootstrap.LOOPBACK


def _record(settings: Settings, served: Served) -> Record:
    public = settings.public_url
    if public is not None and settings.listening.certificate is not None:
        # The certificate is for that name.
        return Record(public, public)
    host = served.host
    if ip_address(host).is_unspecified:
        host = "127.0.0.1" if "." in host else "::1"
    scheme = served.url.partition(":")[0]
    return Record(f"{scheme}://{host_and_port(host, served.port)}", public)
