"""Users who log in by a browser, in these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyotp

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.login import passwords, second_factor, sessions
from wirewright.coordinator.login.sessions import Browser, Visitor
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import ROLES, Caller, Role
from wirewright.dynamic.churn import Rate

if TYPE_CHECKING:
    from wirewright.coordinator.login.passwords import Passwords
    from wirewright.coordinator.storage import Storage, Transaction
    from wirewright.coordinator.storage.tables import User

BROWSER = Browser("Firefox", "192.0.2.7")
PASSWORD = "violet tractor seven lakes"
UNLIMITED = Rate(10**9, 1e-9)


async def user_of(storage: Storage, user_id: str) -> User:
    return await storage.read(users.get, user_id)


async def whole(storage: Storage, user_id: str) -> Caller:
    """The one who a session of a user is."""
    user = await user_of(storage, user_id)
    role = Role(user.role)
    return Caller(f"user {user.name}", BROWSER.origin, role, ROLES[role], user.id)


async def logged_in(
    storage: Storage, user_id: str, browser: Browser = BROWSER, *, is_whole: bool = True
) -> str:
    """Begin a session; return its cookie."""

    async def work(tx: Transaction) -> str:
        _, secret = await sessions.begin(tx, await users.get(tx, user_id), browser, whole=is_whole)
        return secret.expose()

    return await storage.write(work)


async def visitor(storage: Storage, cookie: str) -> Visitor:
    return await storage.read(sessions.authenticate, cookie, BROWSER.origin)


async def give_password(storage: Storage, hashing: Passwords, user_id: str, password: str = PASSWORD) -> None:
    hashed = await hashing.hash(password)
    await storage.write(passwords.set_password, await whole(storage, user_id), user_id, hashed)


async def give_second_factor(storage: Storage, user_id: str) -> tuple[pyotp.TOTP, list[str]]:
    """Take a second factor into use; return what makes its codes, and the recovery codes."""
    uri = await storage.write(second_factor.begin, await user_of(storage, user_id))
    totp = pyotp.parse_uri(uri)
    assert isinstance(totp, pyotp.TOTP)
    codes = await storage.write(
        second_factor.confirm, await whole(storage, user_id), user_id, code_of(totp, storage)
    )
    return totp, codes


def code_of(totp: pyotp.TOTP, storage: Storage, steps: int = 0) -> str:
    """The code of now, or of so many periods later."""
    return totp.at(storage.clock() // SECOND + steps * second_factor.PERIOD)
