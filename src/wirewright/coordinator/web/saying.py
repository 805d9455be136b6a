"""What was done, told by the page to which a change leads.

# Theory

A form is answered by leading elsewhere (303), so that to load a page again repeats nothing. What was done is
told there, once: a cookie has a word for one of the sentences below, and a number perhaps, and the next page
that is shown takes it away. It stands in no address, where anybody's link could have the page say it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from wirewright.coordinator.web.cookies import SAID, cookie, set_cookie

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_ONE, _MANY = "one", "many"
_SENTENCES: Final[dict[str, str | dict[str, str]]] = {
    "device-enabled": "The device is let in again.",
    "device-disabled": "The device is cut off.",
    "device-renamed": "The device has another name.",
    "device-rules": "The rules are changed; they hold at once, for what is open as well.",
    "device-expiry": "The expiry is moved.",
    "device-taken": "Noted: the device has the current configuration.",
    "device-added": "The device is added.",
    "device-removed": "The device is removed.",
    "devices-enable": {_ONE: "One device is let in again.", _MANY: "{} devices are let in again."},
    "devices-disable": {_ONE: "One device is cut off.", _MANY: "{} devices are cut off."},
    "devices-expire": {
        _ONE: "The expiry of one device is moved.",
        _MANY: "The expiry of {} devices is moved.",
    },
    "devices-remove": {_ONE: "One device is removed.", _MANY: "{} devices are removed."},
    "devices-brought": {_ONE: "One device was brought along.", _MANY: "{} devices were brought along."},
    "gateway-settings": "The settings are changed; a device has them once it takes its configuration.",
    "gateway-removed": "The gateway is removed.",
    "pool-added": "The pool is added.",
    "pool-removed": "The pool is removed.",
    "invitation-removed": "The invitation is taken back.",
    "user-added": "The user is added.",
    "user-role": "The user has another role.",
    "user-enabled": "The user may log in again.",
    "user-disabled": "The user cannot log in any more.",
    "user-password": "The user has another password; their sessions are over.",
    "user-removed": "The user is removed.",
    "password": "Your password is changed; your other browsers are logged out.",
    "second-factor-removed": "The second factor is removed.",
    "passkey-added": "The passkey is added.",
    "passkey-removed": "The passkey is removed.",
    "identity-added": "From now on you can log in that way, too.",
    "identities-removed": "Who you are elsewhere is forgotten here.",
    "session-ended": "That browser is logged out.",
    "key-removed": "The key is removed: what uses it is refused from now on.",
}
"""By the word in the cookie."""


def done(request: Request, to: str, what: str, count: int | None = None) -> Response:
    """Lead to a page that tells what was done, and with how many."""
    answer = RedirectResponse(to, 303)
    say(request, answer, what, count)
    return answer


def say(request: Request, answer: Response, what: str, count: int | None = None) -> None:
    """Have the next page tell what was done."""
    assert what in _SENTENCES, what
    set_cookie(answer, request.app.state.site, SAID, what if count is None else f"{what}.{count}")


def said(request: Request) -> str | None:
    """Return what the page is to tell, if something was done."""
    text = cookie(request.app.state.site, SAID, request.cookies)
    if text is None:
        return None
    what, _, number = text.partition(".")
    sentence = _SENTENCES.get(what)
    if not isinstance(sentence, dict):
        return sentence
    count = int(number) if number.isdecimal() and len(number) < 6 else 0
    return sentence[_ONE if count == 1 else _MANY].format(count)


def forget(request: Request, answer: Response) -> None:
    """Have the browser forget what was told."""
    if cookie(request.app.state.site, SAID, request.cookies) is not None:
        set_cookie(answer, request.app.state.site, SAID, None)
