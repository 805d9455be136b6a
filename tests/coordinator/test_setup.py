"""The first start of the page, and the links by which the owner of the machine gets in again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.clock import DAY, MINUTE
from wirewright.coordinator.errors import ConflictError, CoordinatorError, ForbiddenError, NotFoundError
from wirewright.coordinator.login import links, passwords, setup
from wirewright.coordinator.services import audit, bootstrap, users
from wirewright.coordinator.services.access import SYSTEM, Role

from .visiting import BROWSER, give_second_factor, visitor, whole

if TYPE_CHECKING:
    from wirewright.coordinator.services.credentials import Secret
    from wirewright.coordinator.storage import Storage
    from wirewright.coordinator.storage.tables import User

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio


async def shown(storage: Storage) -> str:
    secret = await storage.write(setup.renew)
    assert secret is not None
    return secret.expose()


async def complete(storage: Storage, token: str, name: str = "admin") -> User:
    return await storage.write(setup.complete, token, name, f"hash of {name}", "192.0.2.7")


async def test_who_has_the_token_becomes_the_administrator_of_the_first_start(storage: Storage) -> None:
    await storage.write(bootstrap.first_admin)
    assert await storage.read(setup.is_needed)
    user = await complete(storage, await shown(storage))
    assert (user.name, user.role) == ("admin", "admin")
    assert await storage.read(passwords.hash_of, user.id) == "hash of admin"
    assert not await storage.read(setup.is_needed)
    assert len((await storage.read(users.listed, None, 9)).items) == 1
    line = (await storage.read(audit.entries, None, 200, action="setup.complete")).items[0]
    assert (line.actor, line.origin, line.subject) == ("user admin", "192.0.2.7", user.id)


async def test_another_name_makes_another_administrator(storage: Storage) -> None:
    await storage.write(bootstrap.first_admin)
    user = await complete(storage, await shown(storage), "anna")
    assert (user.name, user.role, user.enabled) == ("anna", "admin", True)
    assert {each.name for each in (await storage.read(users.listed, None, 9)).items} == {"admin", "anna"}


async def test_nobody_becomes_more_than_they_are_by_it(storage: Storage, actors: Actors) -> None:
    gone = await storage.write(users.create, SYSTEM, "disabled", Role.ADMIN)
    await storage.write(users.update, SYSTEM, gone.id, enabled=False)
    token = await shown(storage)
    for name in ("member", "operator", "disabled"):
        with pytest.raises(ConflictError):
            await complete(storage, token, name)
    # The token is not used up by that.
    assert (await complete(storage, token, "admin")).name == "admin"


async def test_the_token_is_good_once_for_a_day_and_the_newest_only(storage: Storage, clock: Clock) -> None:
    old = await shown(storage)
    late = await shown(storage)
    with pytest.raises(ForbiddenError):
        await complete(storage, old)
    clock.now += DAY
    with pytest.raises(ForbiddenError):
        await complete(storage, late)
    token = await shown(storage)
    clock.now += DAY - 1
    await complete(storage, token)
    assert await storage.write(setup.renew) is None
    for text in (token, late):
        with pytest.raises(CoordinatorError):
            await complete(storage, text, "eve")
    assert (await storage.read(users.listed, None, 9, "eve")).items == []


async def test_what_is_not_the_token_makes_nobody(storage: Storage) -> None:
    texts = ("", "wwf_x", "wwf_" + "a" * 16 + "_" + "b" * 32, "x" * 9999)
    for text in texts:
        with pytest.raises(CoordinatorError):
            await complete(storage, text)
    token = await shown(storage)
    for wrong in (*texts, token.replace("wwf_", "wwl_"), token[:-1] + ("a" if token[-1] != "a" else "b")):
        with pytest.raises(ForbiddenError):
            await complete(storage, wrong)
    assert await storage.read(setup.is_needed)


async def test_of_two_setups_at_once_one_is_too_late(storage: Storage) -> None:
    token = await shown(storage)
    tried = [complete(storage, token, f"user{number}") for number in range(6)]
    done = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in done) == 1
    assert {type(each) for each in done if isinstance(each, BaseException)} == {ConflictError}
    assert len((await storage.read(users.listed, None, 9)).items) == 1


# Links


async def made(storage: Storage, name: str | None = None) -> tuple[User, Secret]:
    return await storage.write(links.make, name)


async def test_a_link_logs_its_user_in_once_past_a_second_factor(storage: Storage, actors: Actors) -> None:
    await give_second_factor(storage, actors.users["member"])
    user, secret = await made(storage, "member")
    assert user.id == actors.users["member"]
    entered = await storage.write(links.redeem, secret.expose(), BROWSER)
    assert entered.is_whole
    found = await visitor(storage, entered.secret.expose())
    assert (found.user.id, found.session.by) == (user.id, "link")
    with pytest.raises(ForbiddenError):
        await storage.write(links.redeem, secret.expose(), BROWSER)
    lines = (await storage.read(audit.entries, None, 200, subject=user.id)).items
    told = [(line.actor, line.action) for line in lines if line.action.startswith("login")]
    assert sorted(told) == [("coordinator", "login.link"), ("user member", "login")]
    assert secret.expose() not in repr(secret)


async def test_without_a_name_it_is_the_oldest_enabled_admins(storage: Storage, actors: Actors) -> None:
    assert (await made(storage))[0].name == "admin"
    await storage.write(users.create, SYSTEM, "second", Role.ADMIN)
    await storage.write(users.update, SYSTEM, actors.users["admin"], enabled=False)
    assert (await made(storage))[0].name == "second"
    with pytest.raises(ConflictError, match="disabled"):
        await made(storage, "admin")
    with pytest.raises(NotFoundError):
        await made(storage, "nobody")


async def test_a_link_ends_by_time_by_another_one_and_with_its_user(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    async def is_good(secret: Secret) -> bool:
        try:
            await storage.write(links.redeem, secret.expose(), BROWSER)
        except ForbiddenError:
            return False
        return True

    _, late = await made(storage, "member")
    clock.now += 15 * MINUTE
    assert not await is_good(late)
    _, old = await made(storage, "member")
    _, theirs = await made(storage, "other")
    _, new = await made(storage, "member")
    assert not await is_good(old)
    assert await is_good(new)
    assert await is_good(theirs)
    _, ended = await made(storage, "member")
    await storage.write(users.update, SYSTEM, actors.users["member"], enabled=False)
    await storage.write(users.update, SYSTEM, actors.users["member"], enabled=True)
    assert not await is_good(ended)


async def test_a_link_that_is_opened_twice_at_once_logs_in_once(storage: Storage, actors: Actors) -> None:
    _, secret = await made(storage, "member")
    tried = [storage.write(links.redeem, secret.expose(), BROWSER) for _ in range(5)]
    done = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in done) == 1
    assert {type(each) for each in done if isinstance(each, BaseException)} == {ForbiddenError}


async def test_secrets_of_one_kind_are_none_of_another(storage: Storage, actors: Actors) -> None:
    _, secret = await made(storage, "admin")
    text = secret.expose()
    with pytest.raises(ForbiddenError):
        await storage.write(links.redeem, text[:-1] + ("a" if text[-1] != "a" else "b"), BROWSER)
    for other in ("wws", "wwf", "wwt"):
        with pytest.raises(ForbiddenError):
            await storage.write(links.redeem, secret.expose().replace("wwl", other), BROWSER)
    with pytest.raises(ForbiddenError):
        await storage.write(links.redeem, "", BROWSER)
    assert (await storage.write(links.redeem, text, BROWSER)).is_whole
    assert (await whole(storage, actors.users["admin"])).role is Role.ADMIN
