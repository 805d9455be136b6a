"""What `ww gateway` refuses before it begins."""

from __future__ import annotations

import io
import json
import stat
from importlib.resources import files
from pathlib import Path
from unittest import mock

import pytest

from tests.conftest import ROOT
from wirewright.cli.app import run
from wirewright.cli.gateway import _state_directory
from wirewright.client.places import state_directory

from .running import ww


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--coordinator https://vpn.example"),
        (("--coordinator", "http://vpn.example"), "not encrypted"),
        (("--coordinator", "nonsense"), "no address of a coordinator"),
        (("--coordinator", "https://vpn.example", "--engine", "fast"), "'fast' is none of auto, kernel"),
        (("--coordinator", "https://vpn.example", "--metrics", "nowhere"), "is no port"),
        (("--coordinator", "https://vpn.example", "--listen-port", "0"), "--listen-port"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = ww("gateway", "--state-directory", str(tmp_path), *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_credential_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    done = ww("gateway", "--state-directory", str(tmp_path), "--coordinator", "https://vpn.example", "--json")
    assert done.returncode == 1
    assert "gateway.credential" in json.loads(done.stdout)["error"]


def test_a_gateway_and_a_coordinator_of_one_user_share_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    told = ww_here("gateway", "--coordinator", "https://vpn.example")
    own = state_directory()
    assert str(own / "gateway/gateway.credential") in told
    # Above it is the coordinator's, which others may not enter.
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


def ww_here(*words: str) -> str:
    """Run a command that fails in this process, and give what it says."""
    with mock.patch("sys.argv", ["ww", *words]), mock.patch("sys.stderr", io.StringIO()) as errors:
        assert run() == 1
    return errors.getvalue()


def test_a_secret_in_the_address_is_not_repeated(tmp_path: Path) -> None:
    address = "https://ann:very-secret@vpn.example"
    done = ww("gateway", "--state-directory", str(tmp_path), "--coordinator", address)
    assert done.returncode == 2
    assert "very-secret" not in done.stderr


def test_the_page_and_the_guide_put_the_credential_where_the_command_looks_for_it() -> None:
    with mock.patch("os.geteuid", return_value=0):
        wanted = f"install -m 600 /dev/stdin {_state_directory()}/gateway.credential"
    page = files("wirewright.coordinator.web") / "templates" / "gateway_credential.html"
    assert wanted in page.read_text()
    assert wanted in (ROOT / "docs" / "gateway.md").read_text()
