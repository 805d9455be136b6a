"""Passkeys: what is asked of a browser, and which answers are taken."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wirewright.coordinator.clock import MINUTE
from wirewright.coordinator.errors import (
    ConflictError,
    CoordinatorError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
)
from wirewright.coordinator.login import challenges, passkeys, setup
from wirewright.coordinator.login.challenges import Purpose
from wirewright.coordinator.login.passkeys import MOST, Party
from wirewright.coordinator.login.signing_in import Entered, WrongError
from wirewright.coordinator.services import audit, clearing, users
from wirewright.coordinator.services.access import SYSTEM, Scope
from wirewright.coordinator.services.users import NewToken

from .authenticator import ATTESTED, PRESENT, VERIFIED, Authenticator, raw, text
from .visiting import BROWSER, logged_in, visitor, whole

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage, Transaction
    from wirewright.coordinator.storage.logins import Passkey

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio

PARTY = Party("vpn.example", "https://vpn.example")


async def add(storage: Storage, user_id: str, made: Authenticator, name: str = "a phone") -> Passkey:
    caller = await whole(storage, user_id)
    options = await storage.write(passkeys.begin_adding, caller, PARTY)
    return await storage.write(passkeys.add, caller, PARTY, name, made.create(options))


async def asked(storage: Storage) -> dict[str, Any]:
    return await storage.write(passkeys.begin_login, PARTY)


async def enter(storage: Storage, answer: dict[str, Any]) -> Entered:
    return await passkeys.log_in(storage, PARTY, answer, BROWSER)


async def is_in(storage: Storage, answer: dict[str, Any]) -> bool:
    try:
        return (await enter(storage, answer)).is_whole
    except WrongError:
        return False


def test_the_page_has_passkeys_where_browsers_let_it() -> None:
    assert Party.at("https://VPN.example/") == PARTY
    assert Party.at("https://vpn.example:443") == PARTY
    assert Party.at("https://vpn.example:8443") == Party("vpn.example", "https://vpn.example:8443")
    assert Party.at("http://localhost:8080") == Party("localhost", "http://localhost:8080")
    for url in ("http://127.0.0.1:8080", "https://[::1]", "https://192.0.2.7", "http://vpn.example", ""):
        assert Party.at(url) is None, url


async def test_a_passkey_logs_its_user_in_as_both_factors(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    mine, theirs = Authenticator(), Authenticator()
    kept = await add(storage, actors.users["member"], mine)
    await add(storage, actors.users["other"], theirs)
    assert (kept.name, kept.used_at) == ("a phone", None)
    # No member who can log in ends the first start of an administrator.
    assert not await storage.read(setup.is_first)
    assert await storage.read(setup.is_needed)
    clock.now += MINUTE
    entered = await enter(storage, mine.get(await asked(storage)))
    found = await visitor(storage, entered.secret.expose())
    assert (found.user.id, found.session.by) == (actors.users["member"], "passkey")
    used = await storage.read(passkeys.listed, actors.users["member"])
    assert [each.used_at for each in used] == [clock.now]
    lines = (await storage.read(audit.entries, None, 200)).items
    told = {(line.actor, line.action, line.subject) for line in lines}
    assert ("user member", "passkey.add", kept.id) in told
    assert ("user member", "login", actors.users["member"]) in told


async def test_what_a_browser_is_asked_tells_nothing_of_who_there_is(
    storage: Storage, actors: Actors
) -> None:
    before = await asked(storage)
    await add(storage, actors.users["member"], Authenticator())
    options = await asked(storage)
    assert options["challenge"] != before["challenge"]
    assert not options.get("allowCredentials")
    assert options["userVerification"] == "required"
    assert options["rpId"] == PARTY.id


async def test_a_second_passkey_is_another_one(storage: Storage, actors: Actors) -> None:
    made = Authenticator()
    await add(storage, actors.users["member"], made)
    options = await storage.write(passkeys.begin_adding, await whole(storage, actors.users["member"]), PARTY)
    assert [each["id"] for each in options["excludeCredentials"]] == [text(made.credential)]
    assert options["authenticatorSelection"]["residentKey"] == "required"
    for whose in ("member", "other"):
        with pytest.raises(ConflictError, match="known already"):
            await add(storage, actors.users[whose], made)
    assert await is_in(storage, made.get(await asked(storage)))


async def test_a_challenge_is_good_once_for_five_minutes_and_one_purpose(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    made = Authenticator()
    await add(storage, actors.users["member"], made)
    options = await asked(storage)
    answer = made.get(options)
    assert await is_in(storage, answer)
    assert not await is_in(storage, answer)
    late = made.get(await asked(storage))
    clock.now += 5 * MINUTE
    assert not await is_in(storage, late)
    assert not await is_in(storage, made.get({"rpId": PARTY.id, "challenge": text(b"x" * 32)}))
    caller = await whole(storage, actors.users["member"])
    adding = await storage.write(passkeys.begin_adding, caller, PARTY)
    assert not await is_in(storage, made.get({"rpId": PARTY.id, "challenge": adding["challenge"]}))
    # One of a login is none for adding, one of another user's neither, nor one that a newer one replaced.
    theirs = await storage.write(passkeys.begin_adding, await whole(storage, actors.users["other"]), PARTY)
    newer = await storage.write(passkeys.begin_adding, caller, PARTY)
    for challenge in ((await asked(storage))["challenge"], theirs["challenge"], adding["challenge"]):
        answer = Authenticator().create(newer | {"challenge": challenge})
        with pytest.raises(InvalidError):
            await storage.write(passkeys.add, caller, PARTY, "x", answer)
    await storage.write(passkeys.add, caller, PARTY, "x", Authenticator().create(newer))


async def test_one_answer_many_times_at_once_logs_in_once(storage: Storage, actors: Actors) -> None:
    made = Authenticator()
    await add(storage, actors.users["member"], made)
    answer = made.get(await asked(storage))
    assert sum(await asyncio.gather(*(is_in(storage, answer) for _ in range(6)))) == 1


async def test_an_answer_for_another_page_or_without_its_user_is_refused(
    storage: Storage, actors: Actors
) -> None:
    made = Authenticator()
    await add(storage, actors.users["member"], made)

    async def refused(flags: int = PRESENT | VERIFIED, page: str = PARTY.id, **client: object) -> bool:
        """Whether an answer is that is in order, and signed, but for what is said here."""
        made.flags = flags
        return not await is_in(storage, made.get((await asked(storage)) | {"rpId": page}, **client))

    for origin in ("https://vpn.example.evil.example", "http://vpn.example", "https://vpn.example:8443"):
        assert await refused(origin=origin), origin
    assert await refused(type="webauthn.create")
    assert await refused(page="evil.example")
    for flags in (0, PRESENT, VERIFIED):
        assert await refused(flags), flags
    assert not await refused()
    forged = Authenticator(credential=made.credential, user=made.user)
    assert not await is_in(storage, forged.get(await asked(storage)))
    assert not await is_in(storage, Authenticator().get(await asked(storage)))
    broken = made.get(await asked(storage))
    broken["response"]["signature"] = text(bytes(70))
    assert not await is_in(storage, broken)
    # What was signed is for the challenge that was signed, and no other.
    other = made.get(await asked(storage))
    said = json.loads(raw(other["response"]["clientDataJSON"]))
    said["challenge"] = (await asked(storage))["challenge"]
    other["response"]["clientDataJSON"] = text(json.dumps(said).encode())
    assert not await is_in(storage, other)
    lines = (await storage.read(audit.entries, None, 200, action="login.refused")).items
    assert {(line.subject, line.detail["by"]) for line in lines} == {(actors.users["member"], "passkey")}
    assert await is_in(storage, made.get(await asked(storage)))


@pytest.mark.parametrize("flags", [0, PRESENT, VERIFIED])
async def test_a_passkey_is_made_for_this_page_and_by_its_user(
    storage: Storage, actors: Actors, flags: int
) -> None:
    caller = await whole(storage, actors.users["member"])
    options = await storage.write(passkeys.begin_adding, caller, PARTY)
    for answer in (
        Authenticator(flags=flags).create(options),
        Authenticator(origin="https://evil.example").create(options),
        Authenticator().create(options | {"rp": {"id": "evil.example"}}),
        Authenticator().create(options, type="webauthn.get"),
        Authenticator(flags=PRESENT | VERIFIED | ATTESTED, credential=b"").create(options),
    ):
        with pytest.raises(InvalidError):
            await storage.write(passkeys.add, caller, PARTY, "x", answer)
    assert await storage.read(passkeys.listed, actors.users["member"]) == []


async def test_a_counter_that_goes_back_tells_of_a_copy(storage: Storage, actors: Actors) -> None:
    made = Authenticator(count=5)
    await add(storage, actors.users["member"], made)
    for count, is_taken in ((6, True), (6, False), (3, False), (0, False), (7, True)):
        made.count = count
        assert await is_in(storage, made.get(await asked(storage))) is is_taken, count


async def test_who_is_disabled_or_gone_has_no_passkeys(storage: Storage, actors: Actors) -> None:
    made = Authenticator()
    await add(storage, actors.users["member"], made)
    await storage.write(users.update, SYSTEM, actors.users["member"], enabled=False)
    assert not await is_in(storage, made.get(await asked(storage)))
    await storage.write(users.update, SYSTEM, actors.users["member"], enabled=True)
    assert await is_in(storage, made.get(await asked(storage)))
    await storage.write(users.delete, SYSTEM, actors.users["member"])
    assert not await is_in(storage, made.get(await asked(storage)))


async def test_a_passkey_is_removed_by_its_user_or_by_who_may_change_users(
    storage: Storage, actors: Actors
) -> None:
    member, made = actors.users["member"], Authenticator()
    kept = await add(storage, member, made)
    here, there = [await logged_in(storage, member) for _ in range(2)]
    for name in ("other", "operator"):
        with pytest.raises(NotFoundError):
            await storage.write(passkeys.remove, await whole(storage, actors.users[name]), kept.id)
    admin = await storage.read(users.authenticate, actors.tokens["admin"], "")
    few = (Scope.USERS_WRITE, Scope.DEVICES_READ)
    _, secret = await storage.write(users.create_token, admin, NewToken("narrow", few))
    narrow = await storage.read(users.authenticate, secret.expose(), "")
    with pytest.raises(ForbiddenError):
        await storage.write(passkeys.remove, narrow, kept.id)
    mine = await visitor(storage, here)
    await storage.write(passkeys.remove, mine.caller, kept.id, keep=mine.session.id)
    await visitor(storage, here)
    with pytest.raises(UnauthorizedError):
        await visitor(storage, there)
    assert not await is_in(storage, made.get(await asked(storage)))
    other = await add(storage, member, Authenticator())
    await storage.write(passkeys.remove, admin, other.id)
    assert await storage.read(passkeys.listed, member) == []


async def test_a_user_has_a_bounded_number(storage: Storage, actors: Actors) -> None:
    for number in range(MOST):
        await add(storage, actors.users["member"], Authenticator(), f"key {number}")
    with pytest.raises(ConflictError, match="at most 16"):
        await add(storage, actors.users["member"], Authenticator())


async def test_challenges_of_nobody_are_bounded_and_the_newest_are_good(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenges, "NOBODYS", 300)

    async def ask_often(tx: Transaction) -> bytes:
        for number in range(310):
            tx.now = clock.now + number
            last = await challenges.ask(tx, Purpose.PASSKEY_LOGIN)
        return last

    async def count(tx: Transaction) -> int:
        return await challenges.waiting(tx)

    last = await storage.write(ask_often)
    assert 0 < await storage.read(count) <= 300
    assert await storage.write(challenges.answered, Purpose.PROVIDER, last) is None
    assert await storage.write(challenges.answered, Purpose.PASSKEY_LOGIN, last) == {}
    clock.now += 5 * MINUTE
    await storage.write(clearing.clear)
    assert 0 < await storage.read(count) <= 310
    clock.now += MINUTE
    await storage.write(clearing.clear)
    assert await storage.read(count) == 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary().map(text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


async def test_any_answer_at_all_is_refused_in_words(storage: Storage, actors: Actors) -> None:
    made = Authenticator()
    await add(storage, actors.users["member"], made)
    caller = await whole(storage, actors.users["member"])
    loop = asyncio.get_running_loop()

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(60)

    async def refused(place: str, value: object, binary: bytes) -> None:
        options = await storage.write(passkeys.begin_adding, caller, PARTY)
        for answer in (made.get(await asked(storage)), Authenticator().create(options)):
            for wrong in (value, text(binary)):
                changed: Any = copy.deepcopy(answer)
                where = changed["response"] if place in changed["response"] else changed
                if place not in where or where[place] == wrong:
                    continue
                where[place] = wrong
                with pytest.raises(CoordinatorError):
                    await enter(storage, changed)
                with pytest.raises(CoordinatorError):
                    await storage.write(passkeys.add, caller, PARTY, "x", changed)

    places = ["id", "rawId", "type", "response", "clientDataJSON", "authenticatorData", "attestationObject"]

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(place=st.sampled_from([*places, "signature"]), value=ANYTHING, binary=st.binary(max_size=300))
    def try_it(place: str, value: object, binary: bytes) -> None:
        run(refused(place, value, binary))

    await asyncio.to_thread(try_it)
    assert len(await storage.read(passkeys.listed, actors.users["member"])) == 1
