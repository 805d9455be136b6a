"""A process that has two keys, tells them to its parent, and does what it is told; then it drops them.

They are never in Python's own memory here: what is found in it later was left by what was done.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.host.netlink import ACK, DONE, Answer, FakeSocket, error
from wirewright.host.device import DeviceChange, PeerChange
from wirewright.host.kernel import family as family_module
from wirewright.host.kernel.family import WireGuardFamily
from wirewright.host.userspace import client
from wirewright.keys import PresharedKey, PublicKey, SecretKey

PUBLIC = PublicKey.from_hex("b1" * 32)
DUMP = bytes.fromhex(
    f"88000000 1c000200 0000000000000000 00010000 24000300 {'00' * 32}"  # our key at 24
    f"50000880 4c000080 24000100 {'b1' * 32} 24000200 {'00' * 32}"  # the peer's preshared key at 104
)

Keys = tuple[SecretKey, PresharedKey]


def change_of(keys: Keys) -> DeviceChange:
    return DeviceChange(keys[0], peers=(PeerChange(PUBLIC, preshared_key=keys[1]),))


class Forgetful(FakeSocket):
    """A kernel that keeps no request."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(answers)
        vars(family_module)["socket"] = self.module()

    def send(self, message: bytes | memoryview) -> None:
        """Keep nothing but its number."""
        self.heed(message)


def dump_of(keys: Keys, *, cut_off: int = 0) -> Answer:
    """Return an answer that takes the keys from their handles when it is read."""

    def dump(place: memoryview) -> int:
        end = len(DUMP) + len(DONE)
        place[:end] = DUMP + DONE
        keys[0].copy_into(place[24:56])
        keys[1].copy_into(place[104:136])
        return end - cut_off

    return dump


def kernel_get(keys: Keys) -> None:
    Forgetful(dump_of(keys))
    with WireGuardFamily() as family:
        state = family.get("wg0")
    assert (state.private_key, state.peers[0].preshared_key) == keys


def kernel_get_broken(keys: Keys) -> None:
    Forgetful(dump_of(keys, cut_off=1))
    with suppress(OSError), WireGuardFamily() as family:
        family.get("wg0")
        raise AssertionError


def kernel_set(keys: Keys) -> None:
    Forgetful(ACK)
    with WireGuardFamily() as family:
        family.set("wg0", change_of(keys))


def kernel_set_refused(keys: Keys) -> None:
    Forgetful(error(errno.EINVAL))
    with suppress(OSError), WireGuardFamily() as family:
        family.set("wg0", change_of(keys))
        raise AssertionError


def uapi_set(keys: Keys) -> None:
    with client.UapiClient("wg0") as engine:
        engine.set(change_of(keys))


def uapi_get(keys: Keys) -> None:
    uapi_set(keys)
    with client.UapiClient("wg0") as engine:
        state = engine.get()
    assert (state.private_key, state.peers[0].preshared_key) == keys


def tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def main(step: Callable[[Any], None], sockets: str | None = None) -> None:
    if sockets:
        client.SOCKETS = Path(sockets)  # type: ignore[misc]
    keys = SecretKey.generate(), PresharedKey.generate()
    keys[0].write(1)
    keys[1].write(1)
    tell("told")
    sys.stdin.readline()
    step(keys)
    vars(family_module)["socket"] = None
    tell("done")
    sys.stdin.readline()
    del keys
    tell("dropped")
    sys.stdin.readline()


if __name__ == "__main__":
    main(globals()[sys.argv[1]], *sys.argv[2:])
