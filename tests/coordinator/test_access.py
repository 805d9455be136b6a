"""Who may what, from the wrong side: each operation with each kind of caller who may not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from wirewright.coordinator import app
from wirewright.coordinator.clock import DAY
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import ROLES, SYSTEM, Caller, Role, Scope, granted
from wirewright.coordinator.services.users import NewToken

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    import httpx2

    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-7000-8000-000000000000"
OPEN = {"GET /healthz", "GET /api/v1/enrolment", "POST /api/v1/enrolment"}
# Its scope, for each operation that takes a token.
SCOPES: Mapping[str, Scope] = {
    "GET /api/v1/devices": Scope.DEVICES_READ,
    "POST /api/v1/devices": Scope.DEVICES_WRITE,
    "GET /api/v1/devices/{device}": Scope.DEVICES_READ,
    "GET /api/v1/devices/{device}/tunnel": Scope.DEVICES_READ,
    "PATCH /api/v1/devices/{device}": Scope.DEVICES_WRITE,
    "DELETE /api/v1/devices/{device}": Scope.DEVICES_WRITE,
    "POST /api/v1/devices/{device}/enable": Scope.DEVICES_WRITE,
    "POST /api/v1/devices/{device}/disable": Scope.DEVICES_WRITE,
    "GET /api/v1/devices/search": Scope.DEVICES_READ,
    "POST /api/v1/devices/bulk": Scope.DEVICES_WRITE,
    "POST /api/v1/devices/import": Scope.DEVICES_WRITE,
    "GET /api/v1/devices/live": Scope.DEVICES_READ,
    "GET /api/v1/devices/{device}/endpoints": Scope.DEVICES_READ,
    "GET /api/v1/devices/{device}/configuration": Scope.DEVICES_READ,
    "POST /api/v1/devices/{device}/configuration/taken": Scope.DEVICES_WRITE,
    "PUT /api/v1/devices/{device}/key": Scope.DEVICES_WRITE,
    "GET /api/v1/invitations": Scope.INVITATIONS_READ,
    "POST /api/v1/invitations": Scope.INVITATIONS_WRITE,
    "GET /api/v1/invitations/{invitation}": Scope.INVITATIONS_READ,
    "DELETE /api/v1/invitations/{invitation}": Scope.INVITATIONS_WRITE,
    "GET /api/v1/users": Scope.USERS_READ,
    "POST /api/v1/users": Scope.USERS_WRITE,
    "GET /api/v1/users/{user}": Scope.USERS_READ,
    "PATCH /api/v1/users/{user}": Scope.USERS_WRITE,
    "DELETE /api/v1/users/{user}": Scope.USERS_WRITE,
    "GET /api/v1/tokens": Scope.TOKENS_READ,
    "POST /api/v1/tokens": Scope.TOKENS_WRITE,
    "DELETE /api/v1/tokens/{token}": Scope.TOKENS_WRITE,
    "GET /api/v1/sessions": Scope.LOGINS_READ,
    "DELETE /api/v1/sessions/{session}": Scope.LOGINS_WRITE,
    "GET /api/v1/users/{user}/logins": Scope.LOGINS_READ,
    "PUT /api/v1/users/{user}/password": Scope.LOGINS_WRITE,
    "POST /api/v1/users/{user}/second-factor": Scope.LOGINS_WRITE,
    "POST /api/v1/users/{user}/second-factor/confirm": Scope.LOGINS_WRITE,
    "DELETE /api/v1/users/{user}/second-factor": Scope.LOGINS_WRITE,
    "DELETE /api/v1/users/{user}/identities": Scope.LOGINS_WRITE,
    "DELETE /api/v1/passkeys/{passkey}": Scope.LOGINS_WRITE,
    "GET /api/v1/gateways": Scope.GATEWAYS_READ,
    "POST /api/v1/gateways": Scope.GATEWAYS_WRITE,
    "GET /api/v1/gateways/{gateway}": Scope.GATEWAYS_READ,
    "PATCH /api/v1/gateways/{gateway}": Scope.GATEWAYS_WRITE,
    "DELETE /api/v1/gateways/{gateway}": Scope.GATEWAYS_WRITE,
    "POST /api/v1/gateways/{gateway}/credential": Scope.GATEWAYS_WRITE,
    "GET /api/v1/pools": Scope.GATEWAYS_READ,
    "POST /api/v1/pools": Scope.GATEWAYS_WRITE,
    "DELETE /api/v1/pools/{pool}": Scope.GATEWAYS_WRITE,
    "GET /api/v1/reservations": Scope.ADDRESSES_READ,
    "POST /api/v1/reservations": Scope.ADDRESSES_WRITE,
    "DELETE /api/v1/reservations/{reservation}": Scope.ADDRESSES_WRITE,
    "GET /api/v1/leases": Scope.ADDRESSES_READ,
    "GET /api/v1/audit": Scope.AUDIT_READ,
    "GET /metrics": Scope.METRICS_READ,
}
# Any token will do.
BY_TOKEN = {"GET /api/v1/me"}
BY_CREDENTIAL = {
    "GET /api/v1/gateways/self",
    "PUT /api/v1/gateways/self/key",
    "GET /api/v1/gateways/self/stream",
    "POST /api/v1/gateways/self/report",
    "GET /api/v1/gateways/self/leases",
    "POST /api/v1/gateways/self/leases",
}
BODIES: Mapping[str, dict[str, Any]] = {
    "POST /api/v1/devices": {"name": "x", "public_key": key()},
    "PATCH /api/v1/devices/{device}": {"name": "x"},
    "POST /api/v1/devices/bulk": {"devices": [NOBODY], "action": "disable"},
    "POST /api/v1/devices/import": {"devices": [{"name": "x", "public_key": key()}]},
    "PUT /api/v1/devices/{device}/key": {"public_key": key()},
    "POST /api/v1/invitations": {"name": "x"},
    "POST /api/v1/users": {"name": "x"},
    "PATCH /api/v1/users/{user}": {"enabled": False},
    "POST /api/v1/tokens": {"name": "x", "scopes": ["admin"]},
    "PUT /api/v1/users/{user}/password": {"password": "violet tractor seven lakes"},
    "POST /api/v1/users/{user}/second-factor/confirm": {"code": "123456"},
    "POST /api/v1/gateways": {"name": "x", "endpoint": "x:1"},
    "PATCH /api/v1/gateways/{gateway}": {"endpoint": "x:1"},
    "POST /api/v1/pools": {"gateway": NOBODY, "network": "10.99.0.0/16"},
    "POST /api/v1/reservations": {"gateway": NOBODY, "address": "10.88.0.9"},
    "PUT /api/v1/gateways/self/key": {"public_key": key()},
    "POST /api/v1/gateways/self/report": {"devices": []},
    "POST /api/v1/gateways/self/leases": {"version": 0, "change": NOBODY},
}


async def ask(api: httpx2.AsyncClient, operation: str, bearer: str | None) -> httpx2.Response:
    method, path = operation.split(" ")
    for name in (
        "device",
        "invitation",
        "user",
        "token",
        "gateway",
        "pool",
        "reservation",
        "session",
        "passkey",
    ):
        path = path.replace(f"{{{name}}}", NOBODY)
    headers = {"Authorization": f"Bearer {bearer}" if bearer else ""}
    url = f"http://coordinator{path}"
    return await api.request(method, url, json=BODIES.get(operation), headers=headers)


def operations(schema: Mapping[str, Any]) -> set[str]:
    return {f"{method.upper()} {path}" for path, found in schema["paths"].items() for method in found}


async def test_every_operation_is_in_these_tables(storage: Storage) -> None:
    """So that none is added whose rule is not tried from the wrong side."""
    assert operations(app.create(storage).openapi()) == OPEN | set(SCOPES) | BY_TOKEN | BY_CREDENTIAL


@pytest.mark.parametrize("bearer", [None, "wwt_nonsense", "", "wwt_" + "a" * 16 + "_" + "b" * 32])
async def test_who_is_nobody_may_nothing(api: httpx2.AsyncClient, bearer: str | None, actors: Actors) -> None:
    for operation in [*SCOPES, *BY_TOKEN, *BY_CREDENTIAL]:
        answer = await ask(api, operation, bearer)
        assert answer.status_code == 401, operation
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_token_tells_whose_it_is_and_what_it_may(api: httpx2.AsyncClient, actors: Actors) -> None:
    said = (await api.get("/me", headers=actors.bearer("member"))).json()
    assert (said["id"], said["actor"], said["role"]) == (actors.users["member"], "user member", "member")
    assert said["scopes"] == sorted(ROLES[Role.MEMBER])
    answer = await ask(api, "GET /api/v1/me", actors.credential)
    assert answer.status_code == 401


async def test_a_token_without_the_scope_may_not(
    api: httpx2.AsyncClient, storage: Storage, actors: Actors
) -> None:
    """An admin's token with every scope but the one that is needed, and but ``admin``, which is all."""
    admin = Caller("user admin", "", Role.ADMIN, SYSTEM.scopes, actors.users["admin"])

    async def refused(operation: str, bearer: str) -> bool:
        answer = await ask(api, operation, bearer)
        return answer.status_code == 403 and f"takes the scope {SCOPES[operation]}" in answer.text

    every = tuple(scope for scope in Scope if scope is not Scope.ADMIN)
    _, secret = await storage.write(users.create_token, admin, NewToken("every", every))
    assert not [operation for operation in SCOPES if await refused(operation, secret.expose())]
    for missing in sorted(set(SCOPES.values())):
        scopes = tuple(scope for scope in every if scope is not missing)
        _, secret = await storage.write(users.create_token, admin, NewToken("almost", scopes))
        for operation in (operation for operation, scope in SCOPES.items() if scope is missing):
            assert await refused(operation, secret.expose()), operation


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.MEMBER])
async def test_a_role_bounds_what_any_token_may(api: httpx2.AsyncClient, actors: Actors, role: Role) -> None:
    for operation, scope in SCOPES.items():
        answer = await ask(api, operation, actors.tokens[role])
        if scope not in ROLES[role]:
            assert answer.status_code == 403, operation


async def test_tokens_are_no_credentials_and_credentials_no_tokens(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    for operation in BY_CREDENTIAL:
        assert (await ask(api, operation, actors.tokens["admin"])).status_code == 401, operation
    for operation in SCOPES:
        assert (await ask(api, operation, actors.credential)).status_code == 401, operation
    assert (await ask(api, "GET /api/v1/gateways/self", actors.credential)).status_code == 200


async def test_a_member_sees_and_changes_its_own_devices_only(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    theirs, mine = actors.bearer("other"), actors.bearer("member")
    device = (await api.post("/devices", json={"name": "x", "public_key": key()}, headers=theirs)).json()
    own = (await api.post("/devices", json={"name": "y", "public_key": key()}, headers=mine)).json()
    nobodys = (await api.post("/devices", json={"name": "z", "public_key": key()})).json()
    assert device["user"] == actors.users["other"]
    for foreign in (device, nobodys):
        path = f"/devices/{foreign['id']}"
        for method, where, body in (
            ("GET", path, None),
            ("GET", f"{path}/tunnel", None),
            ("GET", f"{path}/endpoints", None),
            ("GET", f"{path}/configuration", None),
            ("POST", f"{path}/configuration/taken", None),
            ("PUT", f"{path}/key", {"public_key": key()}),
            ("POST", "/devices/bulk", {"devices": [foreign["id"], own["id"]], "action": "remove"}),
            ("PATCH", path, {"name": "mine"}),
            ("DELETE", path, None),
        ):
            answer = await api.request(method, where, json=body, headers=mine)
            assert answer.status_code == 404, (method, where)
    listed = (await api.get("/devices", headers=mine)).json()["items"]
    assert [item["id"] for item in listed] == [own["id"]]
    found = (await api.get("/devices/search", headers=mine)).json()
    assert [item["id"] for item in found["items"]] == [own["id"]]
    assert (found["total"], found["everything"]) == (1, 1)
    asked = await api.get("/devices", params={"user": actors.users["other"]}, headers=mine)
    assert asked.json()["items"] == []
    assert (await api.get(f"/devices/{device['id']}", headers=theirs)).json()["name"] == "x"


@pytest.mark.parametrize(
    "more",
    [
        {"policy": [{"destinations": ["10.88.0.0/16"]}]},
        {"expires_at": "2099-01-01T00:00:00Z"},
        {"addresses": ["10.88.0.77"]},
    ],
)
async def test_a_member_does_not_choose_what_its_devices_may(
    api: httpx2.AsyncClient, actors: Actors, more: dict[str, Any]
) -> None:
    mine = actors.bearer("member")
    body = {"name": "x", "public_key": key()}
    assert (await api.post("/devices", json=body | more, headers=mine)).status_code == 403
    device = (await api.post("/devices", json=body, headers=mine)).json()
    if "addresses" not in more:
        changed = await api.patch(f"/devices/{device['id']}", json=more, headers=mine)
        assert changed.status_code == 403


async def test_a_member_does_not_undo_what_an_operator_did(api: httpx2.AsyncClient, actors: Actors) -> None:
    mine = actors.bearer("member")
    device = (await api.post("/devices", json={"name": "x", "public_key": key()}, headers=mine)).json()
    path = f"/devices/{device['id']}"
    disabled = await api.post(f"{path}/disable", headers=actors.bearer("operator"))
    assert disabled.json()["active"] is False
    assert (await api.post(f"{path}/enable", headers=mine)).status_code == 403
    assert (await api.patch(path, json={"expires_at": None}, headers=mine)).status_code == 403
    assert (await api.get(path, headers=mine)).json()["enabled"] is False


async def test_a_member_makes_devices_for_itself_only(api: httpx2.AsyncClient, actors: Actors) -> None:
    body = {"name": "x", "public_key": key(), "user": actors.users["other"]}
    assert (await api.post("/devices", json=body, headers=actors.bearer("member"))).status_code == 403


async def test_a_token_makes_none_that_may_more(api: httpx2.AsyncClient, actors: Actors) -> None:
    narrow = await api.post("/tokens", json={"name": "n", "scopes": ["tokens:write", "devices:read"]})
    headers = {"Authorization": f"Bearer {narrow.json()['token']}"}
    for scopes in (["devices:write"], ["admin"], ["tokens:write", "audit:read"]):
        answer = await api.post("/tokens", json={"name": "more", "scopes": scopes}, headers=headers)
        assert answer.status_code == 403, scopes
    fewer = await api.post("/tokens", json={"name": "less", "scopes": ["devices:read"]}, headers=headers)
    assert fewer.status_code == 201


async def narrow(api: httpx2.AsyncClient, *scopes: str, **more: str) -> dict[str, str]:
    """The header of a token of the admin's that has these scopes only."""
    made = await api.post("/tokens", json={"name": "narrow", "scopes": sorted(set(scopes)), **more})
    return {"Authorization": f"Bearer {made.json()['token']}"}


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.MEMBER])
async def test_no_token_is_made_with_scopes_that_its_users_role_lacks(
    api: httpx2.AsyncClient, actors: Actors, role: Role
) -> None:
    """They would begin to count when the user is given a greater role."""
    body = {"name": "x", "scopes": ["devices:read", "gateways:write"], "user": actors.users[role]}
    everybodys = await narrow(api, "users:write", "tokens:write", "devices:read")
    assert (await api.post("/tokens", json=body, headers=everybodys)).status_code == 403
    assert (await api.post("/tokens", json=body)).status_code == 403
    body["scopes"] = ["devices:read"]
    assert (await api.post("/tokens", json=body, headers=everybodys)).json()["scopes"] == ["devices:read"]


async def test_the_scope_admin_grows_with_a_role_only_if_one_who_may_all_gave_it(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    body = {"name": "x", "scopes": ["admin"], "user": actors.users["member"]}
    little = await narrow(api, "users:write", "tokens:write", "devices:read")
    assert (await api.post("/tokens", json=body, headers=little)).status_code == 403
    member = sorted(ROLES[Role.MEMBER])
    as_member = await narrow(api, "users:write", *member)
    assert (await api.post("/tokens", json=body, headers=as_member)).json()["scopes"] == member
    own = await api.post("/tokens", json={"name": "x", "scopes": ["admin"]}, headers=actors.bearer("member"))
    assert own.json()["scopes"] == member
    assert (await api.post("/tokens", json=body)).json()["scopes"] == ["admin"]


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_is_given_only_by_who_may_all_that_it_may(
    api: httpx2.AsyncClient, actors: Actors, role: Role
) -> None:
    path = f"/users/{actors.users['operator' if role is Role.MEMBER else 'member']}"
    almost = set(ROLES[role]) - {Scope.DEVICES_WRITE, Scope.ADMIN} | {Scope.USERS_WRITE}
    headers = await narrow(api, *almost)
    made = await api.post("/users", json={"name": "new", "role": role}, headers=headers)
    changed = await api.patch(path, json={"role": role}, headers=headers)
    assert (made.status_code, changed.status_code) == (403, 403)
    whole = await narrow(api, *ROLES[role], Scope.USERS_WRITE)
    made = await api.post("/users", json={"name": "new", "role": role}, headers=whole)
    changed = await api.patch(path, json={"role": role}, headers=whole)
    assert (made.status_code, changed.status_code) == (201, 200)


async def test_a_token_makes_none_that_outlives_it(
    api: httpx2.AsyncClient, actors: Actors, clock: Clock
) -> None:
    def day(number: int) -> str:
        return datetime.fromtimestamp((clock.now + number * DAY) // 1_000_000, UTC).isoformat()

    headers = await narrow(api, "tokens:write", "devices:read", expires_at=day(2))
    body = {"name": "x", "scopes": ["devices:read"]}
    asked = [(None, day(2)), (day(1), day(1)), (day(3), day(2))]
    for wanted, given in asked:
        made = await api.post("/tokens", json=body | {"expires_at": wanted}, headers=headers)
        assert datetime.fromisoformat(made.json()["expires_at"]) == datetime.fromisoformat(given), wanted


async def test_only_who_may_write_users_makes_or_removes_tokens_of_others(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    body = {"name": "x", "scopes": ["devices:read"], "user": actors.users["admin"]}
    assert (await api.post("/tokens", json=body, headers=actors.bearer("operator"))).status_code == 403
    foreign = (await api.post("/tokens", json={"name": "x", "scopes": ["admin"]})).json()["id"]
    assert (await api.delete(f"/tokens/{foreign}", headers=actors.bearer("operator"))).status_code == 404
    assert (await api.delete(f"/tokens/{foreign}", headers=actors.bearer("member"))).status_code == 404
    listed = (await api.get("/tokens", headers=actors.bearer("member"))).json()["items"]
    assert {item["user"] for item in listed} == {actors.users["member"]}


async def test_a_token_that_is_removed_or_expired_is_worth_nothing(
    api: httpx2.AsyncClient, clock: Clock
) -> None:
    tomorrow = (clock.now + DAY) // 1_000_000
    until = datetime.fromtimestamp(tomorrow, UTC).isoformat()
    made = [
        (await api.post("/tokens", json={"name": "x", "scopes": ["admin"], **more})).json()
        for more in ({}, {"expires_at": until})
    ]
    headers = [{"Authorization": f"Bearer {token['token']}"} for token in made]
    assert [(await api.get("/devices", headers=each)).status_code for each in headers] == [200, 200]
    await api.delete(f"/tokens/{made[0]['id']}")
    clock.now += DAY
    assert [(await api.get("/devices", headers=each)).status_code for each in headers] == [401, 401]


async def test_a_disabled_user_is_nobody(api: httpx2.AsyncClient, actors: Actors) -> None:
    await api.patch(f"/users/{actors.users['operator']}", json={"enabled": False})
    assert (await api.get("/devices", headers=actors.bearer("operator"))).status_code == 401


async def test_the_last_admin_stays(api: httpx2.AsyncClient, actors: Actors) -> None:
    path = f"/users/{actors.users['admin']}"
    for answer in (
        await api.patch(path, json={"enabled": False}),
        await api.patch(path, json={"role": "member"}),
        await api.delete(path),
    ):
        assert answer.status_code == 409
    await api.patch(f"/users/{actors.users['operator']}", json={"role": "admin"})
    assert (await api.patch(path, json={"role": "member"})).status_code == 200


async def test_a_gateway_reports_of_its_own_devices_only(api: httpx2.AsyncClient, actors: Actors) -> None:
    other = (await api.post("/gateways", json={"name": "branch", "endpoint": "branch.example:1"})).json()
    await api.post("/pools", json={"gateway": other["id"], "network": "10.99.0.0/16"})
    body = {"name": "x", "public_key": key(), "gateway": actors.gateway}
    device = (await api.post("/devices", json=body)).json()
    report = {"devices": [{"id": device["id"], "received": 7, "sent": 8}]}
    headers = {"Authorization": f"Bearer {other['credential']}"}
    assert (await api.post("/gateways/self/report", json=report, headers=headers)).json() == {"known": 0}
    assert (await api.get(f"/devices/{device['id']}")).json()["activity"] is None
    headers = {"Authorization": f"Bearer {actors.credential}"}
    assert (await api.post("/gateways/self/report", json=report, headers=headers)).json() == {"known": 1}
    assert (await api.get(f"/devices/{device['id']}")).json()["activity"]["received"] == 7


async def test_a_gateway_leases_to_its_own_devices_only_and_is_not_told_of_others(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    other = (await api.post("/gateways", json={"name": "branch", "endpoint": "branch.example:1"})).json()
    await api.post("/pools", json={"gateway": other["id"], "network": "10.99.0.0/16"})
    body = {"name": "x", "public_key": key(), "gateway": actors.gateway, "on_lease": True}
    device = (await api.post("/devices", json=body)).json()
    mine = {"Authorization": f"Bearer {actors.credential}"}
    theirs = {"Authorization": f"Bearer {other['credential']}"}
    lease = {"public_key": device["public_key"], "ipv4": "10.88.0.9", "age": 0, "duration": 60}
    change = {"version": 0, "change": NOBODY, "leases": [lease]}
    assert (await api.post("/gateways/self/leases", json=change, headers=theirs)).status_code == 404
    granted = await api.post("/gateways/self/leases", json=change, headers=mine)
    assert granted.json() == {"version": 1}
    key_of = {"public_key": device["public_key"]}
    for wrong in (
        {"ended": [device["public_key"]]},
        {"quarantined": [{"address": "10.88.0.9", **key_of, "remaining": 60}]},
        {"freed": ["10.88.0.9"]},
        {"forgotten": [device["public_key"]]},
    ):
        version = (await api.get("/gateways/self/leases", headers=theirs)).json()["version"]
        body = {"version": version, "change": NOBODY.replace("8", str(version)), **wrong}
        await api.post("/gateways/self/leases", json=body, headers=theirs)
        assert (await api.get(f"/devices/{device['id']}")).json()["addresses"] == ["10.88.0.9"], wrong
    offer = {"old": device["public_key"], "new": key(), "remaining": 60}
    body = {"version": 4, "change": actors.gateway, "successions": [offer]}
    assert (await api.post("/gateways/self/leases", json=body, headers=theirs)).status_code == 404
    told = (await api.get("/gateways/self/leases", headers=theirs)).json()
    assert (told["version"], told["leases"]) == (4, [])


@pytest.mark.parametrize(
    "more",
    [
        {"version": -1},
        {"version": 2**63},
        {"change": "x" * 36},
        {"ended": ["x"]},
        {"ended": ["A" * 43 + "="] * 1001},
        {"leases": [{"public_key": "A" * 43 + "=", "ipv4": "10.88.0.9", "age": 0, "duration": 60}]},
        {"leases": [{"public_key": key(), "ipv4": "10.88.0.9", "age": 0, "duration": 0}]},
        {"leases": [{"public_key": key(), "ipv4": "fd88::9", "age": 0, "duration": 60}]},
        {"leases": [{"public_key": key(), "age": 0, "duration": 2**40}]},
        {"leases": [{"public_key": key(), "ipv4": "10.88.0.9", "age": 0, "duration": 60}] * 17},
        {"quarantined": [{"address": "10.88.0.9", "public_key": key(), "remaining": -1}]},
        {"successions": [{"old": key(), "new": key()}]},
        {"surprise": 1},
    ],
)
async def test_what_is_no_change_of_leases_is_refused(
    api: httpx2.AsyncClient, actors: Actors, more: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {actors.credential}"}
    body = {"version": 0, "change": NOBODY} | more
    assert (await api.post("/gateways/self/leases", json=body, headers=headers)).status_code == 422
    assert (await api.get("/gateways/self/leases", headers=headers)).json()["version"] == 0


async def test_a_disabled_user_is_let_in_again_only_by_who_may_all_that_it_may(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    """Its tokens are worth something again, as if its role were given anew."""
    path = f"/users/{actors.users['operator']}"
    await api.patch(path, json={"role": "admin"})
    await api.patch(path, json={"enabled": False})
    little = await narrow(api, "users:write", "users:read")
    assert (await api.patch(path, json={"enabled": True}, headers=little)).status_code == 403
    assert (await api.get("/devices", headers=actors.bearer("operator"))).status_code == 401
    # Nor with less of a role at once, which the token does not have either.
    both = {"enabled": True, "role": "operator"}
    assert (await api.patch(path, json=both, headers=little)).status_code == 403
    assert (await api.patch(path, json={"enabled": True})).json()["enabled"] is True


def test_admin_stands_for_all_that_the_role_has_and_no_more() -> None:
    assert granted(Role.MEMBER, [Scope.ADMIN]) == ROLES[Role.MEMBER]
    assert granted(Role.MEMBER, list(Scope)) == ROLES[Role.MEMBER]
    assert granted(Role.ADMIN, [Scope.DEVICES_READ]) == {Scope.DEVICES_READ}
