"""The demonstration's child process: a tunnel with an HTTP server inside.

It reads the client's public key from its standard input, answers with its own and its UDP port, and serves
until the standard input is closed.
"""

import asyncio
import json
import sys
from contextlib import suppress

from wirewright.demo import http, layout
from wirewright.keys import PublicKey, SecretKey
from wirewright.tunnel import Tunnel


async def main() -> None:
    """Serve until the parent goes."""
    line = sys.stdin.readline()
    if not line:
        return
    greeting = json.loads(line)
    key = SecretKey.generate()
    config = layout.configuration(
        key, layout.SERVER, layout.CLIENT, PublicKey.from_base64(greeting["public_key"]), None
    )
    async with (
        Tunnel(config, listen_address=layout.OUTER) as tunnel,
        await tunnel.start_server(http.serve, port=layout.HTTP_PORT),
    ):
        answer = {"public_key": str(key.public_key), "port": tunnel.listen_port}
        with suppress(BrokenPipeError):
            sys.stdout.write(f"{json.dumps(answer)}\n")
            sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
