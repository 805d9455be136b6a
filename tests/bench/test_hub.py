"""More peers for the interface of one host."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, cast

from wirewright.bench.arena import Arena
from wirewright.bench.contestants import INNER, Connection
from wirewright.bench.hub import add_spokes
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from wirewright.lab import Machine


class Told:
    """A host in which every command succeeds and says nothing, as boringtun does of its keys."""

    def __init__(self) -> None:
        self.settings: list[str] = []

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] == "wg" and "input" in options:
            self.settings.append(options["input"])
        return subprocess.CompletedProcess(command, 0, "", "")

    def processes(self) -> list[int]:
        return []


def test_an_engine_that_does_not_tell_its_public_key_may_have_more_peers() -> None:
    hub, others, key = Told(), Told(), SecretKey.generate().public_key
    connection = Connection(INNER, start=lambda _host, _interface: None, public_key=key)
    arena = Arena(cast("Machine", hub), cast("Machine", others), connection, ())
    assert add_spokes(arena, 2) == ["10.9.1.2", "10.9.2.2"]
    assert [f"PublicKey = {key}\n" in each for each in others.settings] == [True, True]
    assert len(hub.settings) == 2
