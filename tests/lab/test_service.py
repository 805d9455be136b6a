"""`ww up --wait` as a service manager runs it, with the capabilities of our unit and no others."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.lab.nodes import INNER, Node, cable, peer_section
from wirewright.lab import Lab, Machine

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "contrib" / "systemd"
UNIT = UNITS / "wirewright@.service"
WW = (sys.executable, "-m", "wirewright")


def capabilities() -> list[str]:
    """What the unit grants, as `setpriv` names it."""
    (granted,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)
    return [word.lower().removeprefix("cap_") for word in granted.split()]


def ask_to_end(machine: Machine) -> None:
    """As a service manager does (`KillMode=mixed`): the main process, and not the engine."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in machine.processes()}
    (main,) = (pid for pid, words in lines.items() if b"--wait" in words and b"wirewright" in words[:4])
    os.kill(main, signal.SIGTERM)


@pytest.mark.parametrize("name", sorted(path.name for path in UNITS.glob("*.service")))
def test_the_unit_is_one(tmp_path: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze", "install systemd")
    program = Path(sys.executable).with_name("ww")
    unit = tmp_path / name.replace("@", "@wg0")
    unit.write_text((UNITS / name).read_text().replace("=ww ", f"={program} "))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("full", [False, True])
def test_a_service_says_when_it_is_up_lives_and_ends(tmp_path: Path, full: bool) -> None:
    with Lab(cable()) as lab, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        there = Node(lab["b"], INNER[1]).start()
        here = Node(lab["a"], INNER[0], "served")
        there.setconf(peer_section(here))
        file = tmp_path / "served.conf"
        allowed = ["0.0.0.0/0", "::/0"] if full else None
        file.write_text(
            here.interface_section()
            + "Address = 10.7.0.1/24\n"
            + peer_section(there, endpoint="192.0.2.2", allowed=allowed)
        )
        file.chmod(0o600)
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(40)
        only = ",".join(["-all", *(f"+{name}" for name in capabilities())])
        process = lab["a"].popen(
            *("setpriv", f"--bounding-set={only}", "--inh-caps=-all", "--no-new-privs"),
            *(*WW, "up", "--wait", "--engine", "wirewright", str(file)),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert manager.recv(1000).startswith(b"READY=1\n")
        here.ping("10.7.0.2")
        assert {manager.recv(1000) for _ in range(3)} == {b"WATCHDOG=1"}
        # What changes in the file is taken in, and the session goes on.
        handshake = here.latest_handshake(there)
        file.write_text(file.read_text() + "PersistentKeepalive = 25\n")
        lab["a"].run(*WW, "syncconf", str(file))
        assert here.dump().peers[str(there.public_key)].keepalive == 25
        assert here.latest_handshake(there) == handshake
        ask_to_end(lab["a"])
        while (said := manager.recv(1000)) == b"WATCHDOG=1":
            pass
        assert said.startswith(b"STOPPING=1\n")
        _, told = process.communicate(timeout=40)
        assert process.returncode == 0
        assert "Traceback" not in told
        assert here.is_gone()
        assert "not fwmark" not in lab["a"].run("ip", "rule").stdout


def test_a_service_whose_interface_is_deleted_fails(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        here = Node(lab["a"], INNER[0], "served")
        file = tmp_path / "served.conf"
        file.write_text(here.interface_section())
        file.chmod(0o600)
        words = (*WW, "up", "--wait", "--engine", "wirewright", str(file))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(40)
            environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
            process = lab["a"].popen(*words, env=environment, stderr=subprocess.PIPE, text=True)
            while b"READY=1" not in manager.recv(4096):
                pass
            assert here.is_there()
            lab["a"].run("ip", "link", "delete", "served")
        _, said = process.communicate(timeout=40)
        assert process.returncode == 1
        assert "served is gone" in said
