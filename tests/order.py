"""The order of tests: those that take longest first, each worker beginning with others of them.

At the end of a run one of them would keep all other workers waiting. xdist (``--dist worksteal``) gives each
worker a piece of the list, its order kept, and who is done takes from the end of another's piece. So what
stands at the head of a piece begins at once, and stays with its worker and with the fixtures of its module.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

LONG = (
    # Two minutes of waiting for a timer, before as much in an emulated machine; others have theirs at once.
    ("tests/interop/test_rekey.py", "tests/lab/test_kernel.py"),
    ("tests/lab/test_kernel_engine.py",),
    ("tests/lab/test_gateway_devices.py",),
)
"""Files, in groups whose tests are one worker's."""


class Item(Protocol):
    """What is asked of a test."""

    @property
    def path(self) -> Path: ...


AnyItem = TypeVar("AnyItem", bound=Item)


def long_first(items: Sequence[AnyItem], workers: int, root: Path) -> list[AnyItem]:
    """Return the tests in the order for so many workers: all of them, and each once."""
    groups = [[item for file in files for item in items if item.path == root / file] for files in LONG]
    long = {root / file for files in LONG for file in files}
    others = [item for item in items if item.path not in long]
    ordered: list[AnyItem] = []
    for worker in range(workers):
        head = [item for group in groups[worker::workers] for item in group]
        # As xdist has it: of what is left, an equal part for each of the workers that are left.
        length = (len(items) - len(ordered)) // (workers - worker)
        filling = max(0, length - len(head)) if worker < workers - 1 else len(others)
        ordered += head + others[:filling]
        others = others[filling:]
    return ordered
