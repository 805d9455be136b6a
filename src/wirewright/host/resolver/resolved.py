"""systemd-resolved, over D-Bus: what ``resolvectl dns|domain|default-route|revert`` ask of it.

An interface's servers are asked for all names, and those of others for none, if the interface has the root
domain ``~.`` to itself.
"""

from __future__ import annotations

import asyncio
import errno
import shlex
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from wirewright.config.values import IPAddress

RESOLV_CONF = Path("/etc/resolv.conf")
STUBS: Final = frozenset({"127.0.0.53", "127.0.0.54"})
"""Where systemd-resolved listens for those who read ``resolv.conf``."""

BUS, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
NAME, PATH = "org.freedesktop.resolve1", "/org/freedesktop/resolve1"
MANAGER: Final = f"{NAME}.Manager"
PATIENCE = 10.0
"""Seconds that all it is asked for at once may take."""
UNDOING = 3.0
"""Seconds more, to take back what was done."""

NO_SUCH_LINK: Final = f"{NAME}.NoSuchLink"
LINK_BUSY: Final = f"{NAME}.LinkBusy"
NOT_RUNNING: Final = frozenset({f"{BUS}.Error.ServiceUnknown", f"{BUS}.Error.NameHasNoOwner"})
DENIED: Final = frozenset(
    {
        f"{BUS}.Error.AccessDenied",
        f"{BUS}.Error.AuthFailed",
        f"{BUS}.Error.InteractiveAuthorizationRequired",
    }
)

_T = TypeVar("_T")


def why_absent() -> str | None:
    """Say why systemd-resolved is not who resolves names on this host; None if it is."""
    if not _is_asked():
        return f"{RESOLV_CONF} does not lead to systemd-resolved"
    try:
        running = _run(_is_running)
    except OSError as error:
        return f"{RESOLV_CONF} leads to systemd-resolved, but {error.strerror}"
    return None if running else f"{RESOLV_CONF} leads to systemd-resolved, which is not running"


class Resolved:
    """A :class:`~wirewright.host.resolver.Resolver`."""

    name: Final = "systemd-resolved"

    def set(self, interface: str, index: int, servers: Sequence[IPAddress], domains: Sequence[str]) -> None:
        """Give the interface servers and domains, of which one is the root."""
        if servers:
            _run(lambda: _set(interface, index, servers, domains))

    def unset(self, interface: str, index: int) -> None:
        """Forget all that the interface was given; systemd-resolved has, of one that is gone (0)."""
        if index:
            _run(lambda: _unset(interface, index))

    def describe(self, interface: str, servers: Sequence[IPAddress], domains: Sequence[str]) -> list[str]:
        """Give the command lines that set."""
        if not servers:
            return []
        return [
            shlex.join(["resolvectl", "dns", interface, *map(str, servers)]),
            shlex.join(["resolvectl", "domain", interface, *domains, "~."]),
            shlex.join(["resolvectl", "default-route", interface, "true"]),
        ]

    def describe_unset(self, interface: str) -> list[str]:
        """Give the command line that unsets."""
        return [shlex.join(["resolvectl", "revert", interface])]


class _AnswerError(Exception):
    """It was an error that came back."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = text


async def _is_running() -> bool:
    async with _connected() as bus:
        (has,) = await _call(bus, "NameHasOwner", "s", [NAME], whom=(BUS, BUS_PATH, BUS)) or (False,)
        return bool(has)


async def _set(interface: str, index: int, servers: Sequence[IPAddress], domains: Sequence[str]) -> None:
    addresses = [
        [socket.AF_INET if server.version == 4 else socket.AF_INET6, server.packed] for server in servers
    ]
    searched = [[domain, False] for domain in domains]
    async with _connected() as bus:
        try:
            await _call(bus, "SetLinkDNS", "ia(iay)", [index, addresses])
            await _call(bus, "SetLinkDomains", "ia(sb)", [index, [*searched, [".", True]]])
            try:
                await _call(bus, "SetLinkDefaultRoute", "ib", [index, True])
            except _AnswerError as answer:
                # Before systemd 240, where the root domain says it already.
                if answer.name != f"{BUS}.Error.UnknownMethod":
                    raise
        except BaseException as error:
            # Also after no answer: it may have been done.
            with suppress(Exception):
                async with asyncio.timeout(UNDOING):
                    await _call(bus, "RevertLink", "i", [index])
            if isinstance(error, _AnswerError):
                raise _told(interface, error) from None
            raise


async def _unset(interface: str, index: int) -> None:
    try:
        async with _connected() as bus:
            await _call(bus, "RevertLink", "i", [index])
    except _AnswerError as answer:
        # Who is not there has forgotten, and so it has of an interface that is gone.
        if answer.name != NO_SUCH_LINK and answer.name not in NOT_RUNNING:
            raise _told(interface, answer) from None


def _told(interface: str, answer: _AnswerError) -> OSError:
    """Say what it means that systemd-resolved refused."""
    if answer.name in DENIED:
        return OSError(errno.EPERM, "to change DNS servers takes root", interface)
    if answer.name in NOT_RUNNING:
        return OSError(errno.ESRCH, "systemd-resolved is not running", interface)
    if answer.name == NO_SUCH_LINK:
        return OSError(errno.ENODEV, "systemd-resolved knows no such interface", interface)
    if answer.name == LINK_BUSY:
        words = "systemd-networkd manages this interface, so its DNS servers are set there"
        return OSError(errno.EBUSY, words, interface)
    return OSError(errno.EIO, f"systemd-resolved refuses: {answer.text}", interface)


def _is_asked() -> bool:
    """Whether those who read ``resolv.conf`` ask systemd-resolved, and it only.

    They do not where the file, although of its making, names the servers themselves: then a tunnel's would be
    some among others.
    """
    try:
        lines = RESOLV_CONF.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    servers = {words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and words[1:]}
    return bool(servers) and servers <= STUBS


def _run(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Do it in a thread, whether the caller has an event loop or not, and to its end also if interrupted."""

    async def limited() -> _T:
        try:
            async with asyncio.timeout(PATIENCE):
                return await work()
        except TimeoutError:
            words = f"systemd-resolved does not answer within {PATIENCE:g} s"
            raise OSError(errno.ETIMEDOUT, words) from None

    with ThreadPoolExecutor(1, thread_name_prefix="resolved") as thread:
        return thread.submit(asyncio.run, limited()).result()


@asynccontextmanager
async def _connected() -> AsyncIterator[MessageBus]:
    try:
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except TimeoutError:
        raise
    except OSError as error:
        raise OSError(error.errno, f"the system's D-Bus cannot be reached: {error.strerror}") from None
    except Exception as error:
        raise OSError(errno.EPROTO, f"the system's D-Bus does not let us in: {error}") from None
    try:
        yield bus
    finally:
        bus.disconnect()


async def _call(
    bus: MessageBus,
    member: str,
    signature: str,
    body: list[Any],
    *,
    whom: tuple[str, str, str] = (NAME, PATH, MANAGER),
) -> list[Any]:
    """Call a method of a destination's path and interface, and give what it returns."""
    destination, path, interface = whom
    request = Message(destination, path, interface, member, signature=signature, body=body)
    try:
        reply = await bus.call(request)
    except TimeoutError:
        raise
    except Exception as error:
        # The connection ended, or what came was no D-Bus.
        words = f"the system's D-Bus ended the connection: {error or type(error).__name__}"
        raise OSError(errno.ECONNRESET, words) from None
    if reply.message_type is MessageType.ERROR:
        text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
        name = reply.error_name or ""
        raise _AnswerError(name, text or name or "without a reason")
    return list(reply.body)
