"""A lease on a system interface: asked for, put on the interface, kept.

The interface is to have one link-local address with a mask of 128 bits, and a peer whose allowed IPs hold
``fe80::``; an address that is missing is derived from the interface's key, and a route that is missing is
made. What was made goes again when the keeper ends. Leased addresses have the lease's lifetime in the
kernel, so they end in time also if this process does not live to see it.
"""

from __future__ import annotations

import asyncio
import errno
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network, ip_interface
from typing import TYPE_CHECKING, Any, Final, Self

from wirewright.config import Document
from wirewright.dynamic.answers import parse_grant, parse_registered, words
from wirewright.dynamic.client import LeaseClient
from wirewright.dynamic.clocks import SystemClock
from wirewright.dynamic.exchange import NoAnswerError, ask
from wirewright.dynamic.identity import SERVER, link_local
from wirewright.dynamic.lines import ProtocolError
from wirewright.dynamic.linklocal import LinkLocal
from wirewright.dynamic.messages import REGISTER_KEY, ROUTES, Wish, registration
from wirewright.dynamic.routes import LeaseRoutes
from wirewright.host.addresses import delete_address, set_address, temporary_addresses
from wirewright.host.device import DeviceChange
from wirewright.host.network import Network
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from wirewright.config import Config
    from wirewright.config.values import IPInterface, IPNetwork
    from wirewright.dynamic.client import Holding
    from wirewright.dynamic.messages import Wanted
    from wirewright.host.device import DeviceState
    from wirewright.keys import PublicKey
    from wirewright.tunnel.system import Interface

_TO_SERVER: Final = IPv6Network(SERVER)


class LeaseError(OSError):
    """No lease can be had; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client is to ask for."""

    ipv4: Wanted = Wish.ANY
    ipv6: Wanted = Wish.ANY
    routes: tuple[IPNetwork, ...] = ()
    """Networks in which routes that the server names are accepted."""


class LeaseKeeper:
    """Keeps a lease on one interface."""

    def __init__(
        self,
        interface: Interface,
        wishes: Wishes | None = None,
        *,
        tell: Callable[[str], None] = lambda _: None,
        granted: Callable[[Holding], None] = lambda _: None,
    ) -> None:
        """``tell`` hears what goes wrong, in words for a person.

        ``granted`` hears of each lease, new or refreshed, once the interface has it.
        """
        self.interface = interface
        self.wishes = wishes or Wishes()
        self.source = SERVER
        self.server: PublicKey | None = None
        self._tell = tell
        self._granted = granted
        self._clock = SystemClock()
        self._untold = False
        self._link_local = LinkLocal(interface.name)
        self._routes = LeaseRoutes(interface, self.wishes.routes, tell)
        extensions = frozenset({REGISTER_KEY, ROUTES} if self.wishes.routes else {REGISTER_KEY})
        self.client = LeaseClient(
            self._clock.monotonic(),
            random.random,
            ipv4=self.wishes.ipv4,
            ipv6=self.wishes.ipv6,
            extensions=extensions,
        )

    async def __aenter__(self) -> Self:
        """Have the interface be one that a server can be asked from. Raises LeaseError or OSError."""
        try:
            await asyncio.to_thread(self._prepare)
        except BaseException:
            await asyncio.to_thread(self._link_local.restore)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Put back what was changed of the interface but for the lease."""
        await asyncio.shield(asyncio.to_thread(self._link_local.restore))

    async def once(self) -> Holding:
        """Ask once, and put what is granted on the interface. Raises LeaseError or OSError."""
        await self._ask()
        if self.client.holding is None:
            raise LeaseError(errno.EADDRNOTAVAIL, self.client.problem or "the server gave no address")
        await self._apply()
        return self.client.holding

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep a lease until told to stop; then nothing of it is left on the interface. Raises OSError."""
        try:
            while not stop.is_set():
                now = self._clock.monotonic()
                if self.client.expire(now):
                    self._tell("the lease has ended")
                if self.client.is_due(now):
                    await _unless(stop, self._ask())
                await self._apply()
                left = max(0.0, self.client.deadline() - self._clock.monotonic())
                with suppress(TimeoutError):
                    # Not all at once: timers of an event loop stand still while the machine sleeps.
                    async with asyncio.timeout(min(left, 60.0)):
                        await stop.wait()
        finally:
            self.client.holding = None
            await asyncio.shield(asyncio.to_thread(self._clear))

    async def release(self) -> None:
        """Give everything back, and take it from the interface. Raises OSError."""
        message = await ask(self.interface.name, self.source, self.client.release())
        try:
            grant = parse_grant(message)
        except ProtocolError as error:
            raise LeaseError(errno.EPROTO, f"the server's answer is none: {error}") from None
        if grant.errno:
            why = words(grant.errno, grant.errmsg)
            raise LeaseError(errno.EIO, f"the server does not take the lease back: {why}")
        self.client.holding = None
        await asyncio.to_thread(self._clear)

    async def renew_key(self) -> PublicKey:
        """Have the server take a new key for this client, and use it from now on.

        The new key is in the interface's file before anything depends on it. The server gives up the old one
        when it is first asked by the new one, which is to happen within a day. Raises LeaseError or OSError.
        """
        file = self.interface.file
        if file is None:
            raise LeaseError(
                errno.EINVAL, f"{self.interface.name} has no file that the new key could be kept in"
            )
        new = SecretKey.generate()
        try:
            message = await ask(self.interface.name, self.source, registration(new.public_key))
            answer = parse_registered(message)
        except ProtocolError as error:
            raise LeaseError(errno.EPROTO, f"the server's answer is none: {error}") from None
        if answer.errno or answer.link_local is None:
            raise LeaseError(
                errno.EOPNOTSUPP, f"the server takes no new key: {words(answer.errno, answer.errmsg)}"
            )
        place = answer.link_local
        old = IPv6Interface((self.source, 128))

        def with_key(config: Config) -> Config:
            addresses = tuple(each for each in config.interface.addresses if each != old)
            if addresses != config.interface.addresses or place != link_local(new.public_key):
                addresses = (*addresses, IPv6Interface((place, 128)))
            return replace(config, interface=replace(config.interface, private_key=new, addresses=addresses))

        def switch() -> None:
            Document.from_file(file).edit(with_key).write(file)
            self._use_key(new, old, IPv6Interface((place, 128)))

        await asyncio.shield(asyncio.to_thread(switch))
        return new.public_key

    async def _ask(self) -> None:
        message = self.client.request()
        problem, holding = self.client.problem, self.client.holding
        try:
            answer = await ask(self.interface.name, self.source, message)
        except NoAnswerError as error:
            self.client.failed(error.strerror or str(error), self._clock.monotonic())
        else:
            self.client.answered(answer, self._clock.monotonic(), self._clock.wall())
            self._untold = self.client.holding is not holding
        if self.client.problem is not None and self.client.problem != problem:
            self._tell(self.client.problem)

    async def _apply(self) -> None:
        holding = self.client.holding
        await asyncio.to_thread(self._have, holding)
        if holding is not None and self._untold:
            self._granted(holding)
        self._untold = False

    # What the interface has; called in a thread.

    def _prepare(self) -> None:
        name = self.interface.name
        state = self.interface.state()
        key = state.public_key
        if key is None:
            raise LeaseError(errno.EINVAL, f"{name} has no private key")
        self.server = _server(state)
        with Network() as network:
            link = network.link(name)
            if link is None or not link.is_up:
                raise LeaseError(errno.ENETDOWN, f"{name} is not up: ip link set {name} up")
            self.source = self._own_address(network, key)
            self._link_local.have(network, self.source, _TO_SERVER)

    def _own_address(self, network: Network, key: PublicKey) -> IPv6Address:
        found = self._link_local.found(network)
        if len(found) > 1:
            raise LeaseError(
                errno.EINVAL,
                f"{self.interface.name} has {len(found)} link-local addresses with a mask of 128 bits, and a "
                "client has one",
            )
        return found[0] if found else link_local(key)

    def _have(self, holding: Holding | None) -> None:
        """Put on the interface what is held, and take from it what is not."""
        wanted = {ip_interface(each) for each in (holding.addresses if holding else ())}
        lifetime = 0 if holding is None else max(1, int(holding.expires - self._clock.monotonic()))
        name = self.interface.name
        for address in _leased(name):
            if address not in wanted:
                delete_address(name, address)
        for address in wanted:
            set_address(name, address, lifetime)
        self._routes.have(self.server, holding.routes if holding else ())

    def _use_key(self, key: SecretKey, old: IPv6Interface, new: IPv6Interface) -> None:
        self.interface.set(DeviceChange(private_key=key))
        self._link_local.restore()
        with suppress(OSError):
            delete_address(self.interface.name, old)
        self.source = IPv6Address(int(new.ip))
        with Network() as network:
            self._link_local.have(network, self.source, _TO_SERVER)

    def _clear(self) -> None:
        """Leave the interface without a lease, if it is there still."""
        with suppress(OSError):
            self._have(None)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Wait for something, but no longer than until told to stop."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, stopped):
            each.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def _server(state: DeviceState) -> PublicKey:
    """Find the peer that the well-known address belongs to."""
    found = [
        (network.prefixlen, peer.public_key)
        for peer in state.peers
        for network in peer.allowed_ips
        if SERVER in network
    ]
    if not found:
        raise LeaseError(
            errno.EHOSTUNREACH,
            f"no peer of {state.name} is a server of wg-dynamic: add {SERVER}/128 to the AllowedIPs of the "
            "one that is",
        )
    return max(found)[1]


def _leased(name: str) -> list[IPInterface]:
    """Give the addresses of an interface that end by themselves: nobody but a keeper gives it such."""
    return [each for each in temporary_addresses(name) if not each.ip.is_link_local]
