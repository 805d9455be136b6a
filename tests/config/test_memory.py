"""Keys are in the memory of the process as long as something holds them, and not a moment longer.

A parent searches its child's memory: what the searcher has to know must not lie in the memory it searches.
"""

import base64
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests import memory
from wirewright.config import Config, Hook, Interface, Peer
from wirewright.keys import PresharedKey, SecretKey

CHILD = """
import gc, sys
from wirewright.config import {name}
held = {name}.from_file(sys.argv[1])
for line in sys.stdin:
    if line == "write\\n":
        held.write(sys.argv[2])
    if line == "drop\\n":
        del held
        gc.collect()
    print("done", flush=True)
"""


class Child:
    """A process that holds a configuration, and whose memory can be searched."""

    def __init__(self, name: str, *paths: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(name=name), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, order: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def holds(self, key: bytes) -> set[str]:
        """Tell in which forms a key is found."""
        return memory.holds(self.process.pid, key)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look at memory through")
@pytest.mark.parametrize(("name", "held"), [("Config", {"raw"}), ("Document", {"raw", "base64"})])
def test_keys_are_gone_from_memory_when_nothing_holds_them(tmp_path: Path, name: str, held: set[str]) -> None:
    private, preshared, public = (secrets.token_bytes(32) for _ in range(3))
    path = tmp_path / "wg0.conf"
    path.write_text(
        f"[Interface]\nPrivateKey = {base64.b64encode(private).decode()}\n"
        f"[Peer]\nPublicKey = {base64.b64encode(public).decode()}\n"
        f"PresharedKey = {base64.b64encode(preshared).decode()}\n"
    )
    child = Child(name, path, tmp_path / "copy.conf")
    with child.process:
        child.tell("nothing")
        assert child.holds(private) == held
        assert child.holds(preshared) == held
        child.tell("write")
        assert child.holds(private) == held
        assert "raw" in child.holds(public)
        child.tell("drop")
        assert child.holds(private) == set()
        assert child.holds(preshared) == set()
    assert (tmp_path / "copy.conf").read_text().split() == path.read_text().split()


def test_a_configuration_without_secrets_has_everything_else() -> None:
    key, shared = SecretKey.generate(), PresharedKey.generate()
    peer = Peer(key.public_key, preshared_key=shared, persistent_keepalive=25)
    config = Config(Interface(private_key=key, mtu=1400, post_up=(Hook.of("run-me"),)), (peer,))
    bare = Config(Interface(mtu=1400), (Peer(key.public_key, persistent_keepalive=25),))
    assert config.without_secrets() == bare
