"""``ww proxy`` in a process of its own, used by curl and by Python."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import COMMAND, ww
from tests.conftest import missing
from tests.docs.office import NAME, Office, open_office


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with open_office() as office:
        yield office


@pytest.fixture
def conf(office: Office, tmp_path: Path) -> Path:
    office.furnish(tmp_path)
    return tmp_path / "office.conf"


@contextlib.contextmanager
def proxying(conf: Path, *arguments: str, ready: int = 1, **environment: str) -> Iterator[list[str]]:
    """Run the command; give the lines that say where it listens. It must end well when interrupted."""
    process = subprocess.Popen(
        [*COMMAND, "proxy", str(conf), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        assert process.stderr is not None
        yield [process.stderr.readline().strip() for _ in range(ready)]
    finally:
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert rest == ""


def curl(*arguments: str) -> str:
    program = shutil.which("curl")
    if program is None:
        missing("curl", "install curl")
    done = subprocess.run(
        [program, "--silent", "--show-error", "--max-time", "20", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    return done.stdout + done.stderr


def where(line: str, kind: str) -> str:
    found = re.fullmatch(rf"{kind} (?:proxy at|from) (\S+).*", line)
    assert found is not None, line
    return found[1]


def test_curl_reaches_a_name_behind_the_tunnel_by_socks(conf: Path) -> None:
    with proxying(conf, "--socks5", "0") as (line,):
        proxy = f"socks5h://{where(line, 'SOCKS5')}"
        assert curl("--proxy", proxy, f"http://{NAME}/") == "welcome\n"
        trusted = str(conf.parent / "office.pem")
        assert curl("--proxy", proxy, "--cacert", trusted, f"https://{NAME}/") == "welcome\n"


def test_curl_reaches_a_name_behind_the_tunnel_by_http(conf: Path) -> None:
    with proxying(conf, "--http", "0") as (line,):
        proxy = f"http://{where(line, 'HTTP')}"
        assert curl("--proxy", proxy, f"http://{NAME}/") == "welcome\n"
        trusted = str(conf.parent / "office.pem")
        assert curl("--proxy", proxy, "--cacert", trusted, f"https://{NAME}/") == "welcome\n"
        assert curl("--proxy", proxy, "--head", f"http://{NAME}:81/").startswith("HTTP/1.1 502 ")


def test_curl_must_say_the_password(conf: Path) -> None:
    secret = conf.parent / "credentials"
    secret.write_text("ann:secret\n")
    secret.chmod(0o600)
    arguments = ("--socks5", "0", "--http", "0", "--credentials", str(secret))
    with proxying(conf, *arguments, ready=2) as (socks, http):
        for proxy in (f"socks5h://{{}}{where(socks, 'SOCKS5')}", f"http://{{}}{where(http, 'HTTP')}"):
            assert curl("--proxy", proxy.format("ann:secret@"), f"http://{NAME}/") == "welcome\n"
            assert "welcome" not in curl("--proxy", proxy.format("ann:wrong@"), f"http://{NAME}/")
            assert "welcome" not in curl("--proxy", proxy.format(""), f"http://{NAME}/")


def test_the_password_may_stand_in_the_environment(conf: Path) -> None:
    with proxying(conf, "--http", "0", WIREWRIGHT_PROXY_CREDENTIALS="ann:secret") as (line,):
        assert "welcome" not in curl("--proxy", f"http://{where(line, 'HTTP')}", f"http://{NAME}/")
        proxy = f"http://ann:secret@{where(line, 'HTTP')}"
        assert curl("--proxy", proxy, f"http://{NAME}/") == "welcome\n"


def test_curl_reaches_a_forward(conf: Path) -> None:
    with proxying(conf, "--forward", f"0={NAME}:80", "--forward", "[::1]:0=10.0.0.1:80", ready=2) as lines:
        for line in lines:
            assert curl(f"http://{where(line, 'forward')}/") == "welcome\n"


def test_an_interrupt_ends_what_is_under_way(conf: Path) -> None:
    with proxying(conf, "--forward", "0=10.0.0.1:7") as (line,):
        host, _, port = where(line, "forward").rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=20)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    connection.close()


def test_json_says_where_it_listens_and_what_became_of_connections(conf: Path) -> None:
    arguments = [
        "proxy",
        str(conf),
        "--http",
        "0",
        "--forward",
        "0=10.0.0.1:7",
        "--expose",
        "80=127.0.0.1:9",
        "--json",
    ]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    http, forward, expose = json.loads(process.stdout.readline())["listening"]
    assert (http["kind"], http["to"]) == ("HTTP", None)
    assert forward["to"] == "10.0.0.1:7"
    assert (expose["at"], expose["to"]) == ("10.0.0.2:80", "127.0.0.1:9")
    assert curl("--proxy", f"http://{http['at']}", f"http://{NAME}/") == "welcome\n"
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    (counted, _, _) = json.loads(rest)["listeners"]
    assert counted["counters"]["accepted"] == 1
    assert counted["counters"]["unauthorised"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to do"),
        (["--socks5", "0.0.0.0:1080"], "give it credentials"),
        (["--http", "[::]:8080"], "give it credentials"),
        (["--forward", "0.0.0.0:80=a:80"], "cannot ask who it is"),
        (["--socks5", "nowhere:1080"], "'nowhere' is no IP address to listen on"),
        (["--forward", "80"], "expected LOCAL=REMOTE"),
        (["--expose", "80"], "expected REMOTE=LOCAL"),
        (["--http", "70000"], "'70000' is no port"),
        (["--connections", "0", "--http", "0"], "--connections"),
    ],
)
def test_a_mistake_in_the_arguments_is_told_with_status_2(
    conf: Path, arguments: list[str], said: str
) -> None:
    done = ww("proxy", str(conf), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["ann", "ann:", ":x"])
def test_credentials_that_cannot_be_are_told(conf: Path, text: str) -> None:
    path = conf.parent / "credentials"
    path.write_text(text)
    done = ww("proxy", str(conf), "--http", "0", "--credentials", str(path))
    assert done.returncode == 2
    assert "does not hold USER:PASSWORD" in done.stderr


def test_a_port_in_use_is_told(conf: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = ww("proxy", str(conf), "--http", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "already in use" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_an_address_that_is_not_the_tunnels_is_told(conf: Path) -> None:
    done = ww("proxy", str(conf), "--expose", "192.0.2.1:80=127.0.0.1:80")
    assert done.returncode == 1
    assert "not an address of this tunnel" in done.stderr
