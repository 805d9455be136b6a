"""What `ww check` warns of."""

from pathlib import Path

import pytest

from tests.config.samples import ALICE, BOB, LOW_ORDER, OFFICE, PRIVATE, PUBLIC_OF_PRIVATE
from wirewright._core import RootlessTunnel, SecretKey
from wirewright.config import Document, Finding, explain
from wirewright.config.explain import MAX_NETWORKS, MAX_PEERS, as_data
from wirewright.config.findings import MAX_FINDINGS

INTERFACE = f"[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.2/24, fd00::2/64\n"
ADDRESSES = ", ".join(f"10.0.1.{number}" for number in range(64))
PEER = f"[Peer]\nPublicKey = {ALICE}\nEndpoint = 192.0.2.1:51820\nAllowedIPs = 10.0.0.0/24\n"


def findings(text: str) -> tuple[Finding, ...]:
    return explain(Document.loads(text)).findings


def codes(text: str) -> set[str]:
    return {finding.code for finding in findings(text)}


def test_a_sound_configuration_has_no_findings() -> None:
    assert findings(INTERFACE + PEER) == ()
    assert findings(OFFICE) == ()


@pytest.mark.parametrize(
    ("code", "level", "line", "text"),
    [
        ("no-private-key", "warning", 1, "[Interface]\nAddress = 10.0.0.2\n" + PEER),
        ("no-address", "warning", 1, f"[Interface]\nPrivateKey = {PRIVATE}\n" + PEER),
        ("no-peers", "warning", 1, INTERFACE),
        (
            "nobody-can-begin",
            "warning",
            1,
            INTERFACE + f"[Peer]\nPublicKey = {ALICE}\nAllowedIPs = 10.0.0.0/24\n",
        ),
        ("low-order-key", "warning", 4, INTERFACE + PEER.replace(ALICE, LOW_ORDER)),
        ("own-key", "warning", 4, INTERFACE + PEER.replace(ALICE, PUBLIC_OF_PRIVATE)),
        (
            "no-allowed-ips",
            "warning",
            4,
            INTERFACE + f"[Peer]\nPublicKey = {ALICE}\nEndpoint = 192.0.2.1:51820\n",
        ),
        ("repeated-peer", "warning", 8, INTERFACE + PEER + PEER),
        ("shared-network", "warning", 8, INTERFACE + PEER + PEER.replace(ALICE, BOB)),
        ("nested-network", "note", 8, INTERFACE + PEER + PEER.replace(ALICE, BOB).replace("0/24", "8/30")),
        ("hooks", "note", 4, INTERFACE + "PostUp = true\n" + PEER),
        ("save-config", "note", 4, INTERFACE + "SaveConfig = true\n" + PEER),
        ("system-only", "note", 4, INTERFACE + "FwMark = 5\n" + PEER),
        ("system-only", "note", 4, INTERFACE + "Table = off\n" + PEER),
        ("mtu-too-small-for-ipv6", "warning", 4, INTERFACE + "MTU = 1279\n" + PEER),
        (
            "mtu-too-small",
            "warning",
            4,
            INTERFACE.replace(", fd00::2/64", "") + "MTU = 575\n" + PEER,
        ),
        ("unusable-address", "warning", 3, INTERFACE.replace("10.0.0.2/24", "127.0.0.1/8") + PEER),
        ("too-many-addresses", "warning", 3, INTERFACE.replace("10.0.0.2/24", ADDRESSES) + PEER),
        ("large-mtu", "note", 4, INTERFACE + "MTU = 1441\n" + PEER),
        (
            "no-address-of-family",
            "warning",
            5,
            INTERFACE.replace("\nA", "\n#A") + "Address = fd00::2\n" + PEER,
        ),
        ("dns-without-route", "warning", 4, INTERFACE + "DNS = 10.0.1.1\n" + PEER),
        ("dns-without-server", "warning", 4, INTERFACE + "DNS = corp.example\n" + PEER),
        ("host-bits", "note", 7, INTERFACE + PEER.replace("0/24", "1/24")),
        ("removal", "warning", 8, INTERFACE + PEER + "AllowedIPs = -10.0.0.9/32\n"),
        ("repeated-key", "warning", 8, INTERFACE + PEER + "Endpoint = 192.0.2.2:1\n"),
        (
            "unbracketed-ipv6",
            "note",
            8,
            INTERFACE + PEER.replace("Endpoint", "#") + "Endpoint = 2001:db8::1:1\n",
        ),
    ],
)
def test_each_oddity_is_found_alone_and_with_its_line(code: str, level: str, line: int, text: str) -> None:
    found = findings(text)
    assert [(finding.code, finding.level) for finding in found] == [(code, level)]
    assert found[0].line == line


def test_a_name_server_behind_a_peer_is_no_finding() -> None:
    assert codes(INTERFACE + "DNS = 10.0.0.1\n" + PEER) == set()


def test_the_smallest_and_largest_unsuspicious_mtu_are_no_findings() -> None:
    assert codes(INTERFACE + "MTU = 1280\n" + PEER) == set()
    assert codes(INTERFACE + "MTU = 1440\n" + PEER) == set()


UNUSABLE = ["0.0.0.1", "127.0.0.1", "224.0.0.1", "240.0.0.1", "::", "::1", "ff02::1", "::ffff:10.0.0.1"]


@pytest.mark.parametrize("address", [*UNUSABLE, "10.0.0.1", "169.254.0.1", "223.255.255.255", "fe80::1"])
def test_the_addresses_found_unusable_are_those_that_the_core_refuses(address: str) -> None:
    found = "unusable-address" in codes(INTERFACE + f"Address = {address}\n" + PEER)
    assert found == (address in UNUSABLE)
    try:
        RootlessTunnel(SecretKey.generate(), [address], listen_address="127.0.0.1").close()
        refused = False
    except ValueError:
        refused = True
    assert found == refused


def test_networks_of_one_peer_may_overlap() -> None:
    assert codes(INTERFACE + PEER + "AllowedIPs = 10.0.0.0/8, 10.0.0.0/24\n") == set()


def test_a_file_that_others_can_read_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text(INTERFACE + PEER)
    tmp_path.chmod(0o755)
    path.chmod(0o644)
    assert [finding.code for finding in explain(Document.from_file(path)).findings] == ["readable-by-others"]
    path.chmod(0o600)
    assert explain(Document.from_file(path)).findings == ()


def test_only_so_many_findings_of_a_kind_are_listed() -> None:
    empty_peer = f"[Peer]\nPublicKey = {ALICE}\n"
    found = [
        finding for finding in findings(INTERFACE + empty_peer * 100) if finding.code == "no-allowed-ips"
    ]
    assert len(found) == MAX_FINDINGS + 1
    assert any(finding.text == "and 80 more of this kind" for finding in found)


def test_an_explanation_says_what_the_tunnel_will_do() -> None:
    explanation = explain(Document.loads(OFFICE))
    words = "\n".join(
        f"{paragraph.subject} {sentence}"
        for paragraph in explanation.paragraphs
        for sentence in paragraph.sentences
    )
    for expected in (
        f"this tunnel is known to its peers by the public key {PUBLIC_OF_PRIVATE}",
        "this tunnel has the addresses 10.200.100.8/24 and fd00::8/64",
        "this tunnel uses any free UDP port",
        "this tunnel asks 10.200.100.1",
        "this tunnel carries packets of up to 1400 bytes",
        f"peer {ALICE} is called at vpn.example.com:51820",
        f"peer {ALICE} is sent, and may send, packets of 10.200.0.0/16 and fd00::/64",
        f"peer {ALICE} shares a preshared key",
        f"peer {ALICE} is sent a packet at least every 25 s",
        f"peer {BOB} is not called",
    ):
        assert expected in words


def test_a_large_configuration_is_explained_in_few_words() -> None:
    networks = ", ".join(f"10.{index}.0.0/16" for index in range(100))
    peers = "".join(
        f"[Peer]\nPublicKey = {index:02d}{ALICE[2:]}\nAllowedIPs = {networks}\n"
        for index in range(MAX_PEERS + 5)
    )
    paragraphs = explain(Document.loads(INTERFACE + "ListenPort = 1\n" + peers)).paragraphs
    assert len(paragraphs) == MAX_PEERS + 2
    assert paragraphs[-1].subject == "and 5 more peers"
    # Each network belongs to the last peer.
    last = explain(Document.loads(INTERFACE + peers[-peers[::-1].index("]reeP[") - 6 :])).paragraphs[-1]
    assert f"{100 - MAX_NETWORKS} more networks" in last.sentences[-1]


def test_an_explanation_as_data_holds_no_secret() -> None:
    data = as_data(explain(Document.loads(OFFICE)))
    assert data["interface"]["public_key"] == PUBLIC_OF_PRIVATE
    assert data["peers"][0]["has_preshared_key"] is True
    assert data["peers"][1]["endpoint"] is None
    assert PRIVATE not in str(data)
