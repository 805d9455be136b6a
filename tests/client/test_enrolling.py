"""Invitations as text, and enrolment as a function: what is refused before the coordinator is asked."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from wirewright.client import Access, AccessError, Client
from wirewright.client.enrolling import Invitation, enrol

TEXT = f"wwi_{'a' * 16}_{'b' * 32}"


@pytest.mark.parametrize(
    "url", ["https://vpn.example", "https://vpn.example/office", "http://127.0.0.1:8080"]
)
def test_a_link_is_read_as_it_was_written(url: str) -> None:
    link = Invitation.parse(TEXT).link(url)
    assert Invitation.parse(f" {link}\n") == Invitation(url, "a" * 16, TEXT)


def test_an_invitation_does_not_show_itself() -> None:
    assert "bbb" not in repr(Invitation.parse(TEXT))
    with pytest.raises(AccessError) as caught:
        Invitation.parse(f"{TEXT}b")
    assert "bbb" not in str(caught.value)


def test_a_file_that_is_there_keeps_the_invitation_unused(tmp_path: Path) -> None:
    file = tmp_path / "office.conf"
    file.write_text("mine")
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(500)

    client = Client(Access("http://127.0.0.1:1"), transport=httpx2.MockTransport(answer))
    with pytest.raises(FileExistsError):
        enrol(client, Invitation.parse(TEXT), "laptop", file, allowed=["all"])
    assert (asked, file.read_text(), len(list(tmp_path.iterdir()))) == ([], "mine", 1)
