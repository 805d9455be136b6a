"""Settings of the kernel, those of the network as they are in the network namespace of the process.

A name is as in sysctl(8): ``net.ipv4.conf.all.src_valid_mark``, where an interface's dot is a slash, as in
``net.ipv4.conf.eth0/7.forwarding``. Both functions raise OSError with words for a person.
"""

from __future__ import annotations


def read(name: str) -> str:
    """Give a setting, without the end of its line."""
    raise NotImplementedError


def write(name: str, value: str) -> None:
    """Change a setting; one that has this value already is not touched."""
    raise NotImplementedError
