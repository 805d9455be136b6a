"""Run in a host: a flood of initiations until standard input ends. It says when cookies come back."""

from __future__ import annotations

import sys

from tests.interop.flood import Flood
from wirewright.keys import PublicKey


def main(key: str, host: str, port: str, burst: str) -> None:
    with Flood(PublicKey.from_base64(key), (host, int(port)), int(burst)) as flood:
        flood.wait_for_cookies()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
