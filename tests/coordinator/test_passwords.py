"""Passwords: which are refused, what is kept of them, how many are computed at once, and who sets whose."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import argon2
import pytest

from wirewright.coordinator.errors import CoordinatorError, ForbiddenError, InvalidError, TooManyError
from wirewright.coordinator.login import passwords
from wirewright.coordinator.login.passwords import AT_ONCE, LONGEST, SHORTEST, WAITING, Passwords
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import SYSTEM, Role, Scope
from wirewright.coordinator.services.users import NewToken

from .visiting import PASSWORD, give_password, logged_in, visitor, whole

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

    from .actors import Actors

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hashing() -> AsyncIterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("x" * (SHORTEST - 1), "at least 12 characters"),
        ("violet tra!", "at least 12 characters"),
        ("v" * LONGEST + "x", "at most 1024 characters"),
        ("passwordpassword", "guessed"),
        ("Password12345!", "guessed"),
        ("aaaaaaaaaaaaaaa", "guessed"),
        ("ann-margret-2026", "guessed"),
        ("wireguardadmin1", "guessed"),
        ("", "at least 12 characters"),
    ],
)
def test_a_password_that_would_be_guessed_is_refused_in_words(password: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words) as told:
        passwords.check(password, "ann-margret")
    assert not password or password not in str(told.value)


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "x1y2z3a4b5c6", "грустный слон пьёт чай", "password " + PASSWORD, "v" * 1000 + "arnsu"],
)
def test_any_other_is_taken(password: str) -> None:
    passwords.check(password, "ann-margret")


async def test_only_the_right_password_fits_what_is_kept(hashing: Passwords) -> None:
    kept = await hashing.hash("über den wolken 1")
    assert "wolken" not in kept
    assert kept.startswith("$argon2id$")
    assert kept != await hashing.hash("über den wolken 1")
    assert await hashing.verify("über den wolken 1", kept)
    # Some keyboards make one letter of ü, others two.
    assert await hashing.verify("u\u0308ber den wolken 1", kept)
    for wrong in ("", "über den wolken 2", "Über den wolken 1", "\ud800", "über den wolken 1\0"):
        assert not await hashing.verify(wrong, kept)
    assert not await hashing.verify("x", "no hash")


async def test_for_nobody_the_same_is_computed_as_for_somebody(
    hashing: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await hashing.hash(PASSWORD)
    compared: list[argon2.Parameters] = []
    real = passwords._HASHER.verify

    def verify(password: bytes, against: str) -> bool:
        compared.append(argon2.extract_parameters(against))
        return real(password, against)

    monkeypatch.setattr(passwords._HASHER, "verify", verify)
    assert not await hashing.verify(PASSWORD, None)
    assert not await hashing.verify("another " + PASSWORD, kept)
    assert compared[0] == compared[1]
    assert len(compared) == 2


async def test_a_few_are_computed_at_once_and_a_bounded_number_waits(
    hashing: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, lock = threading.Event(), threading.Lock()
    running = most = 0

    def slow(_password: bytes) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go.wait(60)
        with lock:
            running -= 1
        return "hash"

    monkeypatch.setattr(passwords._HASHER, "hash", slow)
    tasks = [asyncio.create_task(hashing.hash(PASSWORD)) for _ in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyError) as told:
        await hashing.hash(PASSWORD)
    assert told.value.retry_after
    # Who goes away gives the place back.
    tasks[-1].cancel()
    await asyncio.sleep(0)
    tasks[-1] = asyncio.create_task(hashing.hash(PASSWORD))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*tasks) == ["hash"] * WAITING
    assert most == AT_ONCE


async def test_another_password_ends_all_sessions_but_the_one_that_changed_it(
    storage: Storage, actors: Actors, hashing: Passwords
) -> None:
    member = actors.users["member"]
    here, there = [await logged_in(storage, member) for _ in range(2)]
    theirs = await logged_in(storage, actors.users["other"])
    mine = await visitor(storage, here)
    hashed = await hashing.hash(PASSWORD)
    await storage.write(passwords.set_password, mine.caller, member, hashed, keep=mine.session.id)
    assert await storage.read(passwords.hash_of, member) == hashed
    for cookie in (here, theirs):
        await visitor(storage, cookie)
    with pytest.raises(CoordinatorError, match="over"):
        await visitor(storage, there)
    lines = (await storage.read(audit.entries, None, 200, action="user.password")).items
    assert [(line.actor, line.subject) for line in lines] == [("user member", member)]
    assert hashed not in str([line.detail for line in lines])


async def test_who_sets_anothers_password_may_all_that_the_other_may(
    storage: Storage, actors: Actors, hashing: Passwords
) -> None:
    hashed = await hashing.hash(PASSWORD)
    for name in ("member", "operator"):
        caller = await whole(storage, actors.users[name])
        for whose in ("other", "admin"):
            with pytest.raises(ForbiddenError):
                await storage.write(passwords.set_password, caller, actors.users[whose], hashed)
    admin = await storage.read(users.authenticate, actors.tokens["admin"], "")
    await storage.write(passwords.set_password, admin, actors.users["operator"], hashed)
    assert await storage.read(passwords.hash_of, actors.users["operator"]) == hashed


@pytest.mark.parametrize("whose", ["admin", "member"])
async def test_a_token_with_less_than_its_role_or_with_an_end_sets_no_password(
    storage: Storage, actors: Actors, hashing: Passwords, whose: str
) -> None:
    """A password is worth all that the role has, for ever."""
    admin = await storage.read(users.authenticate, actors.tokens["admin"], "")
    few = (Scope.USERS_WRITE, Scope.DEVICES_READ)
    _, narrow = await storage.write(users.create_token, admin, NewToken("narrow", few))
    ends = storage.clock() + 1000
    _, short = await storage.write(
        users.create_token, admin, NewToken("short", (Scope.ADMIN,), expires_at=ends)
    )
    for secret in (narrow, short):
        caller = await storage.read(users.authenticate, secret.expose(), "")
        with pytest.raises(ForbiddenError):
            await storage.write(passwords.set_password, caller, actors.users[whose], "hash")
    assert await storage.read(passwords.hash_of, actors.users[whose]) is None


async def test_a_removed_user_leaves_no_password(
    storage: Storage, actors: Actors, hashing: Passwords
) -> None:
    await give_password(storage, hashing, actors.users["member"])
    await storage.write(users.delete, SYSTEM, actors.users["member"])
    assert await storage.read(passwords.hash_of, actors.users["member"]) is None
    again = await storage.write(users.create, SYSTEM, "member", Role.MEMBER)
    assert await storage.read(passwords.hash_of, again.id) is None
