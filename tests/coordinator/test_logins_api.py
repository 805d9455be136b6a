"""What the API has of logins: whose are seen, and whose are changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyotp
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from wirewright.coordinator.login import passkeys, passwords
from wirewright.coordinator.services import audit

from .authenticator import Authenticator
from .test_access import NOBODY, narrow
from .test_passkeys import add
from .visiting import PASSWORD, code_of, logged_in, visitor

if TYPE_CHECKING:
    import httpx2

    from wirewright.coordinator.storage import Storage

    from .actors import Actors

pytestmark = pytest.mark.anyio

ANOTHER = "another " + PASSWORD


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time; `test_passwords` has the real ones."""
    hasher = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_NOBODYS", hasher.hash("nobody's"))


async def test_one_sees_and_ends_ones_own_sessions_and_an_admin_everybodys(
    api: httpx2.AsyncClient, storage: Storage, actors: Actors
) -> None:
    cookie = await logged_in(storage, actors.users["member"])
    mine, theirs = actors.bearer("member"), actors.bearer("other")
    listed = (await api.get("/sessions", headers=mine)).json()["items"]
    assert [(each["user"], each["agent"], each["by"]) for each in listed] == [
        (actors.users["member"], "Firefox", "password")
    ]
    assert "hash" not in str(listed)
    path = f"/sessions/{listed[0]['id']}"
    of_member = {"user": actors.users["member"]}
    assert (await api.get("/sessions", headers=theirs)).json()["items"] == []
    assert (await api.get("/sessions", params=of_member, headers=theirs)).status_code == 404
    assert (await api.delete(path, headers=theirs)).status_code == 404
    assert (await api.get("/sessions", params=of_member)).json()["items"] == listed
    await visitor(storage, cookie)
    assert (await api.delete(path, headers=mine)).status_code == 204
    assert (await api.get("/sessions", headers=mine)).json()["items"] == []
    assert (await api.get("/sessions", params={"user": NOBODY})).status_code == 404


async def test_ones_own_password_is_changed_by_who_knows_it(
    api: httpx2.AsyncClient, storage: Storage, actors: Actors
) -> None:
    mine, path = actors.bearer("member"), f"/users/{actors.users['member']}/password"
    assert (await api.put(path, json={"password": PASSWORD}, headers=mine)).status_code == 204
    for body in (
        {"password": ANOTHER},
        {"password": ANOTHER, "current": "x"},
        {"password": ANOTHER, "current": ""},
    ):
        refused = await api.put(path, json=body, headers=mine)
        assert (refused.status_code, ANOTHER in refused.text) == (403, False)
    cookie = await logged_in(storage, actors.users["member"])
    body = {"password": ANOTHER, "current": PASSWORD}
    assert (await api.put(path, json=body, headers=mine)).status_code == 204
    assert (await api.get("/sessions", headers=mine)).json()["items"] == []
    for short in ("short", "member-member-member", "x" * 1100, "x" * 3000):
        refused = await api.put(path, json={"password": short, "current": ANOTHER}, headers=mine)
        assert refused.status_code == 422
        assert short not in refused.text
    assert cookie not in str([vars(line) for line in (await storage.read(audit.entries, None, 200)).items])


async def test_anothers_password_is_set_by_who_may_all_that_they_may(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    path = f"/users/{actors.users['operator']}/password"
    for name in ("member", "operator"):
        other = f"/users/{actors.users['other']}/password"
        assert (
            await api.put(other, json={"password": PASSWORD}, headers=actors.bearer(name))
        ).status_code == 403
    little = await narrow(api, "users:write", "users:read", "logins:write")
    assert (await api.put(path, json={"password": PASSWORD}, headers=little)).status_code == 403
    # Nor does a token with less than all become more by a password of its own user.
    own = f"/users/{actors.users['admin']}/password"
    assert (await api.put(own, json={"password": PASSWORD}, headers=little)).status_code == 403
    assert (await api.put(path, json={"password": PASSWORD})).status_code == 204
    shown = (await api.get(f"/users/{actors.users['operator']}/logins")).json()
    assert (shown["has_password"], shown["has_second_factor"]) == (True, False)
    assert (
        await api.get(f"/users/{actors.users['operator']}/logins", headers=actors.bearer("other"))
    ).status_code == 404


async def test_a_second_factor_is_made_by_its_user_and_removed_by_an_admin_too(
    api: httpx2.AsyncClient, storage: Storage, actors: Actors
) -> None:
    mine, path = actors.bearer("member"), f"/users/{actors.users['member']}/second-factor"
    assert (await api.post(path)).status_code == 403
    made = await api.post(path, headers=mine)
    assert made.headers["cache-control"] == "no-store"
    totp = pyotp.parse_uri(made.json()["uri"])
    assert isinstance(totp, pyotp.TOTP)
    assert (await api.post(f"{path}/confirm", json={"code": "x"}, headers=mine)).status_code == 422
    done = await api.post(f"{path}/confirm", json={"code": code_of(totp, storage)}, headers=mine)
    assert len(done.json()["recovery_codes"]) == 10
    shown = (await api.get(f"/users/{actors.users['member']}/logins", headers=mine)).json()
    assert (shown["has_second_factor"], shown["recovery_codes"]) == (True, 10)
    assert totp.secret not in str(shown)
    assert (await api.delete(path, headers=actors.bearer("other"))).status_code == 403
    assert (await api.delete(path)).status_code == 204
    assert (await api.delete(path)).status_code == 404


async def test_passkeys_are_listed_and_removed(
    api: httpx2.AsyncClient, storage: Storage, actors: Actors
) -> None:
    kept = await add(storage, actors.users["member"], Authenticator())
    mine = actors.bearer("member")
    shown = (await api.get(f"/users/{actors.users['member']}/logins", headers=mine)).json()
    assert [(each["id"], each["name"], each["used_at"]) for each in shown["passkeys"]] == [
        (kept.id, "a phone", None)
    ]
    assert (await api.delete(f"/passkeys/{kept.id}", headers=actors.bearer("other"))).status_code == 404
    assert (await api.delete(f"/passkeys/{kept.id}")).status_code == 204
    assert await storage.read(passkeys.listed, actors.users["member"]) == []
