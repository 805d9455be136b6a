"""What the page's modules make in a browser is what our own code, and other people's, reads."""

from __future__ import annotations

import io
import os
import plistlib
import zipfile
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Error

from wirewright.client import proof, tunnels
from wirewright.config import Config
from wirewright.keys import PresharedKey, SecretKey

from .browsing import Modules, chromium_running, static_served
from .visiting import PHONE

pytestmark = pytest.mark.anyio
GATEWAY = SecretKey.generate().public_key
PAIRS = 200
TUNNEL = {
    "addresses": ["10.88.0.7/32", "fd00:88::7/128"],
    "gateway_public_key": str(GATEWAY),
    "endpoint": "vpn.example.org:51820",
    "dns": ["10.88.0.1", "fd00:88::1"],
    "mtu": 1380,
    "pools": ["10.88.0.0/24", "fd00:88::/64"],
}
TUNNELS = {
    "both families": TUNNEL,
    "one family": TUNNEL | {"addresses": ["10.88.0.7/32"], "dns": [], "mtu": None},
    "the other family": TUNNEL | {"addresses": ["fd00:88::7/128"], "endpoint": "[2001:db8::1]:443"},
    "addresses that are leased": TUNNEL | {"addresses": []},
}
KEY_PAIRS = """async ([count, forced]) => {
    const keys = await import('/js/keys.js');
    keys.forceFallback(forced);
    const made = [];
    for (let index = 0; index < count; index += 1) made.push(await keys.generateKeyPair());
    const used = await keys.usesFallback();
    keys.forceFallback(false);
    return {made, used};
}"""
PUBLIC_KEYS = """async ([privateKeys, forced]) => {
    const keys = await import('/js/keys.js');
    keys.forceFallback(forced);
    const found = await Promise.all(privateKeys.map(keys.publicKeyOf));
    keys.forceFallback(false);
    return found;
}"""
PROOF = """async ([said, forced]) => {
    const keys = await import('/js/keys.js');
    const proof = await import('/js/proof.js');
    keys.forceFallback(forced);
    try { return await proof.enrolmentProof(said); } finally { keys.forceFallback(false); }
}"""
ARCHIVE = "async (files) => [...(await import('/js/archive.js')).archive(files)]"
SHOW_QR = """async (text) => {
    const svg = (await import('/js/qr.js')).qr(text);
    document.body.replaceChildren(svg);
    const [role, label] = ['role', 'aria-label'].map((name) => svg.getAttribute(name));
    const { width } = svg.viewBox.baseVal;
    const dark = svg.firstElementChild.getBBox();
    const quiet = [dark.x, dark.y, width - dark.x - dark.width, width - dark.y - dark.height];
    return {role, label, paths: svg.children.length, quiet};
}"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def modules() -> AsyncIterator[Modules]:
    """One browser for all: modules keep nothing that another test would see."""
    with static_served() as url:
        async with chromium_running() as browser:
            yield await Modules.opened(browser, url)


@pytest.mark.parametrize("forced", [False, True], ids=["WebCrypto", "library"])
async def test_keys_made_in_the_browser_are_keys_of_ours(modules: Modules, forced: bool) -> None:
    found = await modules.page.evaluate(KEY_PAIRS, [PAIRS, forced])
    assert found["used"] is forced
    assert len({pair["privateKey"] for pair in found["made"]}) == PAIRS
    for pair in found["made"]:
        raw = b64decode(pair["privateKey"])
        assert (raw[0] & 7, raw[31] & 192) == (0, 64)
        assert str(SecretKey.from_base64(pair["privateKey"]).public_key) == pair["publicKey"]


@pytest.mark.parametrize("forced", [False, True], ids=["WebCrypto", "library"])
async def test_public_keys_are_the_same_as_ours(modules: Modules, forced: bool) -> None:
    # Not clamped, as another program may have written it.
    raw = [os.urandom(32) for _ in range(PAIRS)]
    keys = [SecretKey.from_buffer(each) for each in raw]
    asked = [PresharedKey.from_buffer(each).expose() for each in raw]
    found = await modules.page.evaluate(PUBLIC_KEYS, [asked, forced])
    assert found == [str(key.public_key) for key in keys]


@pytest.mark.parametrize("text", ["", "AAAA", "no base64 at all", "A" * 88], ids=repr)
async def test_what_is_no_private_key_has_no_public_one(modules: Modules, text: str) -> None:
    with pytest.raises(Error, match=r"32 bytes|not correctly encoded"):
        await modules.call("keys", "publicKeyOf", text)


@pytest.mark.parametrize("name", TUNNELS)
async def test_a_configuration_is_what_the_command_writes(
    modules: Modules, tmp_path: Path, name: str
) -> None:
    key = SecretKey.generate()
    text = await modules.call("configuration", "configuration", TUNNELS[name], key.expose())
    assert "MTU = None" not in text
    read = Config.loads(text)
    expected = tunnels.configuration(TUNNELS[name], key, [tunnels.EVERYTHING])
    assert read == expected
    path = tmp_path / "written.conf"
    expected.write(path)
    assert meant(text) == meant(path.read_text())


async def test_without_a_gateways_key_there_is_no_configuration(modules: Modules) -> None:
    with pytest.raises(Error, match="the gateway has never run"):
        await modules.call("configuration", "configuration", TUNNEL | {"gateway_public_key": None}, "")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("laptop", "laptop"),
        ("Anna's phone", "Anna-s-phone"),
        ("printer in the hall with a long name", "printer-in-the"),
        ("../../etc/passwd", "etc-passwd"),
        ("Größe\r\nX: y", "Gro-e-X-y"),
        ("電話", "wirewright"),
        ("...", "wirewright"),
        ("a" * 64, "a" * 15),
    ],
)
async def test_a_name_becomes_one_that_apps_and_linux_take(modules: Modules, name: str, file: str) -> None:
    found = await modules.call("configuration", "fileName", name)
    assert found == file or (name.startswith("Gr") and found.isascii() and len(found) <= 15)


async def test_a_qr_code_is_read_from_the_screen_of_a_phone(modules: Modules) -> None:
    text = await modules.call("configuration", "configuration", TUNNEL, SecretKey.generate().expose())
    assert await photographed(modules, text) == text


async def test_a_qr_code_holds_a_longer_configuration_than_any_of_ours(modules: Modules) -> None:
    text = "AllowedIPs = " + ", ".join(f"10.{index}.0.0/16" for index in range(100))
    assert await photographed(modules, text) == text


async def test_what_is_too_long_for_a_qr_code_is_said(modules: Modules) -> None:
    with pytest.raises(Error, match="too long for a QR code"):
        await modules.page.evaluate(SHOW_QR, "x" * 3000)


async def test_a_zip_is_read_by_others(modules: Modules) -> None:
    files = [{"name": "phone.conf", "text": "[Interface]\n"}, {"name": "b.conf", "text": "# größer\n" * 500}]
    content = bytes(await modules.page.evaluate(ARCHIVE, files))
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None
        assert [{"name": each, "text": found.read(each).decode()} for each in found.namelist()] == files


@pytest.mark.parametrize("app", ["ios", "macos"])
async def test_a_profile_for_apple_has_what_the_app_takes(modules: Modules, app: str) -> None:
    text = await modules.call("configuration", "configuration", TUNNEL, SecretKey.generate().expose())
    name = 'Anna & <Bert>\'s "phone"'
    profile = plistlib.loads(
        (await modules.call("mobileconfig", "mobileConfiguration", name, text, app)).encode()
    )
    (payload,) = profile["PayloadContent"]
    assert (profile["PayloadType"], profile["PayloadVersion"]) == ("Configuration", 1)
    assert profile["PayloadDisplayName"] == f"WireGuard: {name}"
    assert (payload["PayloadType"], payload["PayloadVersion"]) == ("com.apple.vpn.managed", 1)
    assert (payload["VPNType"], payload["VPNSubType"]) == ("VPN", f"com.wireguard.{app}")
    assert payload["UserDefinedName"] == name
    assert payload["VendorConfig"] == {"WgQuickConfig": text}
    assert payload["VPN"] == {
        "RemoteAddress": "vpn.example.org:51820",
        "AuthenticationMethod": "Password",
    }
    identifiers = [profile["PayloadUUID"], payload["PayloadUUID"]]
    identifiers += [profile["PayloadIdentifier"], payload["PayloadIdentifier"]]
    assert len(set(identifiers)) == 4


@pytest.mark.parametrize("forced", [False, True], ids=["WebCrypto", "library"])
@pytest.mark.parametrize("name", ["phone", 'Größe "x" \\ / \u2028 電話 😀 <b>\x7f'], ids=["plain", "strange"])
async def test_a_proof_is_what_the_coordinator_checks(modules: Modules, name: str, forced: bool) -> None:
    own, coordinator, public_id = SecretKey.generate(), SecretKey.generate(), "a" * 16
    keys = {"privateKey": own.expose(), "publicKey": str(own.public_key)}
    asked = {
        "keys": keys,
        "coordinator": str(coordinator.public_key),
        "invitation": public_id,
        "name": name,
    }
    made = b64decode(await modules.page.evaluate(PROOF, [asked, forced]))
    said = proof.message(public_id, own.public_key, coordinator.public_key, name)
    assert proof.proved(coordinator, own.public_key, said, made)
    other = proof.message(public_id, own.public_key, coordinator.public_key, f"{name}x")
    assert not proof.proved(coordinator, own.public_key, other, made)


@pytest.mark.parametrize("forced", [False, True], ids=["WebCrypto", "library"])
async def test_a_point_of_low_order_proves_nothing(modules: Modules, forced: bool) -> None:
    own = SecretKey.generate()
    keys = {"privateKey": own.expose(), "publicKey": str(own.public_key)}
    asked = {"keys": keys, "coordinator": "A" * 43 + "=", "invitation": "a" * 16, "name": "phone"}
    with pytest.raises(Error):
        await modules.page.evaluate(PROOF, [asked, forced])


async def test_a_download_is_bytes_under_the_name_that_was_given(modules: Modules) -> None:
    async with modules.page.expect_download() as coming:
        await modules.call("download", "download", "phone.conf", "[Interface]\n# größer\n")
    found = await coming.value
    assert found.suggested_filename == "phone.conf"
    assert (await found.path()).read_text() == "[Interface]\n# größer\n"


async def test_modules_ask_for_nothing_but_each_other(modules: Modules) -> None:
    key = SecretKey.generate()
    keys = {"privateKey": key.expose(), "publicKey": str(key.public_key)}
    asked = {"keys": keys, "coordinator": str(GATEWAY), "invitation": "a" * 16, "name": "phone"}
    await modules.page.evaluate(PROOF, [asked, True])
    # Those that other tests caused too.
    assert any(url.endswith("/vendor/x25519.js") for url in modules.requests)
    own = modules.page.url
    strange = [url for url in modules.requests if not url.startswith((f"{own}js/", f"{own}vendor/"))]
    assert [url for url in strange if url != own and not url.startswith("blob:")] == []


def meant(text: str) -> Sequence[str]:
    """Return the lines of a file that say something, without blanks."""
    plain = (line.partition("#")[0].replace(" ", "") for line in text.splitlines())
    return sorted(line for line in plain if line)


async def photographed(modules: Modules, text: str) -> str:
    """Show a text as a QR code on a phone's screen, and read it from the picture."""
    await modules.page.set_viewport_size(PHONE)
    svg: dict[str, Any] = await modules.page.evaluate(SHOW_QR, text)
    # Four modules all around (ISO/IEC 18004), without which some cameras see nothing.
    assert svg == {"role": "img", "label": "QR code", "paths": 1, "quiet": [4, 4, 4, 4]}
    picture = await modules.page.screenshot()
    (found,) = zxingcpp.read_barcodes(
        Image.open(io.BytesIO(picture)), formats=zxingcpp.barcode_formats_from_str("QRCode")
    )
    return str(found.text)
