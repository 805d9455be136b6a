"""A download through a rootless tunnel on loopback while handshake messages pour in, end to end.

Three processes: a tunnel that sends, a tunnel that downloads, and a flooder, which writes to the downloading
tunnel's port from 64 loopback addresses. Within one session three phases alternate: no flood, a flood of
datagrams that are no messages, and a flood of as many initiations with a valid mac1 from somebody who is no
peer. Both floods cost the kernel the same, so the ratio of the last two is what is ours. Prints one JSON
object a rate.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from wirewright import Config, Tunnel
from wirewright.keys import SecretKey

ROLES = Path(__file__).resolve().parent / "flood_roles.py"
ROUNDS = 5
SECONDS = 1.0
# Flood datagrams a second; the last is more than the flooder can send.
RATES = (5_000, 50_000, 1_000_000)
INITIATION = 148


class Role:
    """A process with a part in it."""

    def __init__(self, name: str, **task: object) -> None:
        """Start it; `first` is what it says once it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, str(ROLES), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = self.ask(task)

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        self.tell(command)
        return self.hear()

    def tell(self, command: dict[str, Any]) -> None:
        """Send a command."""
        stdin: IO[str] = self._process.stdin  # type: ignore[assignment]
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for an answer."""
        stdout: IO[str] = self._process.stdout  # type: ignore[assignment]
        line = stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark ended before its time")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def configuration(
    own: SecretKey, address: str, peer: SecretKey, peer_address: str, endpoint: int | None
) -> str:
    """Return the text of one of two configurations that belong together."""
    text = f"[Interface]\nPrivateKey = {own.expose()}\nAddress = {address}/32\n"
    text += f"[Peer]\nPublicKey = {peer.public_key}\nAllowedIPs = {peer_address}/32\n"
    return text if endpoint is None else text + f"Endpoint = 127.0.0.1:{endpoint}\n"


async def strangers_initiation(target: SecretKey) -> bytes:
    """Return an initiation to the owner of `target` from somebody it does not know, taken off the wire."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))
        wire.setblocking(False)
        text = configuration(SecretKey.generate(), "10.78.0.3", target, "10.78.0.2", wire.getsockname()[1])
        loop = asyncio.get_running_loop()
        async with Tunnel(Config.loads(text)) as stranger:
            reaching = asyncio.create_task(stranger.ping("10.78.0.2", timeout=5))
            initiation = await asyncio.wait_for(loop.sock_recv(wire, 2048), 5)
            reaching.cancel()
            await asyncio.gather(reaching, return_exceptions=True)
    assert len(initiation) == INITIATION
    return initiation


def main() -> None:
    """Measure."""
    sending, downloading = SecretKey.generate(), SecretKey.generate()
    kinds = {
        "none": b"",
        "garbage": b"\xff" * INITIATION,
        "flood": asyncio.run(strangers_initiation(downloading)),
    }
    roles: list[Role] = []
    try:
        server = Role("serve", config=configuration(sending, "10.78.0.1", downloading, "10.78.0.2", None))
        roles.append(server)
        text = configuration(downloading, "10.78.0.2", sending, "10.78.0.1", server.first["port"])
        reader = Role("download", config=text, server="10.78.0.1")
        roles.append(reader)
        flooder = Role("flood", port=reader.first["port"])
        roles.append(flooder)
        for rate in RATES:
            print(json.dumps(measure(reader, flooder, kinds, rate)), flush=True)
    finally:
        for role in roles:
            role.close()


def measure(reader: Role, flooder: Role, kinds: dict[str, bytes], rate: int) -> dict[str, Any]:
    """Let the phases alternate at one rate of flood."""
    goodput: dict[str, list[float]] = {kind: [] for kind in kinds}
    per_cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    sent: list[int] = []
    before: dict[str, int] = reader.ask({})["counters"]
    for number in range(ROUNDS + 1):
        for kind, message in kinds.items():
            if message:
                flooder.tell({"message": message.hex(), "rate": rate, "seconds": SECONDS})
            start = reader.ask({})
            if message:
                sent.append(flooder.hear()["sent"])
            else:
                time.sleep(SECONDS)
            end = reader.ask({})
            received = (end["bytes"] - start["bytes"]) * 8 / 1e6
            # The first round warms up.
            if number:
                goodput[kind].append(received / (end["seconds"] - start["seconds"]))
                per_cpu[kind].append(received / (end["cpu"] - start["cpu"]))
    after: dict[str, int] = reader.ask({})["counters"]
    seen = sum(after.get(event, 0) - before.get(event, 0) for event in after if event != "cookie_withheld")
    medians = {f"{kind}_mbit_per_s": round(statistics.median(values)) for kind, values in goodput.items()}

    def share(rates: dict[str, list[float]]) -> float:
        ratios = [ours / other for ours, other in zip(rates["flood"], rates["garbage"], strict=True)]
        return round(statistics.median(ratios), 2)

    return {
        "bench": "flooded tunnel",
        "flood_per_s": round(statistics.median(sent) / SECONDS),
        "flood_received": round(seen / sum(sent), 2),
        **medians,
        "share_of_garbage": share(goodput),
        "share_per_cpu_second": share(per_cpu),
    }


if __name__ == "__main__":
    main()
