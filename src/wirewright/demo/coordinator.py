"""The demonstration's coordinator: a process with the API, a database of its own, and a rootless gateway.

It is given a folder and what devices may reach, says in a line of JSON where it is, and serves until its
standard input is closed.
"""

import asyncio
import json
import socket
import sys
from contextlib import suppress
from pathlib import Path

from wirewright.coordinator.embedding import ROOTLESS, Carriage
from wirewright.coordinator.process import Settings, running
from wirewright.coordinator.serving import Listening
from wirewright.tunnel import Forwarding

OUTER = "127.0.0.1"


async def main(folder: Path, reach: str) -> None:
    """Serve until the parent goes."""
    port = _free_port()
    forwarding = Forwarding((reach,))
    carriage = Carriage(ROOTLESS, listen_port=port, listen_address=OUTER, forwarding=forwarding)
    settings = Settings(folder, Listening(port=0), gateway=carriage, endpoint=f"{OUTER}:{port}")
    async with running(settings, lambda text: print(f"coordinator: {text}", file=sys.stderr)) as process:  # noqa: T201
        with suppress(BrokenPipeError):
            sys.stdout.write(f"{json.dumps({'url': process.served.url, 'setup': process.setup})}\n")
            sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((OUTER, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
