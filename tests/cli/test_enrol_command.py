"""``ww enrol``: what it writes, and what it leaves when something goes wrong on the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.cli.coordinating import Desk, coordinating, without_gateway
from tests.coordinator.actors import key
from wirewright.client import Client, UnreachableError
from wirewright.config import Config


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o700)
    with coordinating(without_gateway(state)):
        desk = Desk(tmp_path_factory.mktemp("settling"), state)
        made = desk.json("gateways", "add", "office", "--endpoint", "vpn.example:51820", "--dns", "10.88.0.1")
        desk.json("pool", "add", "10.88.0.0/24")
        with desk.client() as client:
            client.change(f"/gateways/{made['id']}", {"public_key": key(), "mtu": 1400})
        yield state


@pytest.fixture
def admin(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("admin"), state)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Someone who has nothing of the coordinator's but an invitation."""
    return Desk(tmp_path, tmp_path / "nothing")


@pytest.fixture
def link(admin: Desk, request: pytest.FixtureRequest) -> str:
    made: str = admin.json("invite", "add", f"n{abs(hash(request.node.name)) % 10**9}")["invitation"]
    return made


def files(desk: Desk) -> list[str]:
    return sorted(path.name for path in desk.folder.iterdir() if path.name not in {"stdout", "stderr"})


def devices(admin: Desk) -> int:
    return len(admin.json("device", "list")["devices"])


def test_enrolling_writes_a_whole_configuration_for_its_owner_only(
    desk: Desk, admin: Desk, link: str
) -> None:
    file = desk.folder / "office.conf"
    done = desk.ww("enrol", str(file), "--name", "laptop", stdin=f"{link}\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "laptop is enrolled, with 10.88.0." in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = Config.from_file(file)
    assert config.interface.private_key is not None
    shown = admin.json("device", "show", "laptop")
    assert shown["public_key"] == str(config.interface.private_key.public_key)
    assert [str(address) for address in config.interface.addresses] == [f"{shown['addresses'][0]}/32"]
    assert (config.interface.mtu, [str(each) for each in config.interface.dns]) == (1400, ["10.88.0.1"])
    (peer,) = config.peers
    assert str(peer.endpoint) == "vpn.example:51820"
    # There is no address of IPv6, so nothing of it goes through the tunnel.
    assert [str(network) for network in peer.allowed_ips] == ["0.0.0.0/0"]
    assert files(desk) == ["office.conf"]


def test_who_enrols_on_lease_is_told_how_to_ask_for_an_address(desk: Desk, admin: Desk) -> None:
    file = desk.folder / "office.conf"
    link = admin.json("invite", "add", "leasing", "--on-lease")["invitation"]
    done = desk.ww("enrol", str(file), "--name", "roamer", stdin=f"{link}\n")
    assert done.returncode == 0
    assert "roamer is enrolled, with no address yet: ask for one with ww lease" in done.stderr
    config = Config.from_file(file)
    assert config.interface.addresses == ()
    assert [str(each) for each in config.peers[0].allowed_ips] == ["fe80::/128", "0.0.0.0/0", "::/0"]


def test_an_invitation_may_come_from_a_file_with_the_coordinator_named(desk: Desk, link: str) -> None:
    where, _, secret = link.partition("/#")
    file = desk.folder / "invitation"
    file.write_text(secret)
    file.chmod(0o600)
    conf = str(desk.folder / "office.conf")
    done = desk.ww("enrol", conf, "--invitation", str(file))
    assert done.returncode == 1
    assert "name it with --url" in done.stderr
    data = desk.ww("enrol", conf, "--invitation", str(file), "--url", where, "--json").json
    assert data["file"] == conf
    assert data["device"]["name"]


def test_a_used_invitation_is_refused_and_leaves_nothing(desk: Desk, link: str) -> None:
    assert desk.ww("enrol", str(desk.folder / "one.conf"), stdin=link).returncode == 0
    done = desk.ww("enrol", str(desk.folder / "two.conf"), stdin=link)
    assert (done.returncode, done.stdout) == (1, "")
    assert "used up" in done.stderr
    assert files(desk) == ["one.conf"]


def test_a_file_that_is_there_is_left_alone_before_the_invitation_is_used(
    desk: Desk, admin: Desk, link: str
) -> None:
    file = desk.folder / "office.conf"
    file.write_text("mine")
    before = devices(admin)
    done = desk.ww("enrol", str(file), stdin=link)
    assert done.returncode == 1
    assert "there is such a file already" in done.stderr
    assert (file.read_text(), devices(admin)) == ("mine", before)
    assert desk.ww("enrol", str(file), "--force", stdin=link).returncode == 0
    assert "PrivateKey" in file.read_text()


def test_a_lost_answer_is_cured_by_the_same_command(desk: Desk, admin: Desk, link: str) -> None:
    file = desk.folder / "office.conf"
    enrol = Client.enrol

    def losing(self: Client, body: dict[str, Any]) -> dict[str, Any]:
        enrol(self, body)
        raise UnreachableError("The answer was lost.")

    before = devices(admin)
    with mock.patch.object(Client, "enrol", losing):
        done = desk.ww("enrol", str(file), stdin=link)
    assert (done.returncode, done.stderr) == (1, "ww: The answer was lost.\n")
    (draft,) = files(desk)
    assert stat.S_IMODE((desk.folder / draft).stat().st_mode) == 0o600
    assert desk.ww("enrol", str(file), stdin=link).returncode == 0
    assert (files(desk), devices(admin)) == (["office.conf"], before + 1)


def test_a_file_that_cannot_be_written_uses_no_invitation(desk: Desk, admin: Desk, link: str) -> None:
    before = devices(admin)
    done = desk.ww("enrol", str(desk.folder / "nowhere" / "office.conf"), stdin=link)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert devices(admin) == before


def test_a_disk_that_is_full_in_the_end_is_cured_by_the_same_command(desk: Desk, link: str) -> None:
    file = desk.folder / "office.conf"
    write = Config.write

    def full(self: Config, path: str | os.PathLike[str]) -> None:
        if path == file:
            raise OSError(28, "No space left on device", str(path))
        write(self, path)

    with mock.patch.object(Config, "write", full):
        done = desk.ww("enrol", str(file), stdin=link)
    assert "No space left on device" in done.stderr
    assert not file.exists()
    assert desk.ww("enrol", str(file), stdin=link).returncode == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "The standard input holds something else than an invitation"),
        ("hello", "This is no invitation"),
        ("http://vpn.example/#wwi_" + "a" * 16 + "_" + "b" * 32, "in the clear: use https"),
        ("ftp://vpn.example/#wwi_" + "a" * 16 + "_" + "b" * 32, "is no URL of a coordinator"),
        ("http://127.0.0.1:9/#wwi_" + "a" * 16 + "_" + "b" * 32, "Nobody listens at http://127.0.0.1:9"),
        ("wwi_" + "a" * 16 + "_" + "b" * 32 + "\nand more", "The standard input holds something else"),
    ],
)
def test_what_is_no_invitation_is_told_without_repeating_it(desk: Desk, said: str, told: str) -> None:
    with mock.patch("time.sleep"):
        done = desk.ww("enrol", str(desk.folder / "office.conf"), stdin=said)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "wwi_a" not in done.stderr
    assert not (desk.folder / "office.conf").exists()


def test_an_answer_that_is_no_coordinators_is_told(desk: Desk, link: str) -> None:
    with mock.patch.object(Client, "get", return_value={"public_key": "AAAA"}):
        done = desk.ww("enrol", str(desk.folder / "office.conf"), stdin=link)
    assert done.returncode == 1
    assert "no key that anything can be proved to" in done.stderr
