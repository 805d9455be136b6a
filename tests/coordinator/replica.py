"""One replica of the API as a process of its own: `python -m tests.coordinator.replica DATABASE`; it prints
its URL.
"""

from __future__ import annotations

import asyncio
import sys

from wirewright.coordinator import app
from wirewright.coordinator.serving import Listening, serving
from wirewright.coordinator.storage import Storage

from .enrolling import no_limits


async def main(address: str) -> None:
    async with serving(app.create(Storage.open(address), no_limits()), Listening(port=0)) as served:
        sys.stdout.write(f"{served.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
