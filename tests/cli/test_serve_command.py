"""``ww serve`` in a process of its own, and ``ww serve backup | restore | token``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coordinating import Desk, coordinating, without_gateway
from tests.cli.running import COMMAND
from tests.coordinator.actors import key
from wirewright import Tunnel
from wirewright.host import descriptors

ALONE = ("--without-gateway", "--listen", "0")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, tmp_path / "state")


@contextlib.contextmanager
def serving(
    desk: Desk, *arguments: str, told: str = "", by: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Run the command, perhaps by another, and give what it says in JSON, and its process.

    It must end well when it is asked to, having told what it should beside that.
    """
    process = subprocess.Popen(
        [*by, *COMMAND, "serve", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"WIREWRIGHT_STATE": str(desk.state)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate()[1])
        yield json.loads(line) | {"process": process.pid}
    finally:
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "", told)


def test_the_first_start_makes_an_administrator_and_later_ones_none(desk: Desk) -> None:
    with serving(desk, *ALONE) as said:
        token = Path(said["token_file"])
        assert token == desk.state / "admin.token"
        assert desk.json("user", "list")["users"][0]["name"] == "admin"
        first = token.read_text()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in desk.state.iterdir()}
    assert stat.S_IMODE(desk.state.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    # What led commands here is gone with the process.
    assert "coordinator.json" not in modes
    with serving(desk, *ALONE):
        assert token.read_text() == first
        assert desk.ww("device", "list").returncode == 0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_gateway_in_the_process_takes_devices_that_enrol(desk: Desk) -> None:
    port = str(free_port())
    arguments = ("--engine", "rootless", "--listen-port", port, "--endpoint", f"127.0.0.1:{port}")
    file = desk.folder / "office.conf"
    with serving(desk, "--listen", "0", *arguments, "--pool", "10.99.0.0/24") as said:
        assert said["gateway"] == f"a rootless tunnel on UDP port {port}"
        link = desk.json("invite", "add", "ann")["invitation"]
        assert link.startswith(said["url"])
        assert desk.ww("enrol", str(file), "--name", "laptop", stdin=link).returncode == 0
        assert desk.json("device", "show", "laptop")["addresses"] == ["10.99.0.2"]

        async def meet() -> None:
            async with Tunnel.from_file(file) as tunnel:
                await tunnel.wait_for_handshake(timeout=30)
                await tunnel.ping("10.99.0.1", timeout=30)

        asyncio.run(meet())
        desk.json("device", "disable", "laptop")
        asyncio.run(is_cut_off(file))
    # The endpoint that was said stays, without being said again.
    with serving(desk, "--listen", "0", "--engine", "rootless", "--listen-port", port) as said:
        assert said["endpoint"] == f"127.0.0.1:{port}"


async def is_cut_off(file: Path) -> None:
    """Wait until the gateway answers this device no more, which it may still do for a moment."""
    async with asyncio.timeout(30):
        while True:
            async with Tunnel.from_file(file) as tunnel:
                try:
                    await tunnel.wait_for_handshake(timeout=2)
                except OSError:
                    return


def test_a_udp_port_in_use_is_told(desk: Desk) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = str(taken.getsockname()[1])
        done = desk.ww("serve", "--listen", "0", "--engine", "rootless", "--listen-port", port)
    assert done.returncode == 1
    words = (
        f"ww: UDP port {port} is in use by another program: end that, or choose another by --listen-port\n"
    )
    assert done.stderr == words


def test_pools_after_the_first_start_are_passed_over_and_that_is_told(desk: Desk) -> None:
    port = str(free_port())
    arguments = ("--engine", "rootless", "--listen-port", port, "--endpoint", f"127.0.0.1:{port}")
    with serving(desk, "--listen", "0", *arguments, "--pool", "10.99.0.0/24"):
        pass
    words = (
        "ww: --pool 10.98.0.0/24 is for the first start, and was passed over: add a pool with ww pool add, "
        "or on the page below Gateways\n"
    )
    with serving(desk, "--listen", "0", *arguments, "--pool", "10.98.0.0/24", told=words):
        assert [each["network"] for each in desk.json("pool", "list")["pools"]] == ["10.99.0.0/24"]


def test_a_gateway_may_have_as_many_files_as_the_system_lets_it(desk: Desk) -> None:
    port = str(free_port())
    arguments = ("--engine", "rootless", "--listen-port", port, "--endpoint", f"127.0.0.1:{port}")
    with serving(desk, "--listen", "0", *arguments, by=("prlimit", "--nofile=256:")) as said:
        soft, hard = resource.prlimit(said["process"], resource.RLIMIT_NOFILE)
    assert soft == min(hard, descriptors.OF_A_GATEWAY)


def test_people_are_told_where_it_is(desk: Desk) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", *ALONE, "--state-directory", str(desk.state)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    first, second, third = (process.stderr.readline() for _ in range(3))
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[1]
    assert first == f"made an administrator; the token is in {desk.state}/admin.token\n"
    assert second.startswith("API at http://127.0.0.1:")
    assert third.startswith("make yourself the administrator of the page, within a day: http://127.0.0.1:")
    assert "/setup#wwf_" in third
    assert (process.returncode, rest) == (0, "")


def test_a_first_start_that_failed_is_followed_by_a_first_one(desk: Desk) -> None:
    arguments = ("--listen", "0", "--engine", "rootless", "--listen-port")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        busy = str(taken.getsockname()[1])
        done = desk.ww("serve", *arguments, busy, "--pool", "10.98.0.0/24")
    assert done.returncode == 1
    assert "in use" in done.stderr
    port = str(free_port())
    with said_to_people(desk, *arguments, port, "--pool", "10.99.0.0/24") as lines:
        assert next(lines) == f"made an administrator; the token is in {desk.state}/admin.token\n"
        assert next(lines).startswith("API at ")
        # Its port too is the one of this start.
        assert f":{port}: a rootless tunnel" in next(lines)
        assert [each["network"] for each in desk.json("pool", "list")["pools"]] == ["10.99.0.0/24"]
    with said_to_people(desk, *arguments, port, "--pool", "10.97.0.0/24") as lines:
        assert next(lines).startswith("ww: --pool 10.97.0.0/24 is for the first start")
        assert next(lines).startswith("API at ")
        next(lines)
        assert [each["network"] for each in desk.json("pool", "list")["pools"]] == ["10.99.0.0/24"]


def test_the_administrator_is_told_of_though_the_first_port_was_taken(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert desk.ww("serve", "--without-gateway", "--listen", port).returncode == 1
    with said_to_people(desk, *ALONE) as lines:
        assert next(lines).startswith("made an administrator; ")


@contextlib.contextmanager
def said_to_people(desk: Desk, *arguments: str, end: int = signal.SIGTERM) -> Iterator[Iterator[str]]:
    """Run the command, and give the lines that it says; it must end well."""
    process = subprocess.Popen(
        [*COMMAND, "serve", *arguments, "--state-directory", str(desk.state)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        yield iter(process.stderr.readline, "")
    finally:
        process.send_signal(end)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_terminal_that_goes_ends_it_in_order(desk: Desk) -> None:
    with said_to_people(desk, *ALONE, end=signal.SIGHUP) as lines:
        next(lines)
        assert next(lines).startswith("API at ")
        assert (desk.state / "coordinator.json").exists()
    assert not (desk.state / "coordinator.json").exists()


def test_two_processes_do_not_share_a_state_directory(desk: Desk) -> None:
    with coordinating(without_gateway(desk.state)):
        done = desk.ww("serve", *ALONE)
    assert done.returncode == 1
    assert "a coordinator runs here" in done.stderr


def test_a_state_directory_that_is_open_to_others_is_refused(desk: Desk) -> None:
    desk.state.mkdir(mode=0o755)
    done = desk.ww("serve", *ALONE)
    assert done.returncode == 1
    assert done.stderr.endswith("must be yours and closed to others: chmod 700 it\n")
    assert list(desk.state.iterdir()) == []


def test_a_port_in_use_is_told(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = desk.ww("serve", "--without-gateway", "--listen", str(port), "--json")
    assert f"127.0.0.1:{port}: nothing can listen there: Address already in use" in done.json_error


def test_what_is_no_database_is_told(desk: Desk) -> None:
    desk.state.mkdir(mode=0o700)
    (desk.state / "coordinator.sqlite").write_text("hello" * 1000)
    done = desk.ww("serve", *ALONE)
    assert done.returncode == 1
    assert "this is no database of SQLite. Restore it from a backup" in done.stderr
    assert "Traceback" not in done.stderr


def test_plain_http_is_not_offered_to_others(desk: Desk) -> None:
    done = desk.ww("serve", "--without-gateway", "--listen", "0.0.0.0:0")
    assert done.returncode == 1
    assert "Give a TLS certificate and key" in done.stderr
    # What is refused for its options has not begun.
    assert not desk.state.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "nowhere"], "--listen: 'nowhere' is no [ADDRESS:]PORT"),
        (["--listen", "127.0.0.1:70000"], "is no [ADDRESS:]PORT"),
        (["--database", "mysql://a/b"], "--database: mysql is no database of ours"),
        (["--database", "sqlite:////tmp/x.sqlite"], "name another directory with --state-directory"),
        (["--database", "postgresql://a:secret@b/c"], "every user of this machine can read"),
        (["--listen-port", "0"], "--listen-port"),
        (["--engine", "steam"], "there is no engine 'steam'"),
        (["--engine", "kernel", "--reach", "10.0.0.1/8"], "--reach: "),
        (["--engine", "rootless", "--reach", "10.0.0.1/8"], "--reach: "),
        (["--engine", "rootless", "--no-masquerade"], "--no-masquerade is for a system interface"),
        (["--mtu", "1279"], "--mtu"),
        (["--lease-time", "99999999"], "--lease-time"),
        (["--register-keys"], "--register-keys goes with --lease-time"),
        (["--state-directory", "x", "backup", "y"], "--state-directory stands before backup: put it behind"),
        (["restore", "x"], "name its file with --passphrase-file"),
    ],
)
def test_a_mistake_in_the_arguments_is_told_with_status_2(
    desk: Desk, arguments: list[str], said: str
) -> None:
    done = desk.ww("serve", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_a_certificate_that_is_none_is_told_before_anything_is_opened(desk: Desk) -> None:
    file = desk.folder / "none.pem"
    file.write_text("hello")
    done = desk.ww("serve", *ALONE, "--tls-certificate", str(file), "--tls-key", str(file))
    assert done.returncode == 1
    assert "are no certificate in the form PEM and its key" in done.stderr


def test_a_backup_made_while_it_runs_is_restored_elsewhere(desk: Desk) -> None:
    passphrase = desk.folder / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    secret = ("--passphrase-file", str(passphrase))
    file = str(desk.folder / "monday.backup")
    with coordinating(without_gateway(desk.state)):
        desk.json("gateways", "add", "office", "--endpoint", "vpn.example:51820")
        desk.json("pool", "add", "10.88.0.0/24")
        made = desk.json("device", "add", "laptop", stdin=key())
        data = desk.json("serve", "backup", file, *secret)
        assert data["rows"] > 5
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
        assert desk.ww("serve", "backup", file, *secret).returncode == 1
        desk.json("device", "remove", "laptop")
        busy = desk.ww("serve", "restore", file, "--force", *secret)
        assert (busy.returncode, busy.stdout) == (1, "")
        assert "a coordinator runs here" in busy.stderr
    full = desk.ww("serve", "restore", file, *secret)
    assert full.returncode == 1
    assert "--force replaces" in full.stderr
    other = Desk(desk.folder, desk.folder / "other")
    assert other.json("serve", "restore", file, *secret)["rows"] == data["rows"]
    with coordinating(without_gateway(other.state)):
        # The token of the backup is the database's.
        shown = other.json("device", "show", "laptop")
        assert shown == made
    assert desk.ww("serve", "restore", file, "--force", *secret).returncode == 0
    with coordinating(without_gateway(desk.state)):
        assert desk.json("device", "show", "laptop") == made


def test_a_wrong_passphrase_changes_nothing(desk: Desk) -> None:
    right, wrong = desk.folder / "right", desk.folder / "wrong"
    for path, text in ((right, "correct horse"), (wrong, "battery staple")):
        path.write_text(text)
        path.chmod(0o600)
    file = str(desk.folder / "backup")
    with coordinating(without_gateway(desk.state)):
        assert desk.ww("serve", "backup", file, "--passphrase-file", str(right)).returncode == 0
    before = {path.name: path.read_bytes() for path in desk.state.iterdir()}
    done = desk.ww("serve", "restore", file, "--force", "--passphrase-file", str(wrong), "--json")
    assert done.json_error == "The passphrase is wrong, or the backup is damaged."
    assert {path.name: path.read_bytes() for path in desk.state.iterdir()} == before


def test_there_is_nothing_to_back_up_where_nothing_ran(desk: Desk) -> None:
    done = desk.ww("serve", "backup", str(desk.folder / "x"), "--passphrase-file", "/dev/null")
    assert done.returncode == 1
    assert "no coordinator has run there" in done.stderr


def test_a_lost_token_is_made_anew(desk: Desk) -> None:
    with coordinating(without_gateway(desk.state)):
        token = desk.state / "admin.token"
        before = token.read_text()
        token.unlink()
        assert desk.ww("device", "list").returncode == 1
        assert desk.json("serve", "token")["token_file"] == str(token)
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert token.read_text() != before
        assert desk.ww("device", "list").returncode == 0


def test_the_first_start_says_where_to_begin_until_somebody_can_log_in(desk: Desk) -> None:
    with serving(desk, *ALONE) as said:
        first = said["setup"]
        assert first.startswith(f"{said['url']}/setup#wwf_")
        # Lost, it is shown again, and the one of before is worth nothing.
        again = desk.json("serve", "login-link")
        assert again["user"] is None
        assert again["link"].startswith(f"{said['url']}/setup#wwf_")
        assert again["link"] != first
        named = desk.json("serve", "login-link", "admin")
        assert named["link"].startswith(f"{said['url']}/login/link#wwl_")
        assert desk.ww("serve", "login-link", "admin").stdout.strip().startswith(f"{said['url']}/login/link#")
        nobody = desk.ww("serve", "login-link", "nobody")
        assert (nobody.returncode, nobody.stderr) == (1, "ww: There is no user nobody.\n")
        lines = desk.json("audit")["entries"]
        assert "login.link" in {line["action"] for line in lines}
        secrets = [each["link"].partition("#")[2] for each in (again, named)]
        assert not [secret for secret in secrets if secret in str(lines)]
        assert not [secret for secret in secrets if secret in (desk.state / "coordinator.json").read_text()]
    away = desk.ww("serve", "login-link", "admin")
    assert away.returncode == 1
    assert "no coordinator runs in" in away.stderr
    named = desk.json("serve", "login-link", "admin", "--public-url", "https://vpn.example/")
    assert named["link"].startswith("https://vpn.example/login/link#wwl_")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--oidc-client-id", "x"), "--oidc-client-id goes with --oidc-issuer"),
        (("--oidc-issuer", "https://id.example"), "--oidc-issuer goes with --oidc-client-id"),
        (("--oidc-issuer", "http://id.example", "--oidc-client-id", "x"), "begins with https://"),
        (
            ("--oidc-issuer", "https://id.example", "--oidc-client-id", "x", "--oidc-allow", "anna"),
            "no CLAIM=VALUE",
        ),
        (
            (
                "--oidc-issuer",
                "https://id.example",
                "--oidc-client-id",
                "x",
                "--oidc-allow",
                "email=a@b.example",
            ),
            "by its domain",
        ),
    ],
)
def test_a_provider_that_cannot_be_is_told(desk: Desk, arguments: tuple[str, ...], words: str) -> None:
    done = desk.ww("serve", *ALONE, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_secret_of_a_client_is_read_from_a_file_and_told_to_nobody(desk: Desk) -> None:
    file = desk.folder / "secret"
    file.write_text("the secret\n")
    file.chmod(0o600)
    options = (
        "--oidc-issuer",
        "https://id.example",
        "--oidc-client-id",
        "x",
        "--oidc-secret-file",
        str(file),
    )
    with serving(desk, *ALONE, *options) as said:
        assert "the secret" not in str(said)
