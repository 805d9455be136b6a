"""Sessions of browsers: how they begin, slide and end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from wirewright.coordinator.clock import DAY, HOUR, MINUTE
from wirewright.coordinator.errors import NotFoundError, UnauthorizedError
from wirewright.coordinator.login import sessions
from wirewright.coordinator.login.sessions import HALF, IDLE, LONGEST, MOST, Browser
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import ROLES, SYSTEM, Role
from wirewright.coordinator.storage.logins import Session

from .visiting import BROWSER, logged_in, user_of, visitor, whole

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage, Transaction

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio


async def count(tx: Transaction) -> int:
    return await tx.session.scalar(select(func.count()).select_from(Session)) or 0


async def is_in(storage: Storage, cookie: str) -> bool:
    try:
        await visitor(storage, cookie)
    except UnauthorizedError:
        return False
    return True


async def test_who_is_logged_in_may_what_their_role_may(storage: Storage, actors: Actors) -> None:
    for role in Role:
        found = await visitor(storage, await logged_in(storage, actors.users[role]))
        assert found.caller.actor == f"user {role}"
        assert (found.caller.role, found.caller.scopes) == (role, ROLES[role])
        assert (found.caller.user_id, found.caller.origin) == (actors.users[role], BROWSER.origin)


async def test_a_cookie_is_new_each_time_and_the_database_has_its_hash_only(
    storage: Storage, actors: Actors
) -> None:
    cookies = [await logged_in(storage, actors.users["member"]) for _ in range(2)]
    assert cookies[0] != cookies[1]
    found = await visitor(storage, cookies[0])
    for cookie in cookies:
        assert cookie not in repr(found)
        assert cookie.rpartition("_")[2] not in str(vars(found.session))


async def test_nobody_is_in_by_what_is_no_cookie(storage: Storage, actors: Actors) -> None:
    real = await logged_in(storage, actors.users["member"])
    assert await is_in(storage, real)
    for text in ("", "wws_nonsense", "wws_" + "a" * 16 + "_" + "b" * 32, "x" * 10_000):
        assert not await is_in(storage, text)
    assert not await is_in(storage, real[:-1] + ("b" if real[-1] != "b" else "c"))
    assert not await is_in(storage, real.replace("wws_", "wwt_"))
    with pytest.raises(UnauthorizedError):
        await storage.read(users.authenticate, real, "")


async def test_a_session_ends_when_nobody_came_for_long_and_slides_while_somebody_does(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    used, left = [await logged_in(storage, actors.users["member"]) for _ in range(2)]
    for _ in range(3):
        clock.now += IDLE - MINUTE
        await sessions.visit(storage, used, "")
    assert not await is_in(storage, left)
    clock.now += IDLE
    assert not await is_in(storage, used)


async def test_a_session_ends_after_thirty_days_however_much_it_is_used(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    cookie = await logged_in(storage, actors.users["member"])
    end = clock.now + LONGEST
    assert LONGEST == 30 * DAY
    while clock.now + 11 * HOUR < end:
        clock.now += 11 * HOUR
        await sessions.visit(storage, cookie, "")
    clock.now = end - 1
    assert await is_in(storage, cookie)
    clock.now = end
    assert not await is_in(storage, cookie)


async def test_being_there_is_written_once_a_minute_and_to_look_is_a_read(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    cookie = await logged_in(storage, actors.users["member"])
    began = clock.now
    clock.now += MINUTE - 1
    await sessions.visit(storage, cookie, "")
    assert (await visitor(storage, cookie)).session.seen_at == began
    clock.now += 1
    await sessions.visit(storage, cookie, "")
    assert (await visitor(storage, cookie)).session.seen_at == clock.now


async def test_a_half_session_may_nothing_and_ends_soon(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    cookie = await logged_in(storage, actors.users["admin"], is_whole=False)
    assert not await is_in(storage, cookie)
    with pytest.raises(UnauthorizedError):
        await sessions.visit(storage, cookie, "")
    assert await storage.read(sessions.listed, actors.users["admin"]) == []
    assert (await storage.read(sessions.half, cookie))[1].id == actors.users["admin"]
    clock.now += HALF
    with pytest.raises(UnauthorizedError):
        await storage.read(sessions.half, cookie)
    # Nor is a whole one good where a half one is wanted.
    with pytest.raises(UnauthorizedError):
        await storage.read(sessions.half, await logged_in(storage, actors.users["admin"]))


async def test_a_user_has_a_bounded_number_and_the_one_unused_for_longest_goes(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    cookies = []
    for _ in range(MOST):
        clock.now += 1
        cookies.append(await logged_in(storage, actors.users["member"]))
    clock.now += MINUTE
    await sessions.visit(storage, cookies[0], "")
    theirs = await logged_in(storage, actors.users["other"])
    # Who knows a password, but has no second factor, ends no session of who has both.
    for _ in range(8):
        await logged_in(storage, actors.users["member"], is_whole=False)
    assert all([await is_in(storage, cookie) for cookie in [*cookies, theirs]])
    cookies.append(await logged_in(storage, actors.users["member"]))
    assert [await is_in(storage, cookie) for cookie in cookies] == [True, False] + [True] * (MOST - 1)
    assert await storage.read(count) == MOST + 4 + 1


async def test_logins_at_once_do_not_exceed_the_bound(storage: Storage, actors: Actors) -> None:
    await asyncio.gather(*(logged_in(storage, actors.users["member"]) for _ in range(MOST + 8)))
    assert await storage.read(count) == MOST


async def test_what_changes_a_user_ends_their_sessions(storage: Storage, actors: Actors) -> None:
    member = actors.users["member"]
    theirs = await logged_in(storage, actors.users["other"])
    cookie = await logged_in(storage, member)
    await storage.write(users.update, SYSTEM, member, role=Role.MEMBER)
    assert await is_in(storage, cookie)
    await storage.write(users.update, SYSTEM, member, role=Role.OPERATOR)
    assert not await is_in(storage, cookie)
    cookie = await logged_in(storage, member)
    await storage.write(users.update, SYSTEM, member, enabled=False)
    await storage.write(users.update, SYSTEM, member, enabled=True)
    assert not await is_in(storage, cookie)
    cookie = await logged_in(storage, member)
    await storage.write(users.delete, SYSTEM, member)
    assert not await is_in(storage, cookie)
    assert await is_in(storage, theirs)


async def test_who_is_disabled_begins_none(storage: Storage, actors: Actors) -> None:
    before = await user_of(storage, actors.users["member"])
    await storage.write(users.update, SYSTEM, before.id, enabled=False)
    with pytest.raises(UnauthorizedError):
        await logged_in(storage, before.id)
    # Though it was not when somebody looked.
    with pytest.raises(UnauthorizedError):
        await storage.write(sessions.begin, before, BROWSER)


async def test_one_ends_ones_own_and_who_may_change_users_ends_anybodys(
    storage: Storage, actors: Actors
) -> None:
    cookie = await logged_in(storage, actors.users["member"])
    session = (await visitor(storage, cookie)).session.id
    for name in ("other", "operator"):
        with pytest.raises(NotFoundError):
            await storage.write(sessions.end, await whole(storage, actors.users[name]), session)
    assert await is_in(storage, cookie)
    await storage.write(sessions.end, await whole(storage, actors.users["admin"]), session)
    assert not await is_in(storage, cookie)
    cookie = await logged_in(storage, actors.users["member"])
    mine = await visitor(storage, cookie)
    await storage.write(sessions.end, mine.caller, mine.session.id)
    with pytest.raises(NotFoundError):
        await storage.write(sessions.end, mine.caller, mine.session.id)
    lines = await storage.read(audit.entries, None, 200, action="session.end")
    assert {line.actor for line in lines.items} == {"user admin", "user member"}


async def test_those_that_are_over_are_cleared_away(storage: Storage, actors: Actors, clock: Clock) -> None:
    for is_whole in (True, False):
        await logged_in(storage, actors.users["member"], is_whole=is_whole)
    clock.now += HALF
    await storage.write(sessions.clear)
    assert await storage.read(count) == 1
    clock.now += IDLE
    assert await storage.read(sessions.listed, actors.users["member"]) == []
    await storage.write(sessions.clear)
    assert await storage.read(count) == 0


async def test_what_a_browser_tells_of_itself_is_cut(storage: Storage, actors: Actors) -> None:
    told = Browser("Fire\x00fox\r\n\u202e" + "x" * 10_000, "y" * 500)
    cookie = await logged_in(storage, actors.users["member"], told)
    session = (await visitor(storage, cookie)).session
    assert session.agent.isprintable()
    assert len(session.agent) <= 200
    assert len(session.origin) <= 64
