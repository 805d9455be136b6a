"""From a name and a password to a session, and what whoever guesses learns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import event

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import TooManyError, UnauthorizedError
from wirewright.coordinator.login import passwords, sessions, signing_in
from wirewright.coordinator.login.passwords import Passwords
from wirewright.coordinator.login.second_factor import PERIOD
from wirewright.coordinator.login.sessions import Browser
from wirewright.coordinator.login.signing_in import Entered, WrongError
from wirewright.coordinator.login.throttle import FOR_CODES, Throttle
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import SYSTEM

from .visiting import (
    BROWSER,
    PASSWORD,
    UNLIMITED,
    code_of,
    give_password,
    give_second_factor,
    user_of,
    visitor,
    whole,
)

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio


WRONG = [
    ("member", PASSWORD + "x"),
    ("member", ""),
    ("member", "x" * 100_000),
    ("nobody", PASSWORD),
    ("other", PASSWORD),
    ("other", "nobody's"),
    ("disabled", PASSWORD),
    ("", PASSWORD),
    ("x" * 10_000, PASSWORD),
    ("member\0", PASSWORD),
    ("\0", PASSWORD),
    ("Member", PASSWORD),
    ("' OR 1=1 --", PASSWORD),
    ("member", "\ud800\0"),
]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time; `test_passwords` has the real ones."""
    hasher = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_NOBODYS", hasher.hash("nobody's"))


@dataclass
class Door:
    """The ways in, of a member who has a password."""

    storage: Storage
    throttle: Throttle = field(default_factory=lambda: Throttle(UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED))
    hashing: Passwords = field(default_factory=Passwords)

    async def enter(
        self, name: str = "member", password: str = PASSWORD, browser: Browser = BROWSER
    ) -> Entered:
        return await signing_in.by_password(
            self.storage, self.throttle, self.hashing, name, password, browser
        )

    async def show(self, entered: Entered, code: str) -> Entered:
        text = entered.secret.expose()
        return await signing_in.by_code(self.storage, self.throttle, text, code, BROWSER)

    async def told(self, user_id: str) -> list[tuple[str, str, dict[str, object]]]:
        """The lines of the audit log of somebody's logins."""
        lines = (await self.storage.read(audit.entries, None, 200, subject=user_id)).items
        return [(line.actor, line.action, line.detail) for line in lines if line.action.startswith("login")]


@pytest.fixture
async def door(storage: Storage, actors: Actors) -> AsyncIterator[Door]:
    made = Door(storage)
    await give_password(storage, made.hashing, actors.users["member"])
    yield made
    made.hashing.close()


async def test_name_and_password_begin_a_session_which_is_audited(door: Door, actors: Actors) -> None:
    entered = await door.enter()
    assert entered.is_whole
    found = await visitor(door.storage, entered.secret.expose())
    assert (found.user.id, found.session.by) == (actors.users["member"], "password")
    assert (found.session.agent, found.session.origin) == (BROWSER.agent, BROWSER.origin)
    assert await door.told(actors.users["member"]) == [("user member", "login", {"by": "password"})]
    assert entered.secret.expose() not in repr(entered)


async def test_whatever_is_wrong_is_told_in_the_same_words(
    door: Door, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it seen by the time: each case computes one hash."""
    disabled = await door.storage.write(users.create, SYSTEM, "disabled", SYSTEM.role)
    await give_password(door.storage, door.hashing, disabled.id)
    await door.storage.write(users.update, SYSTEM, disabled.id, enabled=False)
    computed: list[bytes] = []
    real = passwords._HASHER.verify

    def verify(tried: bytes, kept: str) -> bool:
        computed.append(tried)
        return real(tried, kept)

    monkeypatch.setattr(passwords._HASHER, "verify", verify)
    for name, password in WRONG:
        computed.clear()
        with pytest.raises(WrongError) as told:
            await door.enter(name, password)
        assert str(told.value) == "Name and password do not fit each other."
        assert len(computed) == 1, (name, password)
        assert len(computed[0]) <= 4 * passwords.LONGEST + 4


async def test_the_database_is_asked_and_told_as_much_of_nobody_as_of_somebody(
    door: Door, actors: Actors
) -> None:
    """Or the time of a query or a commit would tell who exists."""
    done: list[str] = []
    asking = ContextVar("asking", default=False)
    asking.set(True)

    def note(*arguments: object) -> None:
        # What runs beside the requests asks as well, and began before.
        if asking.get():
            done.append(str(arguments[2]).split()[0])

    engine = door.storage.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    seen = []
    # The first time a row is made, later it is changed.
    for name in ("nobody", "nobody", "member", "other", "disabled"):
        done.clear()
        with pytest.raises(WrongError):
            await door.enter(name, "x")
        seen.append([word for word in done if word in {"SELECT", "INSERT", "UPDATE", "DELETE"}])
    event.remove(engine, "before_cursor_execute", note)
    assert seen == [["SELECT", "INSERT"]] * 5


async def test_a_wrong_password_of_somebody_is_audited_and_a_name_of_nobody_is_not(
    door: Door, actors: Actors
) -> None:
    for name in ("member", "a password that was typed as a name", "nobody"):
        with pytest.raises(WrongError):
            await door.enter(name, "secret " + PASSWORD)
    assert await door.told(actors.users["member"]) == [("user member", "login.refused", {"by": "password"})]
    lines = (await door.storage.read(audit.entries, None, 200)).items
    everything = str([vars(line) for line in lines])
    assert "typed as a name" not in everything
    assert PASSWORD not in everything


async def test_a_second_factor_is_wanted_and_makes_another_session(
    door: Door, actors: Actors, clock: Clock
) -> None:
    totp, recovery = await give_second_factor(door.storage, actors.users["member"])
    clock.now += PERIOD * SECOND
    half = await door.enter()
    assert not half.is_whole
    with pytest.raises(UnauthorizedError):
        await sessions.visit(door.storage, half.secret.expose(), "")
    with pytest.raises(UnauthorizedError):
        await door.storage.read(users.authenticate, half.secret.expose(), "")
    with pytest.raises(WrongError):
        await door.show(half, code_of(totp, door.storage, 9))
    entered = await door.show(half, code_of(totp, door.storage))
    assert entered.is_whole
    assert entered.secret.expose() != half.secret.expose()
    found = await visitor(door.storage, entered.secret.expose())
    assert found.session.by == "password and second factor"
    # The half one is over.
    with pytest.raises(UnauthorizedError):
        await door.show(half, recovery[0])
    again = await door.enter()
    assert (await door.show(again, recovery[0])).is_whole
    told = [(action, detail) for _, action, detail in await door.told(actors.users["member"])]
    assert ("login.refused", {"by": "second factor"}) in told
    assert told.count(("login", {"by": "password and second factor"})) == 2
    assert ("login", {"by": "password"}) not in told


async def test_a_whole_session_is_no_half_one_and_nobodys_is_none(door: Door, actors: Actors) -> None:
    await give_second_factor(door.storage, actors.users["other"])
    entered = await door.enter()
    for text in (entered.secret.expose(), "", "wws_x"):
        with pytest.raises(UnauthorizedError):
            await signing_in.by_code(door.storage, door.throttle, text, "000000", BROWSER)


async def test_one_half_session_becomes_one_whole_one(door: Door, actors: Actors) -> None:
    _, recovery = await give_second_factor(door.storage, actors.users["member"])
    half = await door.enter()
    shown = (door.show(half, code) for code in recovery[:5])
    done = await asyncio.gather(*shown, return_exceptions=True)
    assert sum(isinstance(each, Entered) for each in done) == 1
    assert all(isinstance(each, Entered | UnauthorizedError) for each in done)


async def test_a_password_that_is_changed_while_it_is_compared_is_worth_nothing(
    door: Door, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = door.hashing.verify

    async def verify(password: str, kept: str | None) -> bool:
        is_right = await real(password, kept)
        await give_password(door.storage, door.hashing, actors.users["member"], "another " + PASSWORD)
        return is_right

    monkeypatch.setattr(door.hashing, "verify", verify)
    with pytest.raises(WrongError):
        await door.enter()


async def test_guesses_are_held_back_but_not_who_was_there_before(door: Door, actors: Actors) -> None:
    door.throttle = Throttle()
    home = Browser("Firefox", "203.0.113.5")
    await door.enter(browser=home)
    computed = 0
    for number in range(60):
        try:
            await door.enter(password="guess", browser=Browser("curl", f"192.0.2.{number}"))
        except WrongError:
            computed += 1
        except TooManyError:
            continue
    assert computed < 30
    assert len(await door.told(actors.users["member"])) == computed + 1
    with pytest.raises(TooManyError):
        await door.enter(browser=Browser("Firefox", "198.51.100.1"))
    assert (await door.enter(browser=home)).is_whole


async def test_codes_are_guessed_seldom_however_many_half_sessions_there_are(
    door: Door, actors: Actors
) -> None:
    await give_second_factor(door.storage, actors.users["member"])
    door.throttle = Throttle()
    looked = 0
    for _ in range(FOR_CODES.burst + 4):
        half = await door.enter()
        try:
            await door.show(half, "123")
        except TooManyError:
            continue
        except WrongError:
            looked += 1
    assert looked == FOR_CODES.burst


async def test_who_is_logged_in_shows_their_password_again(door: Door, actors: Actors) -> None:
    member, other = [await user_of(door.storage, actors.users[name]) for name in ("member", "other")]
    await signing_in.prove(door.storage, door.throttle, door.hashing, member, PASSWORD, BROWSER)
    for user, password in ((member, "x"), (member, ""), (other, PASSWORD), (other, "")):
        with pytest.raises(WrongError):
            await signing_in.prove(door.storage, door.throttle, door.hashing, user, password, BROWSER)
    assert (await whole(door.storage, member.id)).user_id == member.id
