"""What wg(8) takes and refuses, and that we do the same.

The verdicts were measured with `wg setconf` of wireguard-tools 1.0.20210914, which reads the whole file
before it looks for the interface. Where wg is installed, the verdicts are measured again.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.config.samples import ALICE, PRIVATE, with_interface, with_peer
from wirewright.config import Config, ConfigError

SPACED = "yAnz 5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
BAD_LAST_DIGIT = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBml="

TAKEN = [
    *(with_interface(f"FwMark = {mark}") for mark in ("off", "OFF", "0", "0xff", "4294967295", "010")),
    *(with_interface(f"ListenPort = {port}") for port in ("0", "51820", "00080", "5 1820")),
    *(with_peer(f"PersistentKeepalive = {seconds}") for seconds in ("off", "OFF", "0", "25", "65535", "025")),
    *(
        with_peer(f"AllowedIPs = {networks}")
        for networks in (
            "10.0.0.1",
            "10.0.0.0/24",
            "10.0.0.0/024",
            "1.2.3.4/0000000000000000000024",
            "::ffff:1.2.3.4/120",
            "10.0.0.0/8, ::/0",
            "10. 0.0.0/8",
        )
    ),
    *(
        with_peer(f"Endpoint = {endpoint}")
        for endpoint in (
            "1.2.3.4:5",
            "[::1]:5",
            "::1:5",
            "[fe80::1%lo]:5",
            "[1.2.3.4]:5",
            "fe80::1:2:3:4:5:6:7",
        )
    ),
    "[Interface]\n",
    "[ inter face ]\n",
    f"[Interface]\nPrivate Key = {SPACED}\n",
    f"[INTERFACE] # comment\nprivatekey={PRIVATE}#x",
    f"[Interface]\nPrivateKey={PRIVATE}\nPrivateKey={PRIVATE}",
    "[Interface]\r\nListenPort\v=\f5\r\n",
    f"[Interface]\n[Peer]\nPublicKey={ALICE}\nPublicKey={ALICE}",
    f"[Peer]\nPublicKey={ALICE}\n[Interface]\n",
]

REFUSED = [
    *(with_interface(f"FwMark = {mark}") for mark in ("", "0x", "0XFF", "4294967296", "-1", "+1", "1x")),
    *(with_interface(f"ListenPort = {port}") for port in ("", "http", "5\u00a0", "=5")),
    *(with_peer(f"PersistentKeepalive = {seconds}") for seconds in ("", "65536", "+1", "-1", "0x10", "1x")),
    *(
        with_peer(f"AllowedIPs = {networks}")
        for networks in (
            "",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+4",
            "10.1/16",
            "010.0.0.1/8",
            "10.0.0.0/8,",
            ",10.0.0.0/8",
            "10.0.0.0/8,,::/0",
            "10.0.0.0/8 ::/0",
            "::/129",
            "fe80::1%lo/64",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/0x8",
            "::1/8/9",
        )
    ),
    *(
        with_peer(f"Endpoint = {endpoint}")
        for endpoint in (
            "",
            "1.2.3.4",
            "[::1]5",
            "[::1]",
            ":5",
            "[]:5",
            "1.2.3.4:",
            "1.2.3.4:0x5",
            "1.2.3.4:http",
        )
    ),
    "[Peer]\n",
    "[Interface]\nPrivateKey=",
    f"[Interface]\nPrivateKey = {BAD_LAST_DIGIT}",
    f"[Interface]\nPrivateKey = {PRIVATE}=",
    f"PrivateKey = {PRIVATE}\n[Interface]\n",
    f"[Interface]\nPrivatKey = {PRIVATE}",
    f"[Interface]\nPublicKey = {ALICE}",
    "[Interface]\nfoo\n",
    "[Interface\n",
    "[Interface]\n[Foo]\n",
    "[Interface]\n[Peer]\nAllowedIPs = ::/0\n",
    with_peer("PresharedKey = "),
    "\ufeff[Interface]\n",
    "[Interface]\rListenPort = 5\r",
    "[Interface]\n;ListenPort = 5\n",
    "[Interface]\nListenPort: 5\n",
]


@pytest.mark.parametrize("text", TAKEN)
def test_what_wg_takes_is_taken(text: str) -> None:
    Config.loads(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_wg_refuses_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Config.loads(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing in it says that it is a configuration"),
        ("[Interface]\n[Interface]\n", "wg(8) says that there is one only"),
        (with_interface("ListenPort = 65536"), "wg takes it for 0"),
        (with_interface("ListenPort = +80"), "not how anybody means to write a port"),
        (with_peer("Endpoint = 1.2.3.4:70000"), "wg takes it for 4464"),
        (with_peer("Endpoint = 1.2.3.4:0"), "nobody can be reached there"),
        (with_peer("Endpoint = 1.2:5"), "wg takes it for 1.0.0.2"),
        ("[Interface]\nListenPort=5\0x6\n", "wg overlooks what is behind the NUL"),
    ],
)
def test_what_wg_takes_for_something_else_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError):
        Config.loads(text)


@pytest.mark.parametrize("prefix", ["+", "-"])
def test_incremental_allowed_ips_of_newer_versions_are_taken(prefix: str) -> None:
    # wireguard-tools since 1.0.20250521.
    Config.loads(with_peer(f"AllowedIPs = 10.0.0.0/8, {prefix}10.1.0.0/16"))


@pytest.mark.skipif(shutil.which("wg") is None, reason="wireguard-tools is not installed")
def test_the_verdicts_are_those_of_the_installed_wg(tmp_path: Path) -> None:
    def is_taken(text: str) -> bool:
        path = tmp_path / "wg.conf"
        path.write_bytes(text.encode())
        command = ["wg", "setconf", "nosuchdevice", str(path)]
        environment = os.environ | {"WG_ENDPOINT_RESOLUTION_RETRIES": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return "Unable to modify interface" in done.stderr

    assert [text for text in TAKEN if not is_taken(text)] == []
    assert [text for text in REFUSED if is_taken(text)] == []
