"""A provider of identities (OpenID Connect Core 1.0, Discovery 1.0): what is asked, and what is believed.

Its description and its keys come from its issuer's address, over TLS, or from this machine. A token that it
gives is believed if one of those keys signed it, with an algorithm of public keys, for us, for this login
(the nonce), now.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import quote_plus, urlsplit

import httpx2
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from wirewright.client.access import is_loopback
from wirewright.coordinator.clock import MINUTE, SECOND
from wirewright.coordinator.errors import CoordinatorError

KEPT: Final = 60 * MINUTE
"""For which the provider's description and keys are kept."""
_AGAIN: Final = MINUTE
"""Between two looks for a key that is not among them."""
_REST: Final = 5 * SECOND
"""After a description that was not to be had."""
_PATIENCE: Final = 10.0
"""Seconds for an answer."""
_LARGEST: Final = 256 * 1024
"""Bytes of an answer."""
_LEEWAY: Final = 60
"""Seconds by which the two clocks may differ."""
_SCOPE: Final = "openid profile email"
_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""None with a shared secret, and none without a signature."""


class ProviderError(CoordinatorError):
    """The provider cannot be asked, or does not answer as one does."""

    status: ClassVar[int] = 502
    kind: ClassVar[str] = "provider"
    title: ClassVar[str] = "The provider of identities cannot be used now"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A provider, what we are there, and who of those it knows may come."""

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    """``None`` for a public client."""
    name: str = "a provider of identities"
    """What people call it."""
    domains: frozenset[str] = frozenset()
    """Whoever has a verified e-mail address in one of these may come, as a member."""
    claims: frozenset[tuple[str, str]] = frozenset()
    """And whoever has one of these claims with this value, or with it among several."""


def checked_issuer(url: str) -> None:
    """Raise `ValueError` for an issuer that may not be asked."""
    try:
        _checked(url, "issuer")
    except ProviderError as error:
        raise ValueError(str(error)) from None


def rules(allowed: Iterable[str]) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Return the domains and the claims of rules as people write them; raise `ValueError` for what is none.

    ``email=@office.example`` is whoever has a verified address there, ``groups=vpn`` whoever has that claim.
    """
    domains, claims = set(), set()
    for text in allowed:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not name or not equals or not value or value == "@":
            raise ValueError(f"{text!r} is no CLAIM=VALUE, such as email=@office.example or groups=vpn")
        if name == "email" and value.startswith("@"):
            domains.add(value[1:].lower())
        elif name == "email":
            raise ValueError("an address is let in by its domain: email=@office.example")
        else:
            claims.add((name, value))
    return frozenset(domains), frozenset(claims)


@dataclass(frozen=True, slots=True)
class Asking:
    """One login at a provider: what only we and the provider, or only we, know of it."""

    redirect_uri: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    """Of PKCE (RFC 7636)."""


class Provider:
    """A client of one provider. Times are arguments, in microseconds since 1970."""

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """Prepare; nothing is asked yet. ``transport`` takes the place of connections, for tests."""
        self.settings = settings
        _checked(settings.issuer, "issuer")
        self._transport = transport
        self._turn = asyncio.Lock()
        self._description: dict[str, Any] = {}
        self._keys: list[jwk.Key] = []
        self._described_at = self._looked_at = self._failed_at = -KEPT

    async def address(self, asking: Asking, state: str, now: int) -> str:
        """Return where to send a browser."""
        found = await self._described(now)
        address: str = prepare_grant_uri(
            _checked(found.get("authorization_endpoint"), "authorization_endpoint"),
            self.settings.client_id,
            "code",
            asking.redirect_uri,
            _SCOPE,
            state,
            nonce=asking.nonce,
            code_challenge=create_s256_code_challenge(asking.verifier),
            code_challenge_method="S256",
        )
        return address

    async def is_from(self, issuer: str | None, now: int) -> bool:
        """Whether an answer that names ``issuer`` is this provider's (RFC 9207)."""
        found = await self._described(now)
        if issuer is None:
            return found.get("authorization_response_iss_parameter_supported") is not True
        return issuer == self.settings.issuer

    async def claims(self, code: str, asking: Asking, now: int) -> dict[str, Any]:
        """Return what the provider says of whoever brought ``code``; ``sub`` is their name there."""
        found = await self._described(now)
        given = await self._exchange(found, code, asking)
        token, access = given.get("id_token"), given.get("access_token")
        if not isinstance(token, str):
            raise ProviderError("The provider gave no identity.")
        try:
            claims = await self._verified(token, access, asking.nonce, now)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProviderError(
                f"What the provider said is not to be believed ({type(error).__name__})."
            ) from None
        if "email" not in claims and isinstance(access, str) and "userinfo_endpoint" in found:
            more = await self._ask("userinfo_endpoint", found, headers={"Authorization": f"Bearer {access}"})
            if more.get("sub") != claims["sub"]:
                raise ProviderError("The provider told of somebody else.")
            claims = more | claims
        return claims

    async def _verified(self, token: str, access: object, nonce: str, now: int) -> dict[str, Any]:
        kid = jws.extract_compact(token.encode()).headers().get("kid")
        key = await self._key(kid, now)
        read = jwt.decode(token, key, algorithms=list(_ALGORITHMS))
        settings = self.settings
        wanted = {
            "iss": {"essential": True, "value": settings.issuer},
            "aud": {"essential": True, "value": settings.client_id},
        }
        known = {"nonce": nonce, "client_id": settings.client_id, "access_token": access}
        claims = CodeIDToken(read.claims, read.header, wanted, known)
        claims.validate(now=now // SECOND, leeway=_LEEWAY)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
            raise ValueError(subject)
        return dict(claims)

    async def _key(self, kid: object, now: int) -> jwk.Key:
        for is_last in (False, True):
            await self._described(now)
            found = [key for key in self._keys if kid is None or key.kid == kid]
            if len(found) == 1:
                return found[0]
            if is_last or now - self._looked_at < _AGAIN:
                break
            # Providers change their keys now and then.
            self._described_at = now - KEPT
        raise ProviderError("The provider signed with a key that it does not tell of.")

    async def _described(self, now: int) -> dict[str, Any]:
        async with self._turn:
            if now - self._described_at < KEPT:
                return self._description
            if now - self._failed_at < _REST:
                raise ProviderError("The provider was away a moment ago; come again in a few seconds.")
            # Who waits for their turn meanwhile need not find out each by themselves.
            self._failed_at = now
            issuer = self.settings.issuer
            found = await self._ask("issuer", {"issuer": get_well_known_url(issuer, external=True)})
            if found.get("issuer") != issuer:
                raise ProviderError(f"What is at {issuer} calls itself otherwise.")
            self._keys = _readable(await self._ask("jwks_uri", found))
            self._description, self._described_at, self._looked_at = found, now, now
            self._failed_at = -KEPT
            return found

    async def _exchange(self, found: dict[str, Any], code: str, asking: Asking) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asking.redirect_uri,
            "code_verifier": asking.verifier,
        }
        client, secret = self.settings.client_id, self.settings.client_secret
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret is not None and "client_secret_basic" in methods:
            auth = httpx2.BasicAuth(_form(client), _form(secret))
            return await self._ask("token_endpoint", found, form=form, auth=auth)
        form["client_id"] = client
        if secret is not None:
            form["client_secret"] = secret
        return await self._ask("token_endpoint", found, form=form)

    async def _ask(
        self,
        what: str,
        found: Mapping[str, Any],
        *,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        auth: httpx2.Auth | None = None,
    ) -> dict[str, Any]:
        """Ask one of the provider's addresses for JSON."""
        url = _checked(found.get(what), what)
        host = urlsplit(url).hostname or ""
        accept = {"Accept": "application/json"} | (headers or {})
        content = b""
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                httpx2.AsyncClient(
                    timeout=_PATIENCE, transport=self._transport, trust_env=not is_loopback(host)
                ) as client,
                client.stream("POST" if form else "GET", url, data=form, headers=accept, auth=auth) as answer,
            ):
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > _LARGEST:
                        raise ProviderError("The provider's answer is too long.")
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            raise ProviderError(
                f"The provider at {host} cannot be reached: {type(error).__name__}."
            ) from None
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            data = None
        if answer.status_code != 200 or not isinstance(data, dict):
            raise ProviderError(f"The provider at {host} answered {answer.status_code} where it should not.")
        return data


def _readable(keys: dict[str, Any]) -> list[jwk.Key]:
    """Return the public keys for signatures of a set (RFC 7517); kinds that we do not know are left out."""
    found: list[jwk.Key] = []
    for each in keys.get("keys", [])[:64] if isinstance(keys.get("keys"), list) else []:
        if isinstance(each, dict) and each.get("kty") in {"RSA", "EC", "OKP"} and each.get("use") != "enc":
            try:
                found.append(jwk.import_key(each))
            except (JoseError, ValueError, TypeError, KeyError):
                continue
    return found


def _checked(url: object, what: str) -> str:
    """Return an address that may be asked: by TLS, or on this machine."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise ProviderError(f"The provider's {what} is no address that begins with https://.")
    return str(url)


def _form(text: str) -> str:
    """Return a text as RFC 6749, section 2.3.1, has names and secrets in Basic authentication."""
    return quote_plus(text)
