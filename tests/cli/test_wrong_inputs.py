"""What every command does with what it cannot use: a sentence, a status, and never a traceback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import COMMAND, ww
from tests.config.samples import ALICE, PRIVATE

CONF = f"""\
[Interface]
PrivateKey = {PRIVATE}
Address = 10.0.0.2/24
[Peer]
PublicKey = {ALICE}
AllowedIPs = 10.0.0.0/24
Endpoint = 127.0.0.1:9
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "office.conf"
    path.write_text(CONF)
    path.chmod(0o600)
    return path


def replaced(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def reading(path: Path) -> list[list[str]]:
    """Each command that reads a configuration, reading this one."""
    return [["check", str(path)], ["ping", str(path), "10.0.0.1", "-c", "1", "-W", "1"]]


def missing(path: Path) -> str:
    path.unlink()
    return "No such file or directory"


def directory(path: Path) -> str:
    path.unlink()
    path.mkdir()
    return "Is a directory"


def binary(path: Path) -> str:
    path.write_bytes(bytes(range(256)) * 100)
    return "is this a configuration file?"


def huge(path: Path) -> str:
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    return "expected a configuration file"


def empty(path: Path) -> str:
    path.write_text("")
    return "found no [Interface] section"


def bad_key(path: Path) -> str:
    replaced(path, PRIVATE, PRIVATE[:-2])
    return "PrivateKey: found (hidden), expected a key"


@pytest.mark.parametrize("spoil", [missing, directory, binary, huge, empty, bad_key])
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(conf: Path, spoil: object) -> None:
    assert callable(spoil)
    words = spoil(conf)
    for command in reading(conf):
        done = ww(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(conf) in done.stderr
        assert words in done.stderr
        assert PRIVATE[:-2] not in done.stderr
        assert len(done.stderr.splitlines()) == 1
        told = ww(*command, "--json")
        assert (told.returncode, told.stderr) == (1, "")
        data = json.loads(told.stdout)
        assert "error" in data or data["valid"] is False


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root can read everything")
def test_a_file_that_may_not_be_read_is_named(conf: Path) -> None:
    conf.chmod(0)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    # Root without capabilities still owns the file, and a file of mode 0 is then closed to it too.
    for command in reading(conf):
        done = subprocess.run(
            [*unprivileged, *COMMAND, *command], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"ww: {conf}: Permission denied\n"


@pytest.mark.parametrize(
    ("old", "new", "host", "words"),
    [
        (f"PrivateKey = {PRIVATE}\n", "", "10.0.0.1", "no PrivateKey"),
        ("Address = 10.0.0.2/24\n", "", "10.0.0.1", "no Address"),
        ("127.0.0.1:9", "no-such-host.invalid:9", "10.0.0.1", "no-such-host.invalid:9 does not resolve"),
        ("Endpoint = 127.0.0.1:9\n", "", "10.0.0.1", "endpoint is unknown"),
        ("127.0.0.1:9", "127.0.0.1:9", "192.0.2.1", "no peer's allowed IPs cover it"),
        ("127.0.0.1:9", "127.0.0.1:9", "10.0.0.2", "this tunnel's own address"),
        ("127.0.0.1:9", "127.0.0.1:9", "10.0.0.256", "neither an IP address nor a name"),
        ("127.0.0.1:9", "127.0.0.1:9", "a b", "white space"),
        ("127.0.0.1:9", "127.0.0.1:9", "", "it is empty"),
        ("127.0.0.1:9", "127.0.0.1:9", "intranet", "has no DNS server to ask inside the tunnel"),
    ],
)
def test_what_cannot_be_pinged_is_told_in_a_sentence(
    conf: Path, old: str, new: str, host: str, words: str
) -> None:
    replaced(conf, old, new)
    done = ww("ping", str(conf), host, "-c", "1")
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("ww: ")
    assert len(done.stderr.splitlines()) == 1
    told = ww("ping", str(conf), host, "--json")
    assert (told.returncode, told.stderr) == (1, "")
    assert words in json.loads(told.stdout)["error"]


def test_a_port_in_use_is_named(conf: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        replaced(conf, "[Interface]", f"[Interface]\nListenPort = {port}")
        done = ww("ping", str(conf), "10.0.0.1")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"UDP port {port} is in use by another program" in done.stderr


@pytest.mark.parametrize("command", ["genkey", "genpsk", "pubkey", "check", "ping", "run", "demo"])
def test_a_key_among_the_arguments_is_refused_and_not_repeated(command: str) -> None:
    for argument in (PRIVATE, f"--key={PRIVATE}"):
        done = ww(command, argument)
        assert (done.returncode, done.stdout) == (2, "")
        assert "a key stands among the arguments" in done.stderr
        assert PRIVATE not in done.stderr


def test_what_looks_like_a_key_is_no_matter_where_it_is_another_commands(conf: Path) -> None:
    conf.unlink()
    done = ww("run", str(conf), "--", "echo", PRIVATE)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == f"ww: {conf}: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["genkey", "x"],
        ["genpsk", "x"],
        ["pubkey", "x"],
        ["ping", "x"],
        ["run", "x"],
        ["run", "x", "--"],
        ["demo", "-m", "x"],
    ],
)
def test_mistaken_arguments_are_status_2_with_the_usage(arguments: list[str]) -> None:
    done = ww(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["genkey", "genpsk", "pubkey", "check", "ping", "run", "demo"])
def test_without_a_standard_output_nothing_is_begun(conf: Path, command: str) -> None:
    arguments = {"check": f'"{conf}"', "ping": f'"{conf}" 10.0.0.1', "run": f'"{conf}" true'}.get(command, "")
    shell = f'exec "{sys.executable}" -m wirewright {command} {arguments} >&-'
    done = subprocess.run(["sh", "-c", shell], stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("ww: the standard output is closed")


@pytest.mark.parametrize("arguments", ["check", "check --json", "--help", "--version"])
def test_a_full_disk_is_one_line(conf: Path, arguments: str) -> None:
    words = [*arguments.split(), str(conf)] if arguments.startswith("check") else [arguments]
    with Path("/dev/full").open("w") as full:
        done = ww(*words, stdout=full)
    assert (done.returncode, done.stderr) == (1, "ww: No space left on device\n")


@pytest.mark.parametrize("command", ["check {conf}", "ping {conf} 10.0.0.1 -W 1 -i 0", "--help", "demo -m 1"])
def test_a_reader_that_takes_one_line_and_goes_ends_the_command_quietly(conf: Path, command: str) -> None:
    shell = f'"{sys.executable}" -m wirewright {command.format(conf=conf)} | head -n 1'
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, check=False, timeout=30, errors="replace"
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "Exception ignored" not in done.stderr


def interrupted(*arguments: str, after: str, stream: str) -> subprocess.CompletedProcess[str]:
    """Run a command and interrupt it, and all its processes, as a terminal does when it says something."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "FORCE_COLOR": "1"},
    )
    pipe = getattr(process, stream)
    said = ""
    while after not in said:
        letter = pipe.read(1)
        assert letter, f"it ended before it said {after!r}: {said}"
        said += letter
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, said + err)


def test_an_interrupt_of_the_demo_ends_both_processes_without_a_traceback() -> None:
    done = interrupted("demo", "-m", "10000", after="0.1/10.0", stream="stderr")
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert "demo ok" not in done.stdout


def test_an_interrupt_before_the_first_answer_says_that_there_was_none(conf: Path) -> None:
    done = interrupted("ping", str(conf), "10.0.0.1", after="Ping 10.0.0.1", stream="stdout")
    assert done.returncode == 130
    assert "10.0.0.1: no answer so far" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["1", "20", "60"])
def test_a_narrow_terminal_breaks_no_word_of_the_results(columns: str) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "-m", "1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": columns},
        timeout=50,
    )
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert [line[0] for line in lines] == ["handshake", "round", "download,", "upload,", "demo"]
    assert lines[-1] == ["demo", "ok"]


@pytest.mark.parametrize("option", ["--ipv4", "--ipv6", "--routes"])
def test_an_address_that_is_none_is_told_with_its_option(option: str) -> None:
    done = ww("lease", "wg0", option, "banana")
    assert done.returncode == 2
    assert done.stderr.startswith(f"ww: {option}: ")
    assert "banana" in done.stderr


def test_that_there_are_no_leases_is_said(tmp_path: Path) -> None:
    done = ww("dynamic", "leases", "wg0", "--leases", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "is not there" in done.stderr
