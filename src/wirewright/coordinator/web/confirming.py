"""Asking again before something is lost, by a page that works without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirewright.coordinator.web.rendering import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Question:
    """What is about to be done, and what will be lost by it."""

    text: str
    """With its question mark."""
    losses: Sequence[str]
    kept: Sequence[str] = ()
    """What somebody might fear for, and will not be lost."""
    obstacle: str | None = None
    """Why it cannot be done now, and what to do first."""
    button: str = "Remove"
    """What the button says that does it."""
    fields: Sequence[tuple[str, str]] = ()
    """What is sent with it."""


def ask(request: Request, question: Question, *, action: str, back: str) -> Response:
    """Ask; ``action`` is where a yes is sent, and ``back`` where a no leads."""
    return render(request, "confirm.html", question=question, action=action, back=back)
