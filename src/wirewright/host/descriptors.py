"""Descriptors that a process was started with. Only ``os`` is imported: this is for processes that last."""

import os


def occupy_standard(*, inheritable: bool) -> None:
    """Open those of the first three that were closed, lest something of ours get their numbers.

    Programs that are executed find them open if ``inheritable``, else closed as they were.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) < 3:
        os.set_inheritable(descriptor, inheritable)
    os.close(descriptor)


def close_others(*kept: int | None) -> None:
    """Close all but the first three and these: a lock, or a pipe whose end somebody waits for."""
    lowest = 3
    for descriptor in sorted({1 << 20, *(number for number in kept if number is not None)}):
        os.closerange(lowest, descriptor)
        lowest = descriptor + 1
