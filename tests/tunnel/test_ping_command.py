"""``ww ping``, run in this process against a server in a thread."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.pairs import SERVER_V4, Ends
from wirewright.cli.app import run
from wirewright.config import Config
from wirewright.tunnel import BlockingTunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wirewright.tunnel.pinger import Reply

    Ww = Callable[..., int]


@pytest.fixture
def conf(core: str, tmp_path: Path) -> Iterator[Path]:
    """A configuration file whose peer answers."""
    ends = Ends()
    with BlockingTunnel(ends.server_config(), listen_address="127.0.0.1") as server:
        path = tmp_path / "office.conf"
        ends.client_config("127.0.0.1", server.listen_port).write(path)
        yield path


@pytest.fixture
def ww(monkeypatch: pytest.MonkeyPatch) -> Ww:
    """Run the command with arguments; returns its exit status."""

    def ww(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["ww", *map(str, arguments)])
        return run()

    return ww


def test_answers_are_shown_and_summed_up(conf: Path, ww: Ww, capsys: pytest.CaptureFixture[str]) -> None:
    assert ww("ping", conf, SERVER_V4, "-c", 3, "-i", 0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Ping {SERVER_V4} through {conf}"
    assert [line.split(",")[0] for line in lines[1:4]] == [f"{SERVER_V4}: seq {n}" for n in (1, 2, 3)]
    assert lines[4] == f"{SERVER_V4}: 3 sent, 3 received, 0% lost"
    assert lines[5].startswith("round trip: at least ")


def test_json_holds_every_reply(conf: Path, ww: Ww, capsys: pytest.CaptureFixture[str]) -> None:
    assert ww("ping", conf, SERVER_V4, "--json", "-i", 0) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["sent"], data["received"], data["loss"]) == (4, 4, 0.0)
    assert [reply["sequence"] for reply in data["replies"]] == [1, 2, 3, 4]
    assert 0 < data["round_trip_seconds"]["min"] <= data["round_trip_seconds"]["max"]


def test_a_host_that_does_not_answer_is_status_1(
    conf: Path, ww: Ww, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ww("ping", conf, "10.9.0.77", "-c", 1, "-W", 1) == 1
    out = capsys.readouterr().out
    assert "did not answer the ping within 1 s" in out
    assert "1 sent, 0 received, 100% lost" in out
    assert ww("ping", conf, "10.9.0.77", "-c", 1, "-W", 1, "--json") == 1
    assert json.loads(capsys.readouterr().out)["round_trip_seconds"] is None


def test_no_hook_is_run(conf: Path, ww: Ww, capsys: pytest.CaptureFixture[str]) -> None:
    text, mark = conf.read_text(), conf.parent / "mark"
    hooks = "".join(f"{hook} = touch {mark}\n" for hook in ("PreUp", "PostUp", "PreDown", "PostDown"))
    conf.write_text(text.replace("[Interface]\n", f"[Interface]\n{hooks}"))
    assert len(Config.from_file(conf).interface.hooks) == 4
    assert ww("ping", conf, SERVER_V4, "-c", 1) == 0
    with BlockingTunnel.from_file(conf, listen_address="127.0.0.1") as tunnel:
        tunnel.ping(SERVER_V4)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("host", "words"),
    [("192.0.2.1", "no peer's allowed IPs cover it"), ("localhost", "this machine")],
)
def test_what_cannot_be_pinged_at_all_is_an_error(
    conf: Path, ww: Ww, capsys: pytest.CaptureFixture[str], host: str, words: str
) -> None:
    assert ww("ping", conf, host, "-c", 1) == 1
    error = capsys.readouterr().err
    assert error.startswith("ww: ")
    assert words in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, ww: Ww, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ww("ping", tmp_path / "none.conf", SERVER_V4) == 1
    assert "none.conf: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["-c", "0"], ["-c", "x"], ["-i", "-1"], ["--no-such-option"]])
def test_wrong_arguments_are_status_2(conf: Path, ww: Ww, wrong: list[str]) -> None:
    assert ww("ping", conf, SERVER_V4, *wrong) == 2


def test_an_interrupt_ends_the_series_with_its_summary(
    conf: Path, ww: Ww, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt_after_the_third(address: object, reply: Reply) -> None:
        if reply.sequence == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("wirewright.cli.ping._show", interrupt_after_the_third)
    assert ww("ping", conf, SERVER_V4, "-i", 0.01) == 0
    assert "3 sent, 3 received, 0% lost" in capsys.readouterr().out
