"""`ww genkey | genpsk | pubkey` behave as `wg` does."""

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import COMMAND, READ_INPUT, wait_until_blocked, ww
from tests.config.samples import PRIVATE, PUBLIC_OF_PRIVATE
from wirewright.keys import PresharedKey, SecretKey


def test_genkey_writes_one_key_and_a_line_feed() -> None:
    done = ww("genkey")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("=\n")
    key = SecretKey.from_base64(done.stdout.removesuffix("\n"))
    first, *_, last = base64.b64decode(key.expose())
    assert (first & 7, last & 192) == (0, 64), "clamped as RFC 7748 says"


def test_genpsk_writes_one_key_and_a_line_feed() -> None:
    done = ww("genpsk")
    assert (done.returncode, done.stderr) == (0, "")
    PresharedKey.from_base64(done.stdout.removesuffix("\n"))


@pytest.mark.parametrize("text", [PRIVATE, f"{PRIVATE}\n", f"  {PRIVATE}\r\n\n"])
def test_pubkey_writes_the_public_key_of_what_it_reads(text: str) -> None:
    done = ww("pubkey", input=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{PUBLIC_OF_PRIVATE}\n", "")


@pytest.mark.parametrize("text", ["", "x\n", PRIVATE[:-1], f"{PRIVATE}{PRIVATE}", "\xff", "x" * 100_000])
def test_pubkey_refuses_what_is_no_key_without_showing_it(text: str) -> None:
    done = ww("pubkey", input=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ww: standard input: ") or "longer than" in done.stderr
    assert PRIVATE[:8] not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["genkey", "genpsk"])
@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o644, True), (0o602, True)])
def test_a_key_in_a_file_that_others_may_use_is_warned_of(
    open_folder: Path, command: str, mode: int, warns: bool
) -> None:
    path = open_folder / "key"
    path.touch()
    path.chmod(mode)
    with path.open("w") as file:
        done = ww(command, stdout=file)
    assert done.returncode == 0
    assert ("umask 077" in done.stderr) == warns
    assert len(path.read_text()) == 45


def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = ww("genkey", stdout=full)
    assert (done.returncode, done.stderr) == (1, "ww: No space left on device\n")


@pytest.mark.parametrize(("command", "descriptor"), [("genkey", 1), ("pubkey", 0)])
def test_a_closed_standard_stream_is_an_error(command: str, descriptor: int) -> None:
    shell = f'exec "{sys.executable}" -m wirewright {command} {descriptor}{"<>"[descriptor]}&-'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is closed" in done.stderr


def test_a_key_is_not_taken_from_the_arguments() -> None:
    done = ww("pubkey", PRIVATE)
    assert (done.returncode, done.stdout) == (2, "")


def test_an_interrupt_while_waiting_for_a_key_ends_at_once() -> None:
    process = subprocess.Popen(
        [*COMMAND, "pubkey"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    wait_until_blocked(process.pid, *READ_INPUT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
