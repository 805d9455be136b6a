"""A gateway on the kernel's WireGuard with 100 and 5,000 devices, in a virtual machine.

The machine is emulated (see `wirewright.lab.guest`), so that only ratios within one run say something. Prints
one JSON object a measurement. Takes root, QEMU and virtiofsd.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.kernel import lab_with_guest  # noqa: E402 (the tests are no package that is installed)

if TYPE_CHECKING:
    from wirewright.lab.guest import Guest

ROLE = Path(__file__).resolve().with_name("kernel_gateway_role.py")
PATIENCE = 900.0
"""Seconds for one measurement, most of which Python takes to begin."""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, action="append", help="how many; 100 and 5000 unless given")
    parser.add_argument("--changes", type=int, default=34, help="devices that are changed, three times each")
    parser.add_argument("--rounds", type=int, default=2, help="in which the numbers take turns")
    options = parser.parse_args()
    with lab_with_guest(share=Path("/")) as (_, guest):
        for _ in range(options.rounds):
            for count in options.devices or (100, 5000):
                print(json.dumps(measured(guest, count, options.changes)), flush=True)


def measured(guest: Guest, count: int, changes: int) -> dict[str, object]:
    """Measure in the guest, and wait for what it says."""
    environment = f"PYTHONPATH={ROOT / 'src'}:{ROOT}"
    words = ("chroot", "/share", "env", environment, sys.executable, str(ROLE), str(count), str(changes))
    guest.run(f"rm -f /ended; ({shlex.join(words)} >/said 2>/told; echo $? >/ended) &")
    end = time.monotonic() + PATIENCE
    # Not more often: to look takes the one processor from what is measured.
    while not (status := guest.run("cat /ended 2>/dev/null || :").strip()):
        if time.monotonic() > end:
            raise SystemExit(f"no answer in time: {guest.run('cat /told')}")
        time.sleep(5)
    if status != "0":
        raise SystemExit(guest.run("cat /told"))
    found: dict[str, object] = json.loads(guest.run("cat /said"))
    return found


if __name__ == "__main__":
    main()
