"""`wirewright-tun` with some offloads turned off: ``without.py INTERFACE [tun_tcp] [tun_udp] [udp_send]``."""

from __future__ import annotations

import functools
import sys

from wirewright import _core, tun

if __name__ == "__main__":
    name, *without = sys.argv[1:]
    _core.run_interface = functools.partial(_core.run_interface, **dict.fromkeys(without, False))  # type: ignore[attr-defined]
    sys.exit(tun.main([name]))
