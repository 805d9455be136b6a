"""`ww set`, `setconf`, `addconf`, `syncconf` and `save` on an interface of ours, looked at by `wg`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.nodes import INNER, Node, cable, pair, peer_section
from wirewright.keys import PresharedKey, SecretKey
from wirewright.lab import Lab, Machine

WW = (sys.executable, "-m", "wirewright")


def ww(machine: Machine, *words: str, **options: object) -> str:
    return machine.run(*WW, *words, **options).stdout  # type: ignore[arg-type]


def test_set_changes_one_thing_at_a_time(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        peer = str(b.public_key)

        def set_(*words: str, **options: object) -> None:
            ww(a.machine, "set", "wg0", *words, **options)

        set_("listen-port", "7777", "fwmark", "0x2a")
        assert (a.dump().port, a.dump().fwmark) == (7777, 42)
        set_("peer", peer, "allowed-ips", "10.7.0.2/32,10.8.0.0/16", "persistent-keepalive", "25")
        assert a.dump().peers[peer].allowed_ips == {"10.7.0.2/32", "10.8.0.0/16"}
        assert a.dump().peers[peer].keepalive == 25
        set_("peer", peer, "allowed-ips", "+fd07::2/128,-10.8.0.0/16")
        assert a.dump().peers[peer].allowed_ips == {"10.7.0.2/32", "fd07::2/128"}
        set_("fwmark", "off", "peer", peer, "persistent-keepalive", "off", "endpoint", "[fd00::2]:51820")
        assert (a.dump().fwmark, a.dump().peers[peer].keepalive) == (0, 0)
        assert a.endpoint_of(b) == "[fd00::2]:51820"
        shared, file = PresharedKey.generate().expose(), tmp_path / "shared"
        file.write_text(f"{shared}\n")
        set_("peer", peer, "preshared-key", str(file))
        assert a.dump().peers[peer].preshared_key == shared
        set_("peer", peer, "preshared-key", "/dev/null")
        assert a.dump().peers[peer].preshared_key is None
        key = SecretKey.generate()
        set_("private-key", "-", input=key.expose())
        assert a.dump().private_key == key.expose()
        set_("peer", peer, "remove", "peer", str(key.public_key), "peer", str(a.public_key))
        # The interface's own key is no peer.
        assert set(a.dump().peers) == {str(a.public_key)}


def test_a_peer_is_named_by_its_key_and_no_other_key_is_taken_from_the_arguments() -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"], INNER[0]).start()
        secret = SecretKey.generate().expose()
        done = lab["a"].run(*WW, "set", "wg0", "private-key", secret, check=False)
        assert done.returncode == 2
        assert "a key stands among the arguments" in done.stderr
        assert secret not in done.stderr
        assert a.dump().private_key == a.key.expose()


def test_syncconf_changes_what_differs_and_keeps_the_session(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        handshake = a.latest_handshake(b)
        other = Node(lab["b"], ("10.7.0.3",))
        file = tmp_path / "wg0.conf"
        # As wg-quick has it: what is not wg's is ignored.
        head = f"{a.interface_section()}Address = 10.7.0.1/24\nPostUp = false\n"
        file.write_text(head + peer_section(b, endpoint="192.0.2.2") + peer_section(other))
        file.chmod(0o600)
        ww(a.machine, "syncconf", str(file))
        ww(a.machine, "syncconf", "wg0", str(file))
        assert set(a.dump().peers) == {str(b.public_key), str(other.public_key)}
        assert a.latest_handshake(b) == handshake
        ww(a.machine, "syncconf", "wg0", "-", input=head + peer_section(b))
        assert set(a.dump().peers) == {str(b.public_key)}
        assert a.endpoint_of(b) == "192.0.2.2:51820"
        assert a.latest_handshake(b) == handshake
        a.ping("10.7.0.2")
        # setconf begins anew.
        ww(a.machine, "setconf", "wg0", str(file))
        assert a.latest_handshake(b) == 0
        ww(a.machine, "setconf", "wg0", "/dev/null")
        assert (a.dump().private_key, a.dump().peers) == (None, {})


def test_addconf_adds_peers_alone() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        other = Node(lab["b"], ("10.7.0.2",))
        ww(a.machine, "addconf", "wg0", "-", input=peer_section(other))
        assert {key: peer.allowed_ips for key, peer in a.dump().peers.items()} == {
            str(b.public_key): {"fd07::2/128"},
            str(other.public_key): {"10.7.0.2/32"},
        }
        assert a.dump().private_key == a.key.expose()


def test_save_and_down_write_what_was_set_meanwhile(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        here, there = Node(lab["a"], INNER[0], "saves"), Node(lab["b"], INNER[1])
        file = tmp_path / "saves.conf"
        file.write_text(
            "# the office\n"
            + here.interface_section()
            + "Address = 10.7.0.1/24 # mine\n# Ann\n"
            + peer_section(there, endpoint="192.0.2.2")
        )
        file.chmod(0o644)
        written = file.read_text()
        ww(lab["a"], "up", "--engine", "wirewright", str(file))
        ww(lab["a"], "save", str(file))
        assert file.read_text() == written
        assert file.stat().st_mode & 0o777 == 0o600
        ww(
            lab["a"],
            "set",
            "saves",
            "listen-port",
            "7777",
            "peer",
            str(there.public_key),
            "endpoint",
            "[fd00::2]:5",
        )
        lab["a"].run("ip", "address", "add", "10.7.1.1/32", "dev", "saves")
        ww(lab["a"], "save", str(file))
        wanted = (
            written.replace("ListenPort = 51820", "ListenPort = 7777")
            .replace("10.7.0.1/24 # mine", "10.7.0.1/24, 10.7.1.1/32 # mine")
            .replace("192.0.2.2:51820", "[fd00::2]:5")
        )
        assert file.read_text() == wanted
        # Unless the file says so, taking it down changes nothing.
        ww(lab["a"], "set", "saves", "listen-port", "7778")
        ww(lab["a"], "down", str(file))
        assert file.read_text() == wanted
        file.write_text(wanted.replace("ListenPort", "SaveConfig = true\nListenPort"))
        ww(lab["a"], "up", "--engine", "wirewright", str(file))
        ww(lab["a"], "set", "saves", "peer", str(there.public_key), "persistent-keepalive", "21")
        done = lab["a"].run(*WW, "down", str(file))
        assert f"[#] ww save saves (into {file})" in done.stderr
        assert "PersistentKeepalive = 21\n" in file.read_text()
        assert file.read_text().startswith("# the office\n")
