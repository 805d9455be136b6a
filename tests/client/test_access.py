"""Where the coordinator is found, and which token goes where."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirewright.client import Access, AccessError
from wirewright.client.access import checked_url
from wirewright.client.places import Record
from wirewright.client.secret_files import read_secret, write_secret

TOKEN = f"wwt_{'a' * 16}_{'b' * 32}"
OTHER = f"wwt_{'c' * 16}_{'d' * 32}"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    write_secret(state / "admin.token", TOKEN)
    Record("http://127.0.0.1:1234", "https://vpn.example").write(state)
    return state


def test_a_coordinator_of_this_machine_is_found_by_what_it_left(state: Path) -> None:
    found = Access.find(None, None, None, state, {})
    assert found == Access("http://127.0.0.1:1234", TOKEN, None, "https://vpn.example")
    assert Access.find(None, None, None, None, {"WIREWRIGHT_STATE": str(state)}) == found


def test_without_a_record_it_is_looked_for_where_it_listens_by_itself(state: Path) -> None:
    Record.remove(state)
    assert Access.find(None, None, None, state, {}).url == "http://127.0.0.1:8080"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 1}', "null", "\x00\xff"])
def test_a_record_that_is_none_is_passed_over(state: Path, text: str) -> None:
    (state / "coordinator.json").write_text(text)
    assert Access.find(None, None, None, state, {}).url == "http://127.0.0.1:8080"


def test_arguments_come_before_the_environment(state: Path, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write_secret(mine, OTHER)
    write_secret(theirs, TOKEN)
    environment = {"WIREWRIGHT_URL": "https://a.example", "WIREWRIGHT_TOKEN_FILE": str(theirs)}
    found = Access.find("https://b.example/", mine, None, state, environment)
    assert (found.url, found.token) == ("https://b.example", OTHER)
    found = Access.find(None, None, None, state, environment)
    assert (found.url, found.token, found.public_url) == ("https://a.example", TOKEN, None)


def test_the_token_of_this_machine_goes_nowhere_else(state: Path) -> None:
    for url in ("https://vpn.example", "http://127.0.0.1:1235", "http://localhost:1234"):
        with pytest.raises(AccessError, match="--token-file"):
            Access.find(url, None, None, state, {})
    assert Access.find("http://127.0.0.1:1234/", None, None, state, {}).token == TOKEN


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://[::1]:80", "http://localhost", "https://a.b/c"]
)
def test_urls_of_this_machine_and_by_tls(url: str) -> None:
    assert checked_url(f"{url}/") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://[2001:db8::1]",
        "ftp://127.0.0.1",
        "vpn.example",
        "https://",
        "https://user:password@vpn.example",
        "https://vpn.example/#x",
        "https://vpn.example/?x",
        "https://vpn.example:x",
        "https://[::1",
        "",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(AccessError) as caught:
        checked_url(url)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "hello", f"{TOKEN}\n{TOKEN}\n", "\xff", "x" * 5000])
def test_a_file_without_a_token_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(AccessError, match="holds"):
        Access.find("http://127.0.0.1:1", file, None, tmp_path, {})


def test_a_secret_is_written_once_and_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_secret(file, "one")
    with pytest.raises(FileExistsError):
        write_secret(file, "two")
    assert read_secret(file, "a word") == "one"
    write_secret(file, "three", replace=True)
    assert (read_secret(file, "a word"), file.stat().st_mode & 0o777) == ("three", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
