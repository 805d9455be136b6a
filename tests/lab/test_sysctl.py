"""Settings of the kernel, of a network namespace, and where they are read-only."""

from __future__ import annotations

from tests.lab.nodes import cable
from wirewright.lab import Lab

MARK = "net.ipv4.conf.all.src_valid_mark"
CALL = """
import sys
from wirewright.host import sysctl
verb, *words = sys.argv[1:]
try:
    print(getattr(sysctl, verb)(*words))
except OSError as error:
    print(type(error).__name__, error.strerror)
"""


def test_a_setting_is_that_of_the_network_namespace() -> None:
    with Lab(cable()) as lab:
        assert lab["a"].python(CALL, "read", MARK).stdout == "0\n"
        lab["a"].python(CALL, "write", MARK, "1")
        assert lab["a"].run("sysctl", "-n", MARK).stdout == "1\n"
        assert lab["a"].python(CALL, "read", MARK).stdout == "1\n"
        assert lab["b"].python(CALL, "read", MARK).stdout == "0\n"


def test_an_interface_s_dot_is_a_slash() -> None:
    with Lab(cable()) as lab:
        lab["a"].run("ip", "link", "set", "eth0", "down")
        lab["a"].run("ip", "link", "set", "eth0", "name", "eth0.7")
        name = "net.ipv4.conf.eth0/7.forwarding"
        lab["a"].python(CALL, "write", name, "1")
        assert lab["a"].run("sysctl", "-n", name).stdout == "1\n"


def test_what_cannot_be_is_told() -> None:
    with Lab(cable()) as lab:
        for words, told in (
            (
                ("read", "net.ipv4.nonsense"),
                "FileNotFoundError cannot read net.ipv4.nonsense:"
                " this kernel, or this network namespace, has no such setting",
            ),
            (
                ("write", MARK, "yes"),
                f"OSError cannot set {MARK} to yes: the kernel does not take this value",
            ),
            (
                ("read", "net.ipv4.route.flush"),
                "PermissionError cannot read net.ipv4.route.flush: Permission denied",
            ),
            (("read", "net"), "IsADirectoryError cannot read net: Is a directory"),
            (("write", "net.//.//.x", "1"), "OSError 'net.//.//.x' is no name of a setting"),
            (("read", ""), "OSError '' is no name of a setting"),
        ):
            assert lab["a"].python(CALL, *words).stdout == f"{told}\n"
        assert lab["a"].run("sysctl", "-n", MARK).stdout == "0\n"


def test_where_settings_are_read_only_it_is_enough_that_they_are_so_already() -> None:
    with Lab(cable()) as lab:
        lab["a"].run("mount", "-t", "proc", "-o", "ro", "proc", "/proc")
        assert lab["a"].python(CALL, "write", MARK, "0").stdout == "None\n"
        assert lab["a"].python(CALL, "write", MARK, "1").stdout == (
            f"OSError cannot set {MARK} to 1: /proc/sys is read-only, as in most containers;"
            " set it where the container is started\n"
        )


def test_who_is_not_root_is_told() -> None:
    with Lab(cable()) as lab:
        dropped = CALL.replace("verb,", "import os; os.setgid(65534); os.setuid(65534)\nverb,")
        assert lab["a"].python(dropped, "read", MARK).stdout == "0\n"
        told = f"PermissionError cannot set {MARK} to 1: this takes root\n"
        assert lab["a"].python(dropped, "write", MARK, "1").stdout == told
