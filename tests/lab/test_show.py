"""`ww show` beside `wg show`: of any state, and of an interface of ours."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.nodes import INNER, Node, answer, cable, inside, pair, peer_section, until
from wirewright.host.userspace.text import Report
from wirewright.keys import PresharedKey, SecretKey
from wirewright.lab import Lab, Machine
from wirewright.tunnel.system.columns import WHAT, columns
from wirewright.tunnel.system.pretty import Style, pretty

if TYPE_CHECKING:
    from wirewright.config.parts import RedactedText
    from wirewright.host.device import DeviceState

WW = (sys.executable, "-m", "wirewright")
SERVER = str(Path(__file__).with_name("uapi_states.py"))
STATES = 40
COLUMNS = sorted(WHAT)


def ww(machine: Machine, *words: str, **options: object) -> str:
    return machine.run(*WW, *words, **options).stdout  # type: ignore[arg-type]


def a_peer(dice: random.Random, now: int) -> str:
    """Write a peer as an engine tells it, now and then at a limit."""
    rows = [f"public_key={SecretKey.generate().public_key.__bytes__().hex()}"]
    if dice.random() < 0.5:
        rows.append(f"preshared_key={dice.randbytes(32).hex()}")
    if dice.random() < 0.7:
        hosts = ["192.0.2.1", "[fd00::1]", "[::ffff:192.0.2.1]", "[::]", "[::1.2.3.4]", "255.255.255.255"]
        rows.append(f"endpoint={dice.choice(hosts)}:{dice.choice([1, 51820, 65535])}")
    ages = [None, 0, 1, 59, 60, 61, 3600, 86400, 90061, 31536000, 2 * 31536000 + 5, -100_000, now - 1]
    if (age := dice.choice(ages)) is not None:
        rows += [f"last_handshake_time_sec={now - age}", f"last_handshake_time_nsec={dice.randrange(10**9)}"]
    sizes = [0, 1, 1023, 1024, 1025, 1048575, 1048576, 2**30 - 1, 2**40, 2**50, 2**63]
    rows += [f"tx_bytes={dice.choice(sizes)}", f"rx_bytes={dice.choice(sizes)}"]
    rows.append(f"persistent_keepalive_interval={dice.choice([0, 1, 25, 60, 3600, 65535])}")
    networks = ["10.0.0.0/8", "0.0.0.0/0", "::/0", "::ffff:1.2.3.0/120", "fd00::/64", "::1.2.3.4/128"]
    rows += [f"allowed_ip={network}" for network in dice.sample(networks, dice.randrange(len(networks)))]
    return "\n".join([*rows, "protocol_version=1", ""])


def a_state(dice: random.Random, now: int) -> str:
    key = [f"private_key={dice.randbytes(32).hex()}"] if dice.random() < 0.8 else []
    rows = [*key, f"listen_port={dice.choice([0, 1, 65535])}", f"fwmark={dice.choice([0, 1, 2**32 - 1])}", ""]
    return "\n".join(rows) + "".join(a_peer(dice, now) for _ in range(dice.choice([0, 1, 2, 7])))


def read(name: str, text: str) -> DeviceState:
    report = Report(name)
    whole = bytearray(text, "ascii")
    report.take(whole, len(whole))
    return report.state()


def ageless(text: str) -> str:
    """Leave out how long ago handshakes were: seconds pass between two commands."""
    return re.sub(r"(latest handshake: ).*", r"\1(some time ago)", text)


def shown_alike(machine: Machine, name: str) -> bool:
    return ageless(machine.run("wg", "show", name).stdout) == ageless(ww(machine, "show", name))


def by_interface(text: str) -> list[str]:
    """Sort lines by the interface that each begins with, and leave those of an interface as they are."""
    return sorted(text.splitlines(), key=lambda line: line.split("\t")[0])


def revealed(text: RedactedText, file: Path) -> str:
    with file.open("wb") as writing:
        text.write_to(writing.fileno())
    return file.read_text()


@pytest.mark.parametrize(("colours", "hide_keys"), [(False, True), (True, True), (True, False)])
def test_any_state_is_shown_as_wg_shows_it(tmp_path: Path, colours: bool, hide_keys: bool) -> None:
    dice = random.Random(f"{colours}{hide_keys}")
    folder = tmp_path / "states"
    folder.mkdir()
    began = int(time.time())
    texts = {f"wg{number}": a_state(dice, began + 2) for number in range(STATES)}
    for name, text in texts.items():
        (folder / name).write_text(text)
    environment = {
        "WG_COLOR_MODE": "always" if colours else "never",
        "WG_HIDE_KEYS": "always" if hide_keys else "never",
    }
    with Lab(cable()) as lab:
        pipe = subprocess.PIPE
        server = lab["a"].popen(sys.executable, SERVER, str(folder), stdin=pipe, stdout=pipe, text=True)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        for name, text in texts.items():
            before = int(time.time())
            shown = lab["a"].run("wg", "show", name, env=environment).stdout
            moments = range(before, int(time.time()) + 1)
            state, style = read(name, text), Style(colours, hide_keys)
            ours = [revealed(pretty([state], now, style), tmp_path / "shown") for now in moments]
            assert shown in ours, f"{shown}\n{ours[0]}"
            dumped = lab["a"].run("wg", "show", name, "dump").stdout
            assert revealed(columns(state, "dump"), tmp_path / "shown") == dumped
        server.communicate()


def on_a_terminal(machine: Machine, environment: dict[str, str]) -> bytes:
    """Show an interface to a terminal, and give what was written."""
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb") as reader:
        process = machine.popen(*WW, "show", "wg0", stdout=terminal, env=environment | {"TERM": "xterm"})
        os.close(terminal)
        assert process.wait(40) == 0
        return os.read(reader.fileno(), 65536)


def test_a_terminal_has_colours_unless_they_are_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "WG_COLOR_MODE"):
        monkeypatch.delenv(name, raising=False)
    with Lab(cable()) as lab:
        Node(lab["a"]).start()
        for environment, are_wanted in (
            ({}, True),
            ({"NO_COLOR": "1"}, False),
            ({"NO_COLOR": ""}, True),
            ({"NO_COLOR": "1", "WG_COLOR_MODE": "auto"}, False),
            ({"NO_COLOR": "1", "WG_COLOR_MODE": "always"}, True),
            ({"WG_COLOR_MODE": "never"}, False),
        ):
            said = on_a_terminal(lab["a"], environment)
            assert b"listening port" in said
            assert (b"\x1b[" in said) == are_wanted, environment
        assert "\x1b[" not in ww(lab["a"], "show", "wg0")


def told_alike(machine: Machine, name: str, what: str) -> bool:
    """Whether both tell scripts the same; a keepalive may be sent between two looks, but not always."""
    theirs, ours = machine.run("wg", "show", name, what).stdout, ww(machine, "show", name, what)
    if (name, what) == ("all", "endpoints"):
        # Where wg forgets the name on all lines of an interface but the first.
        return ours.splitlines()[0].split("\t")[0] in {"wg0", "wg-quiet"}
    if name == "all":
        # wg tells interfaces in the order of their folder, which is none; peers as below.
        return by_interface(theirs) == by_interface(ours)
    return theirs == ours


def test_an_interface_is_shown_as_wg_shows_it() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, preshared_key=PresharedKey.generate())
        quiet = Node(lab["a"], (), "wg-quiet", port=0).start()
        a.add(peer_section(quiet, allowed=["10.9.0.0/16", "fd09::/64"], keepalive=25))
        a.ping("10.7.0.2")
        machine = lab["a"]
        for name in ("wg0", "wg-quiet"):
            until(partial(shown_alike, machine, name), "both show the same", 40)
        assert ageless(ww(machine, "show")) == "\n".join(
            ageless(ww(machine, "show", name)) for name in ("wg-quiet", "wg0")
        )
        for what in COLUMNS:
            for name in ("wg0", "wg-quiet", "all"):
                until(partial(told_alike, machine, name, what), f"both tell the same of {name}: {what}", 40)
        assert set(ww(machine, "show", "interfaces").split()) == {"wg0", "wg-quiet"}
        keys = ww(machine, "show", "wg0", env={"WG_HIDE_KEYS": "never"})
        assert a.key.expose() in keys
        assert a.key.expose() not in ww(machine, "show")
        assert b.received(a) > 0


def test_json_tells_all_but_secrets_and_counters_tell_why() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, preshared_key=PresharedKey.generate())
        a.ping("10.7.0.2")
        # To no peer of ours.
        a.machine.run("ip", "route", "add", "10.99.0.0/24", "dev", "wg0")
        assert not a.reaches("10.99.0.1")
        (interface,) = json.loads(ww(a.machine, "show", "--json", "--counters"))["interfaces"]
        assert (interface["name"], interface["engine"]) == ("wg0", "wirewright")
        assert interface["public_key"] == str(a.public_key)
        (peer,) = interface["peers"]
        assert peer["public_key"] == str(b.public_key)
        assert peer["has_preshared_key"] is True
        assert peer["endpoint"] == "192.0.2.2:51820"
        assert peer["allowed_ips"] == ["10.7.0.2/32", "fd07::2/128"]
        assert abs(peer["latest_handshake"] - time.time()) < 60
        # More may have come since, such as the system's own questions for routers.
        assert 0 < interface["counters"]["no_peer"] <= a.counters()["no_peer"]
        text = ww(a.machine, "show", "wg0", "--counters")
        assert re.search(r"^ +\d+  packets of this machine are for an address .* \(no_peer\)$", text, re.M)
        assert "(bad_mac1)" not in text
        for secret in (a.key.expose(), *re.findall(r"\S+=", b.wg("show", "preshared-keys"))[1:]):
            assert secret not in text + json.dumps(interface)


def test_what_is_not_there_is_told() -> None:
    with Lab(cable()) as lab:
        assert ww(lab["a"], "show") == ""
        assert ww(lab["a"], "show", "interfaces") == ""
        assert json.loads(ww(lab["a"], "show", "--json")) == {"interfaces": []}
        done = lab["a"].run(*WW, "show", "wg0", check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "ww: wg0 is not a WireGuard interface\n"
        Node(lab["a"], INNER[0]).start()
        done = lab["a"].run(*WW, "show", "wg0", "mtu", check=False)
        assert done.returncode == 2
        assert "latest-handshakes" in done.stderr


@pytest.mark.timeout(240)
def test_an_interface_without_its_port_is_told() -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"], INNER[0]).start()

        def is_silent() -> object:
            return json.loads(ww(a.machine, "show", "wg0", "--json"))["interfaces"][0]["silent"]

        def warning(*words: str) -> str:
            return a.machine.run(*WW, "show", "wg0", *words).stderr

        a.machine.run("ip", "link", "set", "wg0", "down")
        assert is_silent() is False
        holder = inside(a.machine, "hold", "AF_INET", "0.0.0.0", "51820")
        a.machine.run("ip", "link", "set", "wg0", "up")
        assert is_silent() is True
        assert "Warning: wg0 is up, but silent: another program has UDP port 51820" in warning()
        # Columns are for scripts.
        assert warning("listen-port") == ""
        ww(a.machine, "set", "wg0", "listen-port", "51821")
        assert is_silent() is False
        assert warning() == ""
        answer(holder)
