"""The second factor: codes that are good once, recovery codes, and who takes it away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pyotp
import pytest

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from wirewright.coordinator.login import second_factor
from wirewright.coordinator.login.second_factor import PERIOD, RECOVERY_CODES
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.services.users import NewToken
from wirewright.coordinator.storage.logins import SecondFactor

from .visiting import code_of, give_second_factor, user_of, whole

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage, Transaction

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio


async def shows(storage: Storage, user_id: str, code: str) -> bool:
    return await storage.write(second_factor.show, user_id, code)


async def test_it_counts_once_a_first_code_was_shown(storage: Storage, actors: Actors) -> None:
    member = actors.users["member"]
    user, caller = await user_of(storage, member), await whole(storage, member)
    uri = await storage.write(second_factor.begin, user)
    totp = pyotp.parse_uri(uri)
    assert isinstance(totp, pyotp.TOTP)
    assert (totp.name, totp.issuer, totp.interval) == ("member", "Wirewright", PERIOD)
    assert await storage.read(second_factor.pending, user) == uri
    assert not await storage.read(second_factor.is_wanted, member)
    assert not await shows(storage, member, code_of(totp, storage))
    with pytest.raises(InvalidError):
        await storage.write(second_factor.confirm, caller, member, code_of(totp, storage, 5))
    # Another begin makes another secret.
    other = pyotp.parse_uri(await storage.write(second_factor.begin, user))
    assert isinstance(other, pyotp.TOTP)
    assert other.secret != totp.secret
    with pytest.raises(InvalidError):
        await storage.write(second_factor.confirm, caller, member, code_of(totp, storage))
    codes = await storage.write(second_factor.confirm, caller, member, code_of(other, storage))
    assert len(set(codes)) == RECOVERY_CODES == 10
    assert await storage.read(second_factor.is_wanted, member)
    assert await storage.read(second_factor.pending, user) is None
    for again in (
        storage.write(second_factor.confirm, caller, member, code_of(other, storage, 1)),
        storage.write(second_factor.begin, user),
    ):
        with pytest.raises(ConflictError):
            await again
    lines = (await storage.read(audit.entries, None, 200, action="user.second-factor")).items
    assert [(line.actor, line.subject, line.detail) for line in lines] == [
        ("user member", member, {"enabled": True})
    ]


async def test_a_code_is_good_in_its_period_and_those_beside_it(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    member = actors.users["member"]
    totp, _ = await give_second_factor(storage, member)
    for late in (-1, 0, 1):
        clock.now += 10 * PERIOD * SECOND
        assert await shows(storage, member, code_of(totp, storage, late)), late
    for late in (-3, -2, 2, 3):
        clock.now += 10 * PERIOD * SECOND
        assert not await shows(storage, member, code_of(totp, storage, late)), late
    clock.now += 10 * PERIOD * SECOND
    code = code_of(totp, storage)
    assert await shows(storage, member, f"{code[:3]} {code[3:]}")
    assert not await shows(storage, actors.users["other"], code_of(totp, storage, 1))


async def test_a_code_is_good_once_and_none_before_it_is_after_it(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    member = actors.users["member"]
    totp, _ = await give_second_factor(storage, member)
    # The one that was confirmed with is used, too.
    assert not await shows(storage, member, code_of(totp, storage))
    clock.now += 10 * PERIOD * SECOND
    assert await shows(storage, member, code_of(totp, storage, 1))
    for step in (1, 0, -1):
        assert not await shows(storage, member, code_of(totp, storage, step)), step
    clock.now += PERIOD * SECOND
    assert not await shows(storage, member, code_of(totp, storage))
    assert await shows(storage, member, code_of(totp, storage, 1))


async def test_of_many_who_show_one_code_at_once_one_is_let_in(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    member = actors.users["member"]
    totp, recovery = await give_second_factor(storage, member)
    clock.now += 10 * PERIOD * SECOND
    for code in (code_of(totp, storage), recovery[0]):
        assert sum(await asyncio.gather(*(shows(storage, member, code) for _ in range(6)))) == 1
    assert await storage.read(second_factor.left, member) == RECOVERY_CODES - 1


async def test_a_recovery_code_is_good_once_as_people_type_it(storage: Storage, actors: Actors) -> None:
    member = actors.users["member"]
    _, codes = await give_second_factor(storage, member)
    _, theirs = await give_second_factor(storage, actors.users["other"])
    assert not await shows(storage, member, theirs[0])
    assert await shows(storage, member, codes[0])
    assert not await shows(storage, member, codes[0])
    assert await shows(storage, member, f" {codes[1].upper()} ")
    assert await shows(storage, member, codes[2].replace("-", " "))
    assert await storage.read(second_factor.left, member) == RECOVERY_CODES - 3
    assert await storage.read(second_factor.left, actors.users["other"]) == RECOVERY_CODES


async def test_what_is_no_code_lets_nobody_in(storage: Storage, actors: Actors) -> None:
    member = actors.users["member"]
    totp, _ = await give_second_factor(storage, member)
    near = {code_of(totp, storage, step) for step in (-1, 0, 1)}
    wrong = ["", "0" * 6, "aaaaaa", "١٢٣٤٥٦", "-" * 16, "a" * 9999, "\0", "\ud800", "aaaa-aaaa-aaaa-aaaa"]
    for code in wrong:
        assert code in near or not await shows(storage, member, code), code


async def test_the_database_and_what_is_printed_have_no_recovery_code(
    storage: Storage, actors: Actors
) -> None:
    _, codes = await give_second_factor(storage, actors.users["member"])

    async def row(tx: Transaction) -> SecondFactor:
        found = await tx.session.get(SecondFactor, actors.users["member"])
        assert found is not None
        return found

    kept = await storage.read(row)
    assert len(kept.recovery) == RECOVERY_CODES
    everything = str(vars(kept))
    assert not [code for code in codes if code in everything or code.replace("-", "") in everything]
    assert kept.secret.hex() not in repr(kept)
    lines = (await storage.read(audit.entries, None, 200)).items
    assert not [code for code in codes if code in str([vars(line) for line in lines])]


async def test_it_is_taken_away_by_its_user_or_by_who_may_change_users(
    storage: Storage, actors: Actors
) -> None:
    member = actors.users["member"]
    await give_second_factor(storage, member)
    admin = await storage.read(users.authenticate, actors.tokens["admin"], "")
    few = (Scope.USERS_WRITE, Scope.DEVICES_READ)
    _, secret = await storage.write(users.create_token, admin, NewToken("narrow", few))
    narrow = await storage.read(users.authenticate, secret.expose(), "")
    for caller in (await whole(storage, actors.users["operator"]), narrow):
        with pytest.raises(ForbiddenError):
            await storage.write(second_factor.remove, caller, member)
    await storage.write(second_factor.remove, await whole(storage, member), member)
    assert not await storage.read(second_factor.is_wanted, member)
    with pytest.raises(NotFoundError):
        await storage.write(second_factor.remove, admin, member)
    await give_second_factor(storage, member)
    await storage.write(second_factor.remove, admin, member)
    assert not await storage.read(second_factor.is_wanted, member)
