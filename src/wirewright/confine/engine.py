"""The process behind the tunnel: the only one that has its keys, and a socket in the host's network.

It is a process of its own, and not a thread of the one in the terminal's foreground: that one is stopped by
CTRL-Z while the tunnel goes on, and what holds keys lets no other process look into it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.confine import calls
from wirewright.confine.errors import ConfineError
from wirewright.confine.inside import GO, OtherEnded
from wirewright.confine.lingering import Left, Lingering
from wirewright.confine.plan import make_plan
from wirewright.confine.queues import TABLES, Queues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wirewright.config.model import Interface
    from wirewright.confine.plan import Plan
    from wirewright.host.device import DeviceChange, SocketAddress
    from wirewright.host.userspace.client import UapiClient

LOG: Final = "WIREWRIGHT_LOG"
"""The variable that names the log's level: ``LOG_LEVEL``, as wirewright-tun has it, may be the command's."""
_LEVELS: Final = ("error", "verbose")


def serve(conf: Path, inside: socket.socket, stop: int, fail: Callable[[Exception], None]) -> Left:
    """Serve the tunnel of a file until ``stop`` can be read; give what did not go out any more.

    A byte asks to end when the command's last packets have gone, the pipe's end to end at once. ``inside``
    leads to who makes the interface. Raises what is wrong; another thread gives it to ``fail``.
    """
    from wirewright._core import run_interface  # noqa: PLC0415 - after the fork
    from wirewright.config import Config  # noqa: PLC0415
    from wirewright.host.userspace.client import UapiClient  # noqa: PLC0415
    from wirewright.tunnel.system.changes import addition  # noqa: PLC0415
    from wirewright.tunnel.system.facts import endpoints as find  # noqa: PLC0415
    from wirewright.tunnel.system.facts import resolve  # noqa: PLC0415

    if os.environ.get("WIREWRIGHT_CORE_FILES") != "1":
        calls.refuse_core_files()
    config = Config.from_file(conf)
    if config.interface.private_key is None:
        raise ConfineError(f"{conf}: there is no PrivateKey, by which peers know this tunnel")
    endpoints = find(config, resolve)
    plan = make_plan(conf, config, _mtu(config.interface, endpoints.values()))
    _leave_terminal()
    tun, *tables = _exchange(inside, plan)
    queue = os.dup(tun)
    listener, client = _private_listener()
    change = addition(config, endpoints)
    del config
    ended, end = os.pipe()
    left = Left()

    def attend() -> None:
        nonlocal left
        try:
            with UapiClient.over(client, "the tunnel") as uapi:
                _configure(uapi, change)
                inside.sendall(GO)
                if os.read(stop, 1):
                    left = _linger(Queues(tables, queue, uapi), stop)
            os.close(end)
        except Exception as error:
            fail(error)

    def ready(_: str) -> None:
        threading.Thread(target=attend, daemon=True).start()

    run_interface(
        plan.name,
        stop=ended,
        ready=ready,
        tun_descriptor=tun,
        uapi_descriptor=listener.detach(),
        log=_log_level() or "silent",
        mtu=plan.mtu,
    )
    if not _is_readable(ended, 0):
        raise ConfineError("the interface is gone")
    return left


def _linger(queues: Queues, stop: int) -> Left:
    """Wait until the queues are empty, or ``stop`` ends, or it takes too long; give what is left."""
    lingering = Lingering(time.monotonic())
    while (pause := lingering.pause(time.monotonic(), left := queues.look())) is not None:
        if _is_readable(stop, pause):
            # Who asked for this need not be told.
            return Left()
    return left


def _exchange(inside: socket.socket, plan: Plan) -> list[int]:
    """Give the plan for an interface; take the descriptors of its TUN, and of the tables of sockets there."""
    try:
        inside.sendall(plan.dumps())
        _, descriptors, _, _ = socket.recv_fds(inside, 1, 1 + len(TABLES))
    except ConnectionError:
        raise OtherEnded from None
    if not descriptors:
        raise OtherEnded
    return descriptors


def _mtu(interface: Interface, endpoints: Iterable[SocketAddress]) -> int:
    from wirewright.host.network import Network  # noqa: PLC0415 - after the fork
    from wirewright.tunnel.system.mtu import has_ipv6, mtu_of  # noqa: PLC0415

    with Network() as network:
        return mtu_of(network, endpoints, ipv6=has_ipv6(interface))


def _leave_terminal() -> None:
    """Keep what the command's standard descriptors are from staying open after it."""
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1) if _log_level() else (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _log_level() -> str | None:
    level = os.environ.get(LOG)
    return level if level in _LEVELS else None


def _private_listener() -> tuple[socket.socket, socket.socket]:
    """Make a UAPI socket that nobody else can connect to, and the one connection with it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with tempfile.TemporaryDirectory(prefix="wirewright-") as folder:
        # Its folder is for us alone, and it has no name any more once it is used.
        path = str(Path(folder, "socket"))
        listener.bind(path)
        listener.listen(1)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(path)
    return listener, client


def _configure(uapi: UapiClient, change: DeviceChange) -> None:
    """Give the interface its key and peers; the port and the mark can be refused."""
    from wirewright.host.device import DeviceChange  # noqa: PLC0415 - after the fork

    if change.listen_port:
        try:
            uapi.set(DeviceChange(listen_port=change.listen_port))
        except OSError as error:
            raise ConfineError(f"ListenPort {change.listen_port}: {error.strerror}") from None
    if change.fwmark:
        try:
            uapi.set(DeviceChange(fwmark=change.fwmark))
        except OSError as error:
            raise ConfineError(
                f"FwMark {change.fwmark}: {error.strerror}; it takes CAP_NET_ADMIN on the host"
            ) from None
    uapi.set(change)


def _is_readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def prepare() -> None:
    """Take this process out of the terminal's reach: signals there are for the command."""
    os.setsid()
    calls.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
