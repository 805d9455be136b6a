"""What those share who put an engine to the test beside `wg`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from wirewright._core import reveal_config
from wirewright.keys import PublicKey
from wirewright.tunnel.system.columns import columns

if TYPE_CHECKING:
    from wirewright.host.device import DeviceState


def dump(state: DeviceState) -> str:
    """Write a state as ``wg show INTERFACE dump`` does, keys included."""
    text = columns(state, "dump")
    return reveal_config(text.encode(), text.secrets).decode()


def wg(*words: str, text: str | None = None) -> str:
    """Run `wg` and return what it wrote."""
    done = subprocess.run(("wg", *words), input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def public(number: int) -> PublicKey:
    """Return a key of which nobody has the other half."""
    return PublicKey.from_hex(f"{number + 1:064x}")


def refused(call: Callable[[], object]) -> int | None:
    """Return the error number with which a call is refused."""
    try:
        call()
    except OSError as error:
        return error.errno
    raise AssertionError("it was not refused")
