"""wireguard-go with a network namespace of its own behind it.

wireguard-go runs in the namespace of the tests, so that its UDP socket is on this machine's loopback; its TUN
is moved to the namespace of an `inside` process. Both processes end with the test process, however it ends,
and namespace and TUN end with them: nothing is left to clean up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.interop import uapi
from tests.interop.relay import until
from tests.interop.remote import TIED, Remote
from tests.interop.uapi import to_hex
from wirewright.keys import PresharedKey, PublicKey, SecretKey

SOCKETS = Path("/var/run/wireguard")
IS_UP = "Interface state was Down, requested Up, now Up"


class WireGuardGo:
    """One wireguard-go, its namespace, and what it said."""

    def __init__(self, program: Path, number: int) -> None:
        """Prepare; `number` tells this device from others of the same test."""
        self.key = SecretKey.generate()
        self.addresses = (f"10.77.0.{number}", f"fd77::{number}")
        self._program = program
        self._name = f"ww{os.getpid()}n{number}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._process: subprocess.Popen[bytes] | None = None
        self._peers: list[list[uapi.Setting]] = []
        self.inside = Remote("tests.interop.inside", prefix=["unshare", "--net"])
        self.port = 0

    @property
    def public_key(self) -> PublicKey:
        """By which its peers know it."""
        return self.key.public_key

    # Life and death.

    def start(self) -> None:
        """Start, or start again with the same key, port and peers."""
        seen = self.log().count(IS_UP)
        environment = {
            "LOG_LEVEL": "verbose",
            "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1",
            "PATH": os.environ["PATH"],
        }
        self._process = subprocess.Popen(
            [*TIED, str(self._program), "-f", self._name],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait("opens its socket", lambda: "UAPI listener started" in self.log() and self._answers())
        self._set(("private_key", to_hex(self.key)), ("listen_port", self.port))
        for settings in self._peers:
            self._set(*settings)
        self._move()
        self._wait("is up", lambda: self.log().count(IS_UP) > seen)
        self.port = int(self.get().settings["listen_port"])

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """Let it answer nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # All its threads, which on a busy machine takes a moment.
        until(self._stands_still, "it stands still")

    def _stands_still(self) -> bool:
        assert self._process is not None
        states = Path("/proc", str(self._process.pid), "task").glob("*/stat")
        return all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in states)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> str:
        """End everything; returns the log."""
        self.kill()
        self.inside.close()
        said = self.log()
        self._log.close()
        return said

    def log(self) -> str:
        """Return all that it wrote."""
        return os.pread(self._log.fileno(), 1 << 22, 0).decode(errors="replace")

    # Settings.

    def add_peer(
        self,
        public_key: PublicKey,
        *addresses: str,
        endpoint: str | None = None,
        preshared_key: PresharedKey | None = None,
        keepalive: int = 0,
    ) -> None:
        """Add a peer that owns `addresses`; it is added again at each start."""
        settings: list[uapi.Setting] = [("public_key", to_hex(public_key)), ("replace_allowed_ips", "true")]
        if preshared_key is not None:
            settings.append(("preshared_key", to_hex(preshared_key)))
        if endpoint is not None:
            settings.append(("endpoint", endpoint))
        if keepalive:
            settings.append(("persistent_keepalive_interval", keepalive))
        settings.extend(("allowed_ip", f"{address}/{128 if ':' in address else 32}") for address in addresses)
        self._peers.append(settings)
        self._set(*settings)

    def move_to(self, port: int) -> None:
        """Go on from another outer port (0: any)."""
        self._set(("listen_port", port))
        self.port = int(self.get().settings["listen_port"])

    def get(self) -> uapi.Device:
        """Read its settings and counters."""
        return uapi.get_device(self._socket)

    def peer(self, public_key: PublicKey) -> dict[str, str]:
        """Read what it knows of one peer."""
        return self.get().peers[public_key]

    def handshakes(self) -> int:
        """Return how many sessions it has agreed on, as far as its log tells."""
        return self.log().count("- Received handshake response") + self.log().count(
            "- Received handshake initiation"
        )

    # In the namespace.

    def call(self, call: str, **arguments: Any) -> Any:
        """Call a service in the namespace."""
        return self.inside.call(call, **arguments)

    def ping(self, host: str, seconds: float = 10.0) -> float:
        """Ping from the namespace."""
        return float(self.call("ping", host=host, seconds=seconds))

    @property
    def _socket(self) -> Path:
        return SOCKETS / f"{self._name}.sock"

    def _set(self, *settings: uapi.Setting) -> None:
        uapi.set_device(self._socket, settings)

    def _answers(self) -> bool:
        try:
            self.get()
        except OSError:
            return False
        return True

    def _move(self) -> None:
        namespace = str(self.inside.pid)
        assert self.inside.hello == {}  # By now its namespace exists.
        run("ip", "link", "set", self._name, "netns", namespace)
        enter = ["nsenter", "--net", "--target", namespace, "ip"]
        for address in self.addresses:
            length = 64 if ":" in address else 24
            run(
                *enter,
                "address",
                "add",
                f"{address}/{length}",
                "dev",
                self._name,
                *(["nodad"] * (length == 64)),
            )
        run(*enter, "link", "set", self._name, "up")

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 15
        while not ready():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"wireguard-go never {what}:\n{self.log()}")
            time.sleep(0.01)


def run(*command: str) -> None:
    """Run a command that has nothing to say if all is well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
