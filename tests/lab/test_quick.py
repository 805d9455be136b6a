"""wg-quick and wg, unmodified, with our program as the userspace implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.relay import until
from tests.lab.nodes import INNER, OURS, Node, cable, pair, peer_section
from wirewright.keys import PresharedKey
from wirewright.lab import Lab, Machine

IMPLEMENTATION = {"WG_QUICK_USERSPACE_IMPLEMENTATION": OURS}


def quick_file(folder: Path, node: Node, peer: Node, endpoint: str, *, allowed: str, more: str = "") -> Path:
    """Write what a user would give to wg-quick."""
    path = folder / f"{node.name}.conf"
    path.write_text(
        node.interface_section()
        + f"Address = {node.addresses[0]}/24, {node.addresses[1]}/64\n{more}"
        + peer_section(peer, endpoint=endpoint, allowed=[allowed])
    )
    path.chmod(0o600)
    return path


def quick(machine: Machine, verb: str, path: Path) -> str:
    return machine.run("wg-quick", verb, str(path), env=IMPLEMENTATION).stderr


def test_wg_quick_brings_a_tunnel_up_and_down(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        there = Node(lab["b"], INNER[1]).start()
        here = Node(lab["a"], INNER[0], "office")
        there.setconf(peer_section(here))
        path = quick_file(
            tmp_path, here, there, "192.0.2.2", allowed="10.7.0.0/24, fd07::/64", more="MTU = 1380\n"
        )
        said = quick(lab["a"], "up", path)
        assert "wirewright-tun office" in said
        here.ping("10.7.0.2")
        here.ping("fd07::2")
        assert "mtu 1380" in lab["a"].run("ip", "link", "show", "office").stdout
        quick(lab["a"], "down", path)
        until(here.is_gone, "interface and socket are gone")
        until(lambda: not lab["a"].processes("wirewright-tun"), "the process has ended")
        # And once more, with the same name.
        quick(lab["a"], "up", path)
        here.ping("10.7.0.2")


def test_wg_quick_sends_everything_through_a_tunnel_and_its_own_datagrams_beside_it(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        there = Node(lab["b"], (*INNER[1], "198.51.100.7")).start()
        here = Node(lab["a"], INNER[0], "world")
        there.setconf(peer_section(here))
        path = quick_file(tmp_path, here, there, "192.0.2.2", allowed="0.0.0.0/0, ::/0")
        quick(lab["a"], "up", path)
        # Not on the cable, nor in a network of the interface's.
        here.ping("198.51.100.7")
        assert here.wg("show", "fwmark").strip() == "0xca6c"
        quick(lab["a"], "down", path)
        until(here.is_gone, "interface and socket are gone")


def test_wg_quick_saves_what_was_set_meanwhile(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        here, there = Node(lab["a"], INNER[0], "saves"), Node(lab["b"], INNER[1])
        path = quick_file(
            tmp_path, here, there, "192.0.2.2", allowed="10.7.0.2/32", more="SaveConfig = true\n"
        )
        quick(lab["a"], "up", path)
        here.wg("set", "peer", str(there.public_key), "persistent-keepalive", "21")
        quick(lab["a"], "down", path)
        saved = path.read_text()
        assert "PersistentKeepalive = 21" in saved
        assert here.key.expose() in saved


def test_syncconf_changes_what_differs_and_keeps_the_session(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        handshake = a.latest_handshake(b)
        other = Node(lab["b"], ("10.7.0.3",))
        a.setconf(peer_section(b, endpoint="192.0.2.2"), peer_section(other), verb="syncconf")
        assert set(a.show("allowed-ips")) == {str(b.public_key), str(other.public_key)}
        assert a.latest_handshake(b) == handshake
        a.setconf(peer_section(b, endpoint="192.0.2.2"), verb="syncconf")
        assert set(a.show("allowed-ips")) == {str(b.public_key)}
        assert a.latest_handshake(b) == handshake
        # setconf begins anew.
        a.setconf(peer_section(b, endpoint="192.0.2.2"))
        assert a.latest_handshake(b) == 0


def test_showconf_can_be_set_again() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, preshared_key=PresharedKey.generate())
        written = a.wg("showconf")
        assert a.key.expose() in written
        a.setconf()
        a.wg("setconf", "/dev/stdin", input=written)
        assert a.wg("showconf") == written
        a.ping("10.7.0.2")
        assert b.received(a) > 0


def test_wg_set_changes_one_thing_at_a_time() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        peer = str(b.public_key)
        a.wg("set", "listen-port", "7777", "fwmark", "0x2a")
        assert (a.wg("show", "listen-port").strip(), a.wg("show", "fwmark").strip()) == ("7777", "0x2a")
        a.wg(
            "set",
            "peer",
            peer,
            "allowed-ips",
            "10.7.0.2/32,10.8.0.0/16,fd08::/48",
            "persistent-keepalive",
            "25",
        )
        assert set(a.show("allowed-ips")[peer].split()) == {"10.7.0.2/32", "10.8.0.0/16", "fd08::/48"}
        assert a.show("persistent-keepalive") == {peer: "25"}
        a.wg(
            "set", "fwmark", "off", "peer", peer, "persistent-keepalive", "off", "endpoint", "[fd00::2]:51820"
        )
        assert (a.wg("show", "fwmark").strip(), a.endpoint_of(b)) == ("off", "[fd00::2]:51820")
        a.wg("set", "peer", peer, "remove")
        assert a.wg("show", "peers") == ""


def test_an_address_belongs_to_the_peer_that_got_it_last() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        other = Node(lab["b"], ("10.7.0.2",))
        a.add(peer_section(other))
        assert a.show("allowed-ips") == {
            str(b.public_key): "fd07::2/128",
            str(other.public_key): "10.7.0.2/32",
        }


def test_our_dump_is_wireguard_go_s(wireguard_go: Path) -> None:
    with Lab(cable()) as lab:
        ours = Node(lab["a"], ()).start()
        theirs = Node(lab["b"], (), program=str(wireguard_go), key=ours.key).start()
        peers = [Node(lab["b"], INNER[number], port=7000 + number) for number in (0, 1)]
        sections = [
            peer_section(
                peers[0], endpoint="192.0.2.77", keepalive=17, preshared_key=PresharedKey.generate()
            ),
            peer_section(
                peers[1], endpoint="fd00::77", allowed=["10.9.0.0/16", "0.0.0.0/0", "::/0", "fd09::1/128"]
            ),
        ]
        dumps = []
        for node in (ours, theirs):
            node.setconf(*sections)
            node.wg("set", "fwmark", "1234")
            device, *rows = node.wg("show", "dump").splitlines()
            split = [row.split("\t") for row in rows]
            # Not what depends on time: the latest handshake, and bytes.
            dumps.append((device, sorted((*row[:3], sorted(row[3].split(",")), row[7]) for row in split)))
        assert dumps[0] == dumps[1]


@pytest.mark.parametrize("colour", ["always", "never"])
def test_wg_show_reads_us_as_any_interface(colour: str) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        said = lab["a"].run("wg", "show", env={"WG_COLOR_MODE": colour}).stdout
        assert str(b.public_key) in said
        assert "latest handshake" in said
        assert "transfer" in said
        assert a.key.expose() not in said
