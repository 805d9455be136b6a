"""`ww check` and what all commands have in common."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import COMMAND, READ, wait_until_blocked, ww
from tests.config.samples import OFFICE, PRESHARED, PRIVATE, PUBLIC_OF_PRIVATE
from wirewright import __version__


@pytest.fixture
def office(tmp_path: Path) -> Path:
    path = tmp_path / "office.conf"
    path.write_text(OFFICE)
    path.chmod(0o600)
    return path


def test_a_valid_file_is_explained_on_the_standard_output(office: Path) -> None:
    done = ww("check", str(office))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{office} is valid.\n")
    assert "is called at vpn.example.com:51820" in done.stdout
    assert PRIVATE not in done.stdout
    assert PRESHARED not in done.stdout


def test_an_invalid_file_is_told_on_the_standard_error(office: Path) -> None:
    office.write_text("[Interface]\nMTU = x\nPrivatKey = y\n")
    done = ww("check", str(office))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == f"{office}:2: MTU: found 'x', expected bytes, from 68 to 65535"
    assert len(done.stderr.splitlines()) == 2


def test_json_of_a_valid_file(office: Path) -> None:
    done = ww("check", "--json", str(office))
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    assert (data["file"], data["valid"], data["findings"]) == (str(office), True, [])
    assert data["interface"]["public_key"] == PUBLIC_OF_PRIVATE
    assert PRIVATE not in done.stdout


def test_json_of_an_invalid_file(office: Path) -> None:
    office.write_text("[Interface]\nMTU = x\n")
    done = ww("check", "--json", str(office))
    assert (done.returncode, done.stderr) == (1, "")
    data = json.loads(done.stdout)
    assert data["valid"] is False
    assert data["problems"] == [
        {"line": 2, "key": "MTU", "found": "'x'", "expected": "bytes, from 68 to 65535", "hint": None}
    ]


def test_a_warning_fails_only_a_strict_check(office: Path) -> None:
    office.chmod(0o644)
    office.parent.chmod(0o755)
    done = ww("check", str(office))
    assert done.returncode == 0
    assert "warning: every user of this machine can read the file" in done.stdout
    assert ww("check", "--strict", str(office)).returncode == 1
    office.chmod(0o600)
    assert ww("check", "--strict", str(office)).returncode == 0


def test_the_standard_input_can_be_checked() -> None:
    done = ww("check", "-", input=OFFICE)
    assert done.returncode == 0
    assert done.stdout.startswith("- is valid.\n")


def test_the_standard_input_has_one_name_in_words_and_in_json() -> None:
    wrong = "[Interface]\nMTU = x\n"
    assert ww("check", "-", input=wrong).stderr.startswith("-:2: MTU: ")
    assert json.loads(ww("check", "--json", "-", input=wrong).stdout)["file"] == "-"


def test_hooks_are_not_run(office: Path) -> None:
    mark = office.parent / "mark"
    office.write_text(OFFICE.replace("MTU=1400", f"PostUp = touch {mark}\nPreUp = touch {mark}"))
    assert "never runs them" in ww("check", str(office)).stdout
    assert not mark.exists()


def test_an_interrupt_while_waiting_for_a_file_ends_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([*COMMAND, "check", str(pipe)], stderr=subprocess.PIPE)
    # Opening waits for the reader, and from then on all that the reader reads is the pipe.
    with pipe.open("w"):
        wait_until_blocked(process.pid, *READ)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    done = ww("check", str(tmp_path / "nowhere.conf"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ww: {tmp_path / 'nowhere.conf'}: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments", [["check"], ["chek", "x"], ["check", "--jason", "x"], ["check", "a", "b"], []]
)
def test_a_mistake_in_the_arguments_exits_with_2(arguments: list[str]) -> None:
    done = ww(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_command_is_put_right() -> None:
    assert "Did you mean 'check'?" in ww("chek").stderr


def test_the_version_is_that_of_the_core() -> None:
    done = ww("--version")
    assert (done.returncode, done.stdout) == (0, f"wirewright {__version__}\n")


def test_the_help_lists_every_command() -> None:
    done = ww("--help")
    assert done.returncode == 0
    for command in ("genkey", "genpsk", "pubkey", "check"):
        assert f"  {command} " in done.stdout


def on_a_terminal(path: Path, **changes: str) -> bytes:
    """Run a check whose standard output is a terminal, and give what it wrote."""
    main, terminal = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | changes
    command = [sys.executable, "-m", "wirewright", "check", str(path)]
    with os.fdopen(main, "rb") as reader:
        subprocess.run(command, stdout=terminal, env=environment | {"TERM": "xterm"}, check=True)
        os.close(terminal)
        return os.read(reader.fileno(), 65536)


def test_there_are_colours_on_a_terminal_unless_they_are_unwanted(office: Path) -> None:
    office.write_text(OFFICE.replace("MTU=1400", "MTU=1500"))
    assert b"\x1b[36mnote" in on_a_terminal(office)
    assert b"\x1b[36m" not in on_a_terminal(office, NO_COLOR="1")


def test_a_reader_that_goes_away_is_no_traceback(office: Path) -> None:
    shell = f'"{sys.executable}" -m wirewright check --json "{office}" | true'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_an_unexpected_error_is_one_line_unless_a_traceback_is_wanted(office: Path) -> None:
    program = (
        "import sys, wirewright.config\n"
        "wirewright.config.explain = lambda document: 1 / 0\n"
        f"sys.argv = ['ww', 'check', {str(office)!r}]\n"
        "from wirewright.cli import main; main()"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ww: unexpected ZeroDivisionError")
    assert len(done.stderr.splitlines()) == 1
    environment = os.environ | {"WIREWRIGHT_TRACEBACK": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" in done.stderr


def test_starting_up_loads_nothing_heavy() -> None:
    program = "import sys, wirewright.cli.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    for module in ("asyncio", "rich", "wirewright._core", "wirewright.config", "wirewright.tunnel"):
        assert module not in loaded
