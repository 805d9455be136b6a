"""Edits touch what they must, and nothing else."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from tests.config.samples import ALICE, BOB, CAROL, OFFICE, PRESHARED, PRIVATE
from wirewright.config import Config, Document, Endpoint, Hook, Peer
from wirewright.keys import PublicKey, SecretKey


def edited(text: str, **changes: Any) -> str:
    """Change attributes of the interface."""
    document = Document.loads(text)
    config = document.config
    return document.updated(replace(config, interface=replace(config.interface, **changes))).dumps(
        expose_keys=True
    )


def with_peers(text: str, *peers: Peer) -> str:
    document = Document.loads(text)
    return document.updated(replace(document.config, peers=peers)).dumps(expose_keys=True)


def hooks(*commands: str) -> tuple[Hook, ...]:
    return tuple(Hook.of(command) for command in commands)


def test_a_value_is_replaced_in_its_place() -> None:
    assert edited("[Interface]\n  mtu=\t1400   # why\n", mtu=1280) == "[Interface]\n  mtu=\t1280   # why\n"


def test_a_new_key_stands_behind_the_last_one_and_is_spaced_like_it() -> None:
    text = "[Interface]\n  MTU  =  1400 # x\n\n# end\n"
    assert edited(text, listen_port=5) == "[Interface]\n  MTU  =  1400 # x\n  ListenPort  =  5\n\n# end\n"


def test_a_key_that_goes_takes_its_lines() -> None:
    assert (
        edited("[Interface]\nMTU = 1\n".replace("1", "1300") + "# x\nmtu = 1400\n", mtu=None)
        == "[Interface]\n# x\n"
    )


def test_the_line_that_counts_is_changed_and_not_the_others() -> None:
    text = "[Interface]\nMTU = 1300\nMTU = 1400\n"
    assert edited(text, mtu=1280) == "[Interface]\nMTU = 1300\nMTU = 1280\n"


def test_an_empty_value_is_filled_in() -> None:
    assert edited("[Interface]\nMTU = # later\n", mtu=1280) == "[Interface]\nMTU = 1280# later\n"


def test_the_private_key_is_replaced_and_the_old_one_let_go() -> None:
    document = Document.loads(OFFICE)
    config = document.config
    after = document.updated(
        replace(config, interface=replace(config.interface, private_key=SecretKey.from_base64(CAROL)))
    )
    assert after.dumps(expose_keys=True) == OFFICE.replace(PRIVATE, CAROL)
    assert len(after.source.text.secrets) == len(document.source.text.secrets)


def test_line_endings_of_windows_stay() -> None:
    assert edited("[Interface]\r\nMTU = 1400\r\n", mtu=1280, listen_port=5) == (
        "[Interface]\r\nMTU = 1280\r\nListenPort = 5\r\n"
    )


def test_a_file_that_does_not_end_in_a_line_feed_is_continued() -> None:
    assert edited("[Interface]\nMTU = 1400", listen_port=5) == "[Interface]\nMTU = 1400\nListenPort = 5\n"
    assert edited("[Interface]\nMTU = 1400", mtu=1280) == "[Interface]\nMTU = 1280"


def test_a_list_keeps_the_lines_it_can() -> None:
    text = "[Interface]\nDNS = 1.1.1.1 , 2.2.2.2 # two\nDNS=a.example\n"
    dns = Document.loads(text).config.interface.dns
    assert edited(text, dns=dns[1:]) == "[Interface]\nDNS = 2.2.2.2 # two\nDNS=a.example\n"
    assert edited(text, dns=dns[:2]) == "[Interface]\nDNS = 1.1.1.1 , 2.2.2.2 # two\n"
    assert edited(text, dns=(*dns, "b.example")) == text.replace("a.example", "a.example, b.example")


def test_commands_stand_on_lines_of_their_own() -> None:
    text = "[Interface]\nPostUp = a # one\nMTU = 1400\nPostUp=b\n"
    assert edited(text, post_up=hooks("a", "c")) == text.replace("=b", "=c")
    assert edited(text, post_up=hooks("a", "b", "c, d")) == text + "PostUp=c, d\n"
    assert edited(text, post_up=hooks("a")) == "[Interface]\nPostUp = a # one\nMTU = 1400\n"


def test_a_peer_that_goes_takes_its_section_and_the_comment_above_it() -> None:
    (_, bob) = Document.loads(OFFICE).config.peers
    start, stop = OFFICE.index("# The gateway"), OFFICE.index("[Peer]  # Bob")
    assert with_peers(OFFICE, bob) == OFFICE[:start] + OFFICE[stop:]


def test_a_new_peer_is_set_apart() -> None:
    peers = Document.loads(OFFICE).config.peers
    carol = Peer(
        PublicKey.from_base64(CAROL), allowed_ips=(ip_network("10.9.0.0/16"),), endpoint=Endpoint("::1", 9)
    )
    section = f"[Peer]\nPublicKey = {CAROL}\nAllowedIPs = 10.9.0.0/16\nEndpoint = [::1]:9\n"
    assert with_peers(OFFICE, *peers, carol) == OFFICE + "\n" + section


def test_peers_that_change_places_take_their_sections_with_them() -> None:
    alice, bob = Document.loads(OFFICE).config.peers
    start, stop = OFFICE.index("# The gateway"), OFFICE.index("[Peer]  # Bob")
    assert with_peers(OFFICE, bob, alice) == OFFICE[:start] + OFFICE[stop:] + OFFICE[start:stop]


def test_a_change_to_one_peer_leaves_the_other() -> None:
    alice, bob = Document.loads(OFFICE).config.peers
    assert with_peers(OFFICE, replace(alice, persistent_keepalive=0), bob) == OFFICE.replace("= 25", "= off")
    assert with_peers(OFFICE, replace(alice, preshared_key=None), bob) == OFFICE.replace(
        f"PresharedKey = {PRESHARED}\n", ""
    )


def test_allowed_ips_with_removals_are_said_again_without() -> None:
    text = f"[Interface]\n[Peer]\nPublicKey = {BOB}\nAllowedIPs = ::/0, 10.0.0.0/8\nAllowedIPs = -::/0\n"
    (bob,) = Document.loads(text).config.peers
    assert with_peers(text, replace(bob, allowed_ips=(ip_network("::/0"),))) == (
        f"[Interface]\n[Peer]\nPublicKey = {BOB}\nAllowedIPs = ::/0\n"
    )


def test_an_edit_is_a_function_of_the_configuration() -> None:
    document = Document.loads(OFFICE).edit(lambda config: Config(config.interface))
    assert document.config.peers == ()
    assert ALICE not in document.dumps()


@pytest.mark.parametrize(
    "text", [OFFICE, OFFICE.replace("\n", "\r\n"), OFFICE.removesuffix("\n"), "[Interface]"]
)
def test_an_edit_that_changes_nothing_changes_nothing(text: str) -> None:
    document = Document.loads(text)
    assert document.updated(document.config).dumps(expose_keys=True) == text
