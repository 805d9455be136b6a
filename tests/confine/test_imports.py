"""What is imported before the processes are forked: nothing that holds keys, and nothing that has threads."""

from __future__ import annotations

import subprocess
import sys


def test_neither_the_core_nor_what_reads_keys_is_imported_before_the_fork() -> None:
    program = "import sys, wirewright.confine; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    modules = set(done.stdout.split())
    ours = {name for name in modules if name.startswith("wirewright.") and ".confine" not in name}
    assert ours == {"wirewright.host", "wirewright.host.descriptors"}
    assert not modules & {"asyncio", "pyroute2", "concurrent.futures"}
