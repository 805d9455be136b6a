"""Files of other provisioners are read in the browser, and leave their private keys there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Error

from wirewright.keys import PresharedKey, SecretKey

from .browsing import Modules, chromium_running, static_served

pytestmark = pytest.mark.anyio
SERVER, PHONE, LAPTOP, NAS = (SecretKey.generate() for _ in range(4))
PRESHARED = PresharedKey.generate().expose()
WG_QUICK = f"""\
[Interface]
Address = 10.8.0.1/24
ListenPort = 51820
PrivateKey = {SERVER.expose()}
PostUp = iptables -A FORWARD -i %i -j ACCEPT

# phone
[Peer]
PublicKey = {PHONE.public_key}
PresharedKey = {PRESHARED}
AllowedIPs = 10.8.0.2/32, fd00:8::2/128

[Peer] # laptop
publickey={LAPTOP.public_key}
AllowedIPs = 10.8.0.3/32
AllowedIPs = 192.168.7.0/24

[Peer]
# Name = nas in the cellar
PublicKey = {NAS.public_key}
AllowedIPs = 10.8.0.4
PersistentKeepalive = 25
"""
# What version 14 keeps.
TIMES = {"createdAt": "2024-02-03T04:05:06.789Z", "updatedAt": "2024-02-03T04:05:06.789Z"}
WG_EASY = {
    "server": {
        "privateKey": SERVER.expose(),
        "publicKey": str(SERVER.public_key),
        "address": "10.8.0.1",
    },
    "clients": {
        "6f1d6a6e-2a3e-4f7e-8a0e-0d6c1c5b9a01": {
            "id": "6f1d6a6e-2a3e-4f7e-8a0e-0d6c1c5b9a01",
            "name": "phone",
            "address": "10.8.0.2",
            "privateKey": PHONE.expose(),
            "publicKey": str(PHONE.public_key),
            "preSharedKey": PRESHARED,
            "enabled": True,
            **TIMES,
        },
        "6f1d6a6e-2a3e-4f7e-8a0e-0d6c1c5b9a02": {
            "name": "laptop",
            "address": "10.8.0.3",
            "privateKey": LAPTOP.expose(),
            "enabled": False,
            **TIMES,
        },
    },
}


def device(name: str, key: SecretKey, *addresses: str, enabled: bool = True, preshared: bool = False) -> Any:
    return {
        "name": name,
        "publicKey": str(key.public_key),
        "addresses": list(addresses),
        "enabled": enabled,
        "hasPresharedKey": preshared,
    }


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def modules() -> AsyncIterator[Modules]:
    with static_served() as url:
        async with chromium_running() as browser:
            yield await Modules.opened(browser, url)


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
async def test_a_servers_file_gives_its_peers_by_name(modules: Modules, ends: str) -> None:
    found = await modules.call("importing", "readForeign", WG_QUICK.replace("\n", ends))
    assert found["kind"] == "wg-quick"
    assert found["serverPublicKey"] == str(SERVER.public_key)
    assert found["devices"] == [
        device("phone", PHONE, "10.8.0.2", "fd00:8::2", preshared=True),
        device("laptop", LAPTOP, "10.8.0.3"),
        device("nas in the cellar", NAS, "10.8.0.4"),
    ]


async def test_a_backup_of_wg_easy_gives_its_clients(modules: Modules) -> None:
    found = await modules.call("importing", "readForeign", json.dumps(WG_EASY))
    assert found["kind"] == "wg-easy"
    assert found["serverPublicKey"] == str(SERVER.public_key)
    assert found["devices"] == [
        device("phone", PHONE, "10.8.0.2", preshared=True),
        # Its public key is not there: it is made of the private one.
        device("laptop", LAPTOP, "10.8.0.3", enabled=False),
    ]


@pytest.mark.parametrize("text", [WG_QUICK, json.dumps(WG_EASY)], ids=["wg-quick", "wg-easy"])
async def test_what_is_read_holds_no_secret(modules: Modules, text: str) -> None:
    found = json.dumps(await modules.call("importing", "readForeign", text))
    secrets = [SERVER.expose(), PHONE.expose(), LAPTOP.expose(), PRESHARED]
    assert [secret for secret in secrets if secret in text]
    assert [secret for secret in secrets if secret in found] == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no peer in this file"),
        ("[Interface]\nListenPort = 1\n", "there is no peer in this file"),
        ("hello", "line 1 is not of a wg-quick file"),
        ("[Peer]\n\nnonsense\n", "line 3 is not of a wg-quick file"),
        ("{", "this is no JSON"),
        ("{}", "this is no backup of wg-easy: it has no clients"),
        ('{"clients": {}}', "there is no peer in this file"),
        ('{"clients": {"a": {"name": "x"}}}', "a client in this file has no key"),
        ('{"clients": {"a": null}}', "a client in this file is none"),
        ('{"clients": [3]}', "a client in this file is none"),
        ('{"clients": {"a": {"privateKey": 7}}}', "a client in this file has no key"),
    ],
)
async def test_what_is_wrong_with_a_file_is_said(modules: Modules, text: str, complaint: str) -> None:
    with pytest.raises(Error, match=complaint):
        await modules.call("importing", "readForeign", text)


@pytest.mark.parametrize(
    ("remark", "name"),
    [
        ("# Client: phone (6f1d6a6e-2a3e-4f7e-8a0e-0d6c1c5b9a01)", "phone"),
        ("### begin phone ###", "phone"),
        ("### Client phone", "phone"),
        ("# friendly_name = Anna's phone", "Anna's phone"),
        ("# Clientele", "Clientele"),
        ("#", "device 1"),
        (f"# {'x' * 100}", "x" * 64),
    ],
)
async def test_names_stand_in_comments_of_many_kinds(modules: Modules, remark: str, name: str) -> None:
    text = f"[Interface]\nListenPort = 1\n\n{remark}\n[Peer]\nPublicKey = {NAS.public_key}\n"
    found = await modules.call("importing", "readForeign", text)
    assert found["devices"] == [device(name, NAS)]


@pytest.mark.parametrize(
    "wrong",
    [
        f"[Interface]\n{PHONE.expose()}\n",
        f'{{"server": {{"privateKey": "{PHONE.expose()}" "x"',
        f'{{"clients": {{"a": {{"privateKey": "{PHONE.expose()}x"}}}}}}',
    ],
    ids=["wg-quick", "no JSON", "no key"],
)
async def test_what_is_said_of_a_wrong_file_shows_no_key(modules: Modules, wrong: str) -> None:
    with pytest.raises(Error, match=r"wg-quick file|this is no JSON|has no key|no peer") as caught:
        await modules.call("importing", "readForeign", wrong)
    assert PHONE.expose()[:20] not in str(caught.value)
