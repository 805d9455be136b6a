"""The demonstration of a coordinator, run as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request

WW = [sys.executable, "-m", "wirewright", "demo", "--coordinator", "-m", "1"]
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def run(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, *WW, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_it_ends_well_and_says_so_without_a_capability() -> None:
    privileged = os.geteuid() == 0 and shutil.which("setpriv") is not None
    outcome = run(before=tuple(UNPRIVILEGED) if privileged else ())
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[-1] == "demo ok"
    for row in ("enrolment", "round trip", "1 MB from one device to the other"):
        assert any(row in line for line in lines), outcome.stdout
    assert any("without a right" in line and line.endswith(" no") for line in lines)
    assert "two devices are enrolled: 10.88.0.2 and 10.88.0.3" in outcome.stderr
    assert "its page is at http://127.0.0.1:" in outcome.stderr


def test_kept_it_serves_its_page_until_it_is_interrupted() -> None:
    process = subprocess.Popen([*WW, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        mark = "its page, until you press Ctrl-C: "
        said = next(line for line in process.stderr if mark in line)
        url = said.partition(mark)[2].strip()
        assert "/setup#wwf_" in url
        with urllib.request.urlopen(url.partition("#")[0], timeout=20) as answer:
            assert "Welcome to Wirewright" in answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.splitlines()[-1] == "demo ok"


def test_in_json_it_is_json_alone() -> None:
    outcome = run("--json")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    assert found["kept_apart"] is True
    assert found["between_devices_bits_per_second"] > 0
    assert 0 < found["cut_off_seconds"] < 10
