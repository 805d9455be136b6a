"""Runs in a host: sets an interface up with something amiss at each step, and looks what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from wirewright.tunnel.system import Interface, InterfaceError, InterruptedPlanError, up

NOTES = "from wirewright.tunnel.system import shared; print(*shared.folder().rglob(chr(42)), sep=chr(10))"
LOOK = (
    "ip -o link | sed 's/state [A-Z]* //'; ip -o address;"
    "ip -4 route show table all; ip -6 route show table all;"
    "ip -4 rule; ip -6 rule; nft list ruleset; sysctl net.ipv4.conf.all.src_valid_mark;"
    "ls /var/run/wireguard;"
    f"{sys.executable} -c '{NOTES}';"
    "find /run/resolvconf -type f ! -name '*lock*' -print -exec cat {} +; cat /etc/resolv.conf"
)


def look() -> str:
    """Tell everything that an interface may change."""
    found = subprocess.run(["sh", "-c", LOOK], capture_output=True, text=True, check=False).stdout
    lines = [line for line in found.splitlines() if "fe80" not in line and "multicast" not in line]
    return "\n".join(sorted(lines))


class Trouble:
    """A step with something amiss before it, within it or after it."""

    def __init__(self, step: Any, amiss: Callable[[], None], *, late: bool) -> None:
        self._step, self._amiss, self._late = step, amiss, late

    def describe(self) -> str:
        return str(self._step.describe())

    def do(self, host: Any) -> None:
        if not self._late:
            self._amiss()
        self._step.do(host)
        if self._late:
            self._amiss()

    def undo(self, host: Any) -> None:
        self._step.undo(host)


def fail() -> None:
    raise OSError(28, os.strerror(28))


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def attempt(conf: str, at: int, amiss: Callable[[], None], *, late: bool) -> int:
    """Set it up with trouble at one step; return how many steps there are."""
    made: Any = up.plan
    count = 0

    def troubled(*arguments: Any) -> list[Any]:
        nonlocal count
        steps: list[Any] = list(made(*arguments))
        count = len(steps)
        steps[at] = Trouble(steps[at], amiss, late=late)
        return steps

    up.__dict__["plan"] = troubled
    try:
        Interface.from_file(conf, engine="wirewright").up()
    except (InterfaceError, InterruptedPlanError) as error:
        if not str(error).endswith("everything was undone"):
            raise
        if isinstance(error, InterruptedPlanError) != (amiss is interrupt):
            raise
    else:
        sys.exit(f"step {at}, {amiss.__name__}, late={late}: nothing was told")
    finally:
        up.__dict__["plan"] = made
    return count


def main(conf: str) -> None:
    before = look()
    at, count = 0, 1
    while at < count:
        for amiss, late in ((fail, False), (interrupt, False), (interrupt, True)):
            count = attempt(conf, at, amiss, late=late)
            left = look()
            if left != before:
                sys.exit(f"step {at}, {amiss.__name__}, late={late}: was\n{before}\n\nis\n{left}")
        at += 1
    # That it can be, and that looking sees it.
    Interface.from_file(conf).up()
    assert look() != before
    assert "nameserver 10.7.0.2" in look()
    Interface.from_file(conf).down()
    if look() != before:
        sys.exit(f"after down: was\n{before}\n\nis\n{look()}")
    sys.stdout.write(f"{count} steps\n")


if __name__ == "__main__":
    main(sys.argv[1])
