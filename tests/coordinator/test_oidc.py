"""Logging in at a real provider of identities, and what a false one is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from joserfc import jwk, jwt

from tests.conftest import missing
from wirewright.coordinator.clock import MINUTE, SECOND, wall_clock
from wirewright.coordinator.errors import ConflictError, CoordinatorError, ForbiddenError, NotFoundError
from wirewright.coordinator.login import oidc, sessions, setup
from wirewright.coordinator.login.oidc import Returned
from wirewright.coordinator.login.provider import KEPT, Asking, Provider, ProviderError, ProviderSettings
from wirewright.coordinator.login.signing_in import WrongError
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import SYSTEM

from .oidc import PUBLIC, REMEDY, ROOT, logged_in_there, ours, provider
from .visiting import BROWSER, give_second_factor, logged_in, visitor, whole

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Storage

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio

VISIT = "the visit's cookie"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as found:
        if found is None:
            missing("oidc-provider", REMEDY)
        yield found


@pytest.fixture(autouse=True)
def today(clock: Clock) -> None:
    """The provider has the system's time."""
    clock.now = wall_clock()


async def come(
    storage: Storage, there: Provider, account: str, caller: Caller | None = None, to: str = "/devices"
) -> Returned:
    address = await oidc.begin(storage, there, ROOT, VISIT, to, caller)
    answer = await logged_in_there(address, account)
    return await oidc.finish(storage, there, VISIT, answer, BROWSER, caller)


async def names(storage: Storage) -> set[str]:
    return {user.name for user in (await storage.read(users.listed, None, 200)).items}


async def test_a_newcomer_whom_a_rule_lets_in_is_a_member_and_the_same_one_later(
    storage: Storage, actors: Actors, issuer: str
) -> None:
    there = ours(issuer)
    first = await come(storage, there, "anna", to="/devices?page=2")
    assert first.to == "/devices?page=2"
    assert first.entered is not None
    found = await visitor(storage, first.entered.secret.expose())
    assert (found.user.name, found.user.role, found.session.by) == ("anna", "member", "provider")
    # No member who can log in ends the first start of an administrator.
    assert not await storage.read(setup.is_first)
    assert await storage.read(setup.is_needed)
    again = await come(storage, there, "anna")
    assert again.entered is not None
    assert (await visitor(storage, again.entered.secret.expose())).user.id == found.user.id
    assert [each.subject for each in await storage.read(oidc.listed, found.user.id)] == ["anna"]
    lines = (await storage.read(audit.entries, None, 200, subject=found.user.id)).items
    told = sorted((line.actor, line.action) for line in lines)
    assert told == [
        ("coordinator", "identity.add"),
        ("coordinator", "user.create"),
        ("user anna", "login"),
        ("user anna", "login"),
    ]
    # Another rule: a claim with the value among others. The name is made of what there is.
    grouped = await come(storage, there, "grouped")
    assert grouped.entered is not None
    assert (await visitor(storage, grouped.entered.secret.expose())).user.name == "Gr-fin-Dora"


async def test_nobody_else_comes_and_by_default_nobody_at_all(
    storage: Storage, actors: Actors, issuer: str
) -> None:
    before = await names(storage)
    for account in ("unverified", "foreign"):
        with pytest.raises(ForbiddenError, match="nobody has let you in"):
            await come(storage, ours(issuer), account)
    with pytest.raises(ForbiddenError):
        await come(storage, ours(issuer, domains=frozenset(), claims=frozenset()), "anna")
    assert await names(storage) == before


async def test_a_name_or_an_address_makes_nobody_the_one_who_has_it_here(
    storage: Storage, actors: Actors, issuer: str
) -> None:
    come_in = await come(storage, ours(issuer), "admin")
    assert come_in.entered is not None
    found = await visitor(storage, come_in.entered.secret.expose())
    assert (found.user.name, found.user.role) == ("admin-2", "member")
    assert found.user.id != actors.users["admin"]


async def test_a_public_client_proves_itself_by_the_code_verifier(
    storage: Storage, actors: Actors, issuer: str
) -> None:
    there = ours(issuer, client_id=PUBLIC["client_id"], client_secret=None)
    assert (await come(storage, there, "anna")).entered is not None
    with pytest.raises(ProviderError):
        await come(storage, ours(issuer, client_secret="another"), "anna")


async def test_who_is_logged_in_adds_who_they_are_there(
    storage: Storage, actors: Actors, issuer: str
) -> None:
    there = ours(issuer, domains=frozenset())
    operator = await whole(storage, actors.users["operator"])
    assert (await come(storage, there, "foreign", operator, "/account")) == Returned(None, "/account")
    entered = (await come(storage, there, "foreign")).entered
    assert entered is not None
    assert (await visitor(storage, entered.secret.expose())).user.id == actors.users["operator"]
    with pytest.raises(ConflictError, match="somebody's already"):
        await come(storage, there, "foreign", await whole(storage, actors.users["member"]))
    # Begun by one, it is finished by nobody else.
    address = await oidc.begin(storage, there, ROOT, VISIT, "/", operator)
    answer = await logged_in_there(address, "anna")
    with pytest.raises(WrongError):
        await oidc.finish(
            storage, there, VISIT, answer, BROWSER, await whole(storage, actors.users["member"])
        )
    cookie = await logged_in(storage, actors.users["operator"])
    with pytest.raises(ForbiddenError):
        await storage.write(
            oidc.remove_all, await whole(storage, actors.users["member"]), actors.users["operator"]
        )
    await storage.write(oidc.remove_all, operator, actors.users["operator"])
    for gone in (storage.read(sessions.authenticate, cookie, ""), come(storage, there, "foreign")):
        with pytest.raises(CoordinatorError):
            await gone
    with pytest.raises(NotFoundError):
        await storage.write(oidc.remove_all, operator, actors.users["operator"])


async def test_an_answer_is_good_once_soon_and_in_the_browser_that_asked(
    storage: Storage, actors: Actors, issuer: str, clock: Clock
) -> None:
    there = ours(issuer)

    async def answer() -> dict[str, str]:
        return await logged_in_there(await oidc.begin(storage, there, ROOT, VISIT, "/"), "anna")

    async def is_in(given: Mapping[str, str], visit: str = VISIT) -> bool:
        try:
            return (await oidc.finish(storage, there, visit, given, BROWSER)).entered is not None
        except (WrongError, ProviderError):
            return False

    good = await answer()
    assert await is_in(good)
    assert not await is_in(good)
    # Another's answer in this browser (a login as somebody else, by an address), and this one's elsewhere.
    assert not await is_in(await answer(), "another visit")
    assert not await is_in((await answer()) | {"state": "x" * 43})
    assert not await is_in({key: value for key, value in (await answer()).items() if key != "state"})
    assert not await is_in((await answer()) | {"iss": "https://evil.example"})
    assert not await is_in({key: value for key, value in (await answer()).items() if key != "iss"})
    assert not await is_in((await answer()) | {"code": "x"})
    assert not await is_in((await answer()) | {"error": "access_denied"})
    # A code of one login is none for another, whose verifier is another.
    assert not await is_in((await answer()) | {"code": (await answer())["code"]})
    late = await answer()
    clock.now += 5 * MINUTE
    assert not await is_in(late)


async def test_a_second_factor_of_ours_is_wanted_here_too_and_who_is_disabled_is_not_let_in(
    storage: Storage, actors: Actors, issuer: str
) -> None:
    there = ours(issuer)
    member = await whole(storage, actors.users["member"])
    await come(storage, there, "foreign", member)
    await give_second_factor(storage, actors.users["member"])
    entered = (await come(storage, there, "foreign")).entered
    assert entered is not None
    assert not entered.is_whole
    await storage.write(users.update, SYSTEM, actors.users["member"], enabled=False)
    with pytest.raises(ForbiddenError, match="disabled"):
        await come(storage, there, "foreign")


# A provider that lies. No sockets: its answers are made here.

ISSUER = "https://id.example"
ASKING = Asking(f"{ROOT}{oidc.CALLBACK}", "the nonce", "v" * 43)
KEY = jwk.generate_key("RSA", 2048, {"kid": "one"})
OTHER = jwk.generate_key("RSA", 2048, {"kid": "one"})
SECRET = jwk.import_key({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "one"})
NOW = 1_800_000_000


class Liar:
    """Answers as the fields say."""

    def __init__(self, **more: Any) -> None:
        self.key: Any = KEY
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "anna",
            "aud": "wirewright",
            "nonce": "the nonce",
            "iat": NOW,
            "exp": NOW + 300,
            "email": "anna@office.example",
        }
        self.description: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }
        self.keys: Any = {"keys": [KEY.as_dict(private=False), {"kty": "new kind"}, "x"]}
        self.token: str | None = None
        self.asked: list[str] = []
        self.answer: httpx2.Response | None = None
        for name, value in more.items():
            setattr(self, name, {**getattr(self, name), **value} if isinstance(value, dict) else value)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked.append(path)
        if self.answer is not None:
            return self.answer
        if path == "/.well-known/openid-configuration":
            return httpx2.Response(200, json=self.description)
        if path == "/keys":
            return httpx2.Response(200, json=self.keys)
        assert path == "/token"
        return httpx2.Response(200, json={"id_token": self.token or self.signed(), "access_token": "x"})

    def signed(self) -> str:
        claims = {name: value for name, value in self.claims.items() if value is not None}
        return jwt.encode(self.header, claims, self.key, algorithms=["RS256", "HS256", "none"])

    def provider(self) -> Provider:
        settings = ProviderSettings(ISSUER, "wirewright", "secret")
        return Provider(settings, transport=httpx2.MockTransport(self))

    async def told(self, now: int = NOW) -> dict[str, Any]:
        return await self.provider().claims("code", ASKING, now * SECOND)


async def test_a_token_that_is_in_order_is_believed() -> None:
    assert (await Liar().told())["sub"] == "anna"
    assert (await Liar(claims={"aud": ["wirewright", "x"], "azp": "wirewright"}).told())["sub"] == "anna"
    assert (await Liar(header={"kid": "one"}).told(NOW + 350))["sub"] == "anna"


@pytest.mark.parametrize(
    "more",
    [
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"iss": None}},
        {"claims": {"aud": "another"}},
        {"claims": {"aud": ["another", "more"]}},
        {"claims": {"aud": ["wirewright", "another"], "azp": "another"}},
        {"claims": {"aud": "another", "azp": "wirewright"}},
        {"claims": {"aud": None}},
        {"claims": {"nonce": "another"}},
        {"claims": {"nonce": None}},
        {"claims": {"exp": NOW - 61}},
        {"claims": {"exp": None}},
        {"claims": {"exp": "tomorrow"}},
        {"claims": {"iat": NOW + 3600}},
        {"claims": {"sub": None}},
        {"claims": {"sub": ""}},
        {"claims": {"sub": 7}},
        {"claims": {"sub": "x" * 256}},
        {"claims": {"sub": "a\0b"}},
        {"key": OTHER},
        {"key": SECRET, "header": {"alg": "HS256", "kid": "one"}},
        {"key": SECRET, "header": {"alg": "HS256"}, "keys": {"keys": [SECRET.as_dict()]}},
        {"header": {"kid": "two"}},
        {"keys": {"keys": []}},
        {"keys": {"keys": None}},
        {"token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."},
        {"token": "nonsense"},
        {"token": "a.b.c"},
        {"description": {"issuer": "https://evil.example"}},
        {"description": {"token_endpoint": "http://id.example/token"}},
        {"description": {"jwks_uri": "file:///etc/passwd"}},
        {"description": {"token_endpoint": None}},
        {"answer": httpx2.Response(200, content=b"x" * 300_000)},
        {"answer": httpx2.Response(200, content=b"[" * 200_000)},
        {"answer": httpx2.Response(302, headers={"location": "http://127.0.0.1/"})},
        {"answer": httpx2.Response(500, json={})},
    ],
)
async def test_anything_else_is_not(more: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as told:
        await Liar(**more).told()
    assert "secret" not in str(told.value)


async def test_what_the_provider_says_of_itself_is_kept_and_new_keys_are_looked_for_now_and_then() -> None:
    false = Liar()
    there = false.provider()
    now = NOW * SECOND
    for _ in range(3):
        await there.claims("code", ASKING, now)
    assert false.asked.count("/keys") == 1
    false.keys, false.key = {"keys": [OTHER.as_dict(private=False) | {"kid": "two"}]}, OTHER
    false.header = {"alg": "RS256", "kid": "two"}
    # Whoever makes many logins with unknown keys has us ask once a minute.
    for _ in range(3):
        with pytest.raises(ProviderError):
            await there.claims("code", ASKING, now)
    assert false.asked.count("/keys") == 1
    assert (await there.claims("code", ASKING, now + MINUTE))["sub"] == "anna"
    assert false.asked.count("/keys") == 2
    await asyncio.gather(*(there.address(ASKING, "state", now + 2 * KEPT) for _ in range(5)))
    assert false.asked.count("/keys") == 3


async def test_a_provider_that_is_away_is_asked_again_after_some_seconds_and_not_by_each_who_waits() -> None:
    away = Liar(answer=httpx2.Response(503, json={}))
    there, now = away.provider(), NOW * SECOND
    done = await asyncio.gather(
        *(there.address(ASKING, "state", now) for _ in range(5)), return_exceptions=True
    )
    assert [type(each) for each in done] == [ProviderError] * 5
    assert len(away.asked) == 1
    away.answer = None
    with pytest.raises(ProviderError, match="a moment ago"):
        await there.address(ASKING, "state", now + 4 * SECOND)
    assert (await there.address(ASKING, "state", now + 5 * SECOND)).startswith(f"{ISSUER}/authorize?")


async def test_a_provider_is_asked_by_tls_or_on_this_machine_only() -> None:
    for address in ("http://id.example", "ftp://id.example", "", "id.example", "http://192.0.2.7"):
        with pytest.raises(ProviderError):
            Provider(ProviderSettings(address, "wirewright"))
    Provider(ProviderSettings("http://127.0.0.1:8080", "wirewright"))
    assert "hidden" not in repr(ProviderSettings(ISSUER, "wirewright", "hidden"))
