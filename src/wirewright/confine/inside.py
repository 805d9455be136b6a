"""The process that becomes the command: it makes namespaces and interface, and gives up what that took.

A new user namespace gives it all capabilities over the network and the mounts that are made with it, and
none over the host's. It is the same user inside, under the same number. Before the command is executed, all
capabilities are dropped and ``no_new_privs`` is set: programs that are setuid or have capabilities would be
of no use where only one user exists, and must not get hold of the interface or leave for another tunnel.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.confine import calls
from wirewright.confine.errors import CANNOT_RUN, NOT_FOUND, ConfineError
from wirewright.confine.plan import Plan
from wirewright.confine.queues import open_tables
from wirewright.confine.refusals import no_namespaces, no_tun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GO: Final = b"go\n"
"""Said by the engine: it serves the interface and knows its peers."""


class OtherEnded(Exception):  # noqa: N818 - a state that was found, like StopIteration
    """The engine ended, and has said why."""


def prepare(engine: socket.socket) -> None:
    """Make the namespaces, and in them the interface; return when the engine serves it."""
    _make_namespaces()
    with engine, engine.makefile("rb") as told:
        line = told.readline()
        if not line:
            raise OtherEnded
        plan = Plan.loads(line)
        try:
            tun = calls.open_tun(plan.name)
        except OSError as error:
            raise no_tun(error) from None
        tables = open_tables()
        try:
            _set_up(plan)
            _mount_names(plan)
            try:
                socket.send_fds(engine, [b"t"], [tun, *tables])
            except OSError:
                raise OtherEnded from None
        finally:
            for table in tables:
                os.close(table)
            # The interface is there for as long as the engine holds it.
            os.close(tun)
        if told.readline() != GO:
            raise OtherEnded


def execute(command: Sequence[str], parent: int, restore_signals: Callable[[], None]) -> None:
    """Become the command; raises ConfineError if that cannot be."""
    calls.give_up_privileges()
    _keep_standard_descriptors()
    calls.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        raise OtherEnded
    restore_signals()
    program, *arguments = command
    try:
        try:
            os.execvp(program, [program, *arguments])  # noqa: S606 - what we are for
        except OSError as error:
            # A script without a first line that says by what, as execvp(3) treats it.
            path = program if "/" in program else shutil.which(program)
            if error.errno != errno.ENOEXEC or not path:
                raise
            os.execv("/bin/sh", ["/bin/sh", path, *arguments])  # noqa: S606
    except (OSError, ValueError) as error:
        raise _not_executed(program, error) from None


def _not_executed(program: str, error: OSError | ValueError) -> ConfineError:
    if "/" not in program and shutil.which(program, os.F_OK) is None:
        # Not even if a folder of the PATH is closed, by which the system then goes.
        return ConfineError(f"{program}: command not found", NOT_FOUND)
    if isinstance(error, FileNotFoundError):
        return ConfineError(f"{program}: {error.strerror}", NOT_FOUND)
    why = error.strerror if isinstance(error, OSError) else str(error)
    return ConfineError(f"{program}: {why}", CANNOT_RUN)


def _keep_standard_descriptors() -> None:
    """Have all others closed when a program is executed: one might be a socket of the host's network."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2:
            # That of the listing is closed already.
            with suppress(OSError):
                os.set_inheritable(int(entry.name), False)


def _make_namespaces() -> None:
    user, group = os.geteuid(), os.getegid()
    own = Path("/proc/self")
    try:
        calls.unshare(calls.CLONE_NEWUSER | calls.CLONE_NEWNET | calls.CLONE_NEWNS)
        own.joinpath("setgroups").write_text("deny")
        own.joinpath("uid_map").write_text(f"{user} {user} 1")
        own.joinpath("gid_map").write_text(f"{group} {group} 1")
    except OSError as error:
        raise no_namespaces(error) from None


def _set_up(plan: Plan) -> None:
    from wirewright.host.network import Network, Route  # noqa: PLC0415 - in the namespaces

    # No address but those of the file, as for the kernel's WireGuard.
    _set_sysctl(f"net/ipv6/conf/{plan.name}/addr_gen_mode", "1")
    # ping without capabilities.
    group = os.getegid()
    _set_sysctl("net/ipv4/ping_group_range", f"{group} {group}")
    with Network() as network:
        network.bring_up("lo", 65_536)
        for address in plan.addresses:
            network.add_address(plan.name, address)
        network.bring_up(plan.name, plan.mtu)
        link = network.link(plan.name)
        assert link is not None
        for destination in plan.routes:
            try:
                network.add_route(Route(destination, link.index))
            except FileExistsError:
                # That of an address's own network.
                continue


def _set_sysctl(name: str, value: str) -> None:
    try:
        Path("/proc/sys", name).write_text(value)
    except OSError:
        # A container may have none to write, or the kernel no IPv6.
        return


def _mount_names(plan: Plan) -> None:
    from wirewright.confine.names import mount_names  # noqa: PLC0415 - in the namespaces

    try:
        mount_names(plan.servers, plan.search)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}"
        raise ConfineError(f"names of the tunnel's cannot be given to the command: {why}") from None
