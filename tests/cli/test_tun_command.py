"""What `wirewright-tun` says to wrong arguments and surroundings, as far as that takes no root."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wirewright import tun

COMMAND = str(Path(sys.executable).with_name("wirewright-tun"))


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | environment
    return subprocess.run(
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("arguments", [(), ("-x",), ("one", "two"), ("--foreground",)])
def test_wrong_arguments_show_the_usage(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: wirewright-tun")


def test_it_imports_the_core_and_nothing_else_of_ours_or_of_size() -> None:
    program = "import sys, wirewright.tun, wirewright._core; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    modules = set(done.stdout.split())
    small = {"wirewright.host", "wirewright.host.descriptors"}
    ours = {"wirewright", "wirewright.tun", "wirewright._core"} | small
    assert {name for name in modules if name.startswith("wirewright")} == ours
    assert not modules & {
        "asyncio",
        "typing",
        "re",
        "ctypes",
        "socket",
        "subprocess",
        "logging",
        "pathlib",
        "argparse",
    }


def test_help_and_version_are_told() -> None:
    shown = run("--help").stdout
    assert shown.startswith("usage: wirewright-tun")
    heeded = set(re.findall(r'"((?:WG|WIREWRIGHT)_[A-Z_]+|LOG_LEVEL)"', Path(tun.__file__).read_text()))
    assert len(heeded) == 7
    assert {name for name in heeded if name not in shown} == set()
    assert run("--version").stdout.startswith("wirewright-tun ")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WIREWRIGHT_SHARDS": "0"}, "WIREWRIGHT_SHARDS must be a number from 1 to 64, not '0'"),
        ({"WIREWRIGHT_SHARDS": "65"}, "WIREWRIGHT_SHARDS must be a number from 1 to 64"),
        ({"WIREWRIGHT_SHARDS": "9" * 5000}, "WIREWRIGHT_SHARDS must be a number from 1 to 64"),
        ({"WG_TUN_FD": "-1"}, "WG_TUN_FD must be a number from 0 to"),
        ({"WG_TUN_FD": "99"}, "the descriptor in WG_TUN_FD is not open"),
        # A number that the command's own pipes would get.
        ({"WG_TUN_FD": "3"}, "the descriptor in WG_TUN_FD is not open"),
        ({"WG_UAPI_FD": "3"}, "the descriptor in WG_UAPI_FD is not open"),
        ({"WG_UAPI_FD": "three"}, "WG_UAPI_FD must be a number from 0 to"),
        ({"WIREWRIGHT_WITHOUT": "tun-tcp,speed"}, 'there is no offload "speed"'),
        ({"WIREWRIGHT_WITHOUT": "\x1b[31m"}, "there is no offload "),
        ({"WIREWRIGHT_WITHOUT": "\udcff"}, "there is no offload "),
        ({"WG_TUN_FD": "\x1b[31m"}, r"not '\x1b[31m'"),
    ],
)
@pytest.mark.parametrize("foreground", ["0", "1"])
def test_wrong_environments_are_named(environment: dict[str, str], words: str, foreground: str) -> None:
    done = run("wgnever", WG_PROCESS_FOREGROUND=foreground, **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("wirewright-tun: wgnever: ")
    assert words in done.stderr
    assert done.stderr.rstrip("\n").isprintable()
    assert "Traceback" not in done.stderr


# What the kernel takes of these as a name would be obeyed by the terminal of whoever lists interfaces.
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("wg\x1b[31m", r"wg\x1b[31m"),
        ("wg\x07", r"wg\x07"),
        ("wg\x7f", r"wg\x7f"),
        ("wg\x9b31m", r"wg\x9b31m"),
        ("wg\u202e0", r"wg\u202e0"),
        ("wg\n0", r"wg\n0"),
        # A byte that is no UTF-8.
        ("wg\udcff", r"wg\udcff"),
    ],
)
@pytest.mark.parametrize("foreground", ["0", "1"])
def test_a_name_that_cannot_be_shown_is_refused_and_told_with_escapes(
    name: str, shown: str, foreground: str
) -> None:
    # The variable is wrong, so that no interface is made if the name is taken.
    done = run(name, WG_PROCESS_FOREGROUND=foreground, WG_TUN_FD="many")
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.removesuffix("\n")
    assert said.startswith(f"wirewright-tun: {shown}: this cannot be the name of an interface")
    assert said.isprintable()


def test_letters_of_any_script_are_shown_as_they_are() -> None:
    done = run("wgé", WG_TUN_FD="many")
    assert done.stderr.startswith("wirewright-tun: wgé: the environment variable WG_TUN_FD")


@pytest.mark.parametrize(("begun", "words"), [(False, "takes root or CAP_NET"), (True, "Operation not")])
def test_only_an_error_of_the_start_is_explained_as_one(begun: bool, words: str) -> None:
    program = """
import errno, os, sys
from wirewright import _core, tun

def run_interface(name, ready, **_):
    if sys.argv[1] == "True":
        ready(name)
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))

_core.run_interface = run_interface
sys.exit(tun.main(["-f", "wgnever"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(begun)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert ("CAP_NET_ADMIN" in done.stderr) is not begun


def test_it_forks_while_there_is_one_thread_and_no_core_that_could_make_a_key() -> None:
    program = """
import os, sys
from wirewright import tun

def fork():
    print(len(os.listdir("/proc/self/task")), "wirewright._core" in sys.modules, flush=True)
    os._exit(0)

os.fork = fork
tun.main(["wgnever"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1 False\n")
