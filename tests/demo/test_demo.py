"""The demonstration, run as a user runs it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

WW = [sys.executable, "-m", "wirewright"]
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def run(*arguments: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*(before or []), *WW, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_the_demo_ends_well_and_says_so() -> None:
    outcome = run("demo", "--megabytes", "5")
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[-1] == "demo ok"
    for row in ("handshake", "round trip", "download, 5 MB", "upload, 5 MB"):
        assert any(row in line for line in lines), outcome.stdout


def test_the_demo_in_json_is_json_alone() -> None:
    outcome = run("demo", "-m", "1", "--json")
    assert outcome.returncode == 0, outcome.stderr
    measurement = json.loads(outcome.stdout)
    assert set(measurement) == {
        *("handshake_seconds", "round_trip_seconds", "megabytes"),
        *("download_bits_per_second", "upload_bits_per_second"),
    }
    assert all(value > 0 for value in measurement.values())


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root has capabilities to drop"
)
def test_the_demo_needs_no_capability() -> None:
    script = (
        "import fcntl, struct\n"
        "tun = open('/dev/net/tun', 'r+b', buffering=0)\n"
        "fcntl.ioctl(tun, 0x400454CA, struct.pack('16sH22x', b'', 0x1001))\n"
    )
    refused = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert refused.returncode != 0
    assert "PermissionError" in refused.stderr
    outcome = run("demo", "-m", "2", before=UNPRIVILEGED)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1] == "demo ok"


def test_a_size_of_zero_is_a_mistake_in_the_arguments() -> None:
    outcome = run("demo", "--megabytes", "0")
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr
