"""Descriptors of a process: those it was started with, and how many it may have.

Nothing is imported that takes long, or that stays: this is for processes that last.
"""

import os

OF_A_GATEWAY = 32_768
"""Each flow that a rootless gateway carries has a socket; and there may be a coordinator beside it."""


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


def allow(wanted: int) -> None:
    """Let the process have so many open files, as far as its hard limit goes; it may have more already."""
    import resource  # noqa: PLC0415 - not on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
