"""A real provider of identities, and a browser that logs in there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
from install_oidc_provider import folder

from wirewright.coordinator.login.provider import Provider, ProviderSettings

ROOT = "https://vpn.example"
REMEDY = "python scripts/install_oidc_provider.py (it takes Node.js with npm)"
CLIENT = {
    "client_id": "wirewright",
    "client_secret": "a secret with spaces & signs: %+/",
    "redirect_uris": [f"{ROOT}/login/oidc/callback"],
}
PUBLIC = {
    "client_id": "public",
    "token_endpoint_auth_method": "none",
    "redirect_uris": [f"{ROOT}/login/oidc/callback"],
}
ACCOUNTS: dict[str, dict[str, Any]] = {
    "anna": {"preferred_username": "anna", "email": "anna@office.example", "email_verified": True},
    "unverified": {"email": "eve@office.example", "email_verified": False},
    "foreign": {"email": "bert@elsewhere.example", "email_verified": True},
    "grouped": {"name": "Gräfin Dora", "groups": ["staff", "vpn"]},
    "admin": {"preferred_username": "admin", "email": "admin@office.example", "email_verified": True},
}


@contextmanager
def provider() -> Iterator[str | None]:
    """Run a provider; give its issuer, or ``None`` where there is none."""
    node = shutil.which("node")
    if node is None or not folder().is_dir():
        yield None
        return
    script = Path(__file__).with_name("oidc_provider.mjs")
    said = json.dumps({"clients": [CLIENT, PUBLIC], "accounts": ACCOUNTS})
    process = subprocess.Popen(
        [node, str(script), str(folder()), said],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def ours(issuer: str, **more: Any) -> Provider:
    """What we are there, with rules of who may come."""
    rules = {"domains": frozenset({"office.example"}), "claims": frozenset({("groups", "vpn")})}
    client = {"client_id": CLIENT["client_id"], "client_secret": CLIENT["client_secret"]}
    return Provider(ProviderSettings(issuer, **(client | rules | more)))


async def logged_in_there(address: str, account: str) -> dict[str, str]:
    """Log in at the provider as a browser does; return what it sends the browser back with."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.get(address)
        for _ in range(20):
            if answer.is_redirect:
                target = urljoin(str(answer.url), answer.headers["location"])
                if target.startswith(ROOT):
                    return dict(parse_qsl(urlsplit(target).query))
                answer = await client.get(target)
                continue
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            assert form, answer.text
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert prompt
            fields = {"prompt": prompt[1], "login": account, "password": "any"}
            answer = await client.post(urljoin(str(answer.url), unescape(form[1])), data=fields)
    raise AssertionError("the provider never sent the browser back")
