"""What `ww` is put to in the guest, whose kernel has WireGuard.

Each function that is a test is asked for by `test_kernel_engine.py`. A command is a process of its own, but
one that has imported everything already, which takes the emulated machine seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.lab.engines import public, wg
from tests.lab.kernel_engine import ENGINE
from tests.lab.rollback import look
from wirewright.cli import main
from wirewright.host.userspace import engine as userspace
from wirewright.keys import PresharedKey, SecretKey

# What commands import when they run.
COMMANDS = (
    "up",
    "down",
    "show",
    "set",
    "setconf",
    "addconf",
    "syncconf",
    "save",
    "strip",
    "system",
    "output",
)
PARTS = (
    *(f"cli.{name}" for name in COMMANDS),
    *(f"tunnel.system.{name}" for name in ("columns", "pretty", "showing", "words", "files")),
    *("config.keyfile", "config.strip", "host.resolver"),
)
for part in PARTS:
    importlib.import_module(f"wirewright.{part}")

NAME = "wgmany"
PEERS = 4
# The only folder in which the guest can write: a root that is shared is for reading.
FOLDER = Path("/run")


class Said(NamedTuple):
    """What a command wrote, and its exit status."""

    out: str
    err: str
    status: int


def ww(*words: str, text: str = "", status: int = 0) -> Said:
    """Run `ww`, as a process of its own."""
    with tempfile.TemporaryFile(dir=FOLDER) as given, outputs() as (out, err):
        given.write(text.encode())
        given.seek(0)
        child = os.fork()
        if not child:
            for number, file in enumerate((given, out, err)):
                os.dup2(file.fileno(), number)
            os._exit(exit_status(*words))
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = Said(read(out.fileno()), read(err.fileno()), ended)
    assert ended == status, said
    assert "Traceback" not in said.err, said
    return said


@contextmanager
def outputs() -> Iterator[tuple[tempfile._TemporaryFileWrapper[bytes], ...]]:
    with tempfile.NamedTemporaryFile(dir=FOLDER) as out, tempfile.NamedTemporaryFile(dir=FOLDER) as err:
        yield out, err


def read(descriptor: int) -> str:
    return os.pread(descriptor, 1 << 26, 0).decode()


def exit_status(*words: str) -> int:
    sys.argv = ["ww", *words]
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return status


def file_of(name: str, text: str) -> Path:
    path = FOLDER / f"{name}.conf"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def same_dump() -> str:
    """Compare what `ww` tells with what `wg` tells, to the byte; return it."""
    ours, theirs = ww("show", NAME, "dump").out, wg("show", NAME, "dump")
    for mine, its in zip(ours.splitlines(), theirs.splitlines(), strict=False):
        assert mine == its, (mine[:2000], its[:2000])
    assert ours == theirs
    return ours


def in_any_order(configuration: str) -> list[list[str]]:
    """Take sections apart; allowed IPs that were taken away and came back stand behind the others."""
    return [sorted(re.split(r" = |, |\n", section)) for section in configuration.split("[Peer]")]


@contextmanager
def beside(text: str) -> Iterator[str]:
    """Have `wg` make an interface of a configuration; give its name."""
    name = "wgbeside"
    ENGINE.create(name)
    try:
        wg("setconf", name, "/dev/stdin", text=without_port(text))
        yield name
    finally:
        ENGINE.delete(name)


def without_port(text: str) -> str:
    """Leave out what two interfaces cannot share."""
    return re.sub(r"ListenPort.*\n", "", text)


def many(networks: int) -> str:
    """Write a file whose peers have many allowed IPs, in networks of the interface: routes take minutes."""
    lines = [
        "# the office",
        "[Interface]",
        f"PrivateKey = {SecretKey.generate().expose()}",
        "ListenPort = 51900",
        "FwMark = 0x10",
        "Address = 10.64.0.1/10, fd64::1/64",
    ]
    for peer in range(PEERS):
        own = ", ".join(
            f"fd64::{n:x}/128" if n % 2 else f"10.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32"
            for n in range(peer * networks, (peer + 1) * networks)
        )
        lines += ["[Peer]", f"PublicKey = {public(peer)}", f"AllowedIPs = {own}"]
        if peer % 2:
            lines += [f"PresharedKey = {PresharedKey.generate().expose()}", "PersistentKeepalive = 25"]
            lines.append(f"Endpoint = {'192.0.2.1' if peer == 1 else '[2001:db8::1]'}:{peer}")
    # Not in a network of the interface: a route is added.
    lines += ["[Peer]", f"PublicKey = {public(PEERS)}", "AllowedIPs = 192.168.77.0/24, fd77::/64"]
    return "\n".join([*lines, ""])


def many_are_set_up_told_changed_saved_and_taken_down(networks: int) -> None:
    """Call every command on an interface with so many allowed IPs, and compare with `wg`."""
    networks //= PEERS
    before = look()
    file = file_of(NAME, many(networks))
    said = ww("up", "--engine", "kernel", str(file))
    assert f"[#] ip link add {NAME} type wireguard\n" in said.err
    dump = same_dump()
    assert dump.count("/32") + dump.count("/128") == PEERS * networks
    routes = subprocess.run(["ip", "route", "show", "dev", NAME], capture_output=True, text=True, check=True)
    assert "192.168.77.0/24" in routes.stdout

    # All that is shown.
    assert ww("show", NAME).out == wg("show", NAME)
    (told,) = json.loads(ww("show", NAME, "--json").out)["interfaces"]
    assert (told["engine"], told["listen_port"]) == ("kernel", 51900)
    assert sum(len(peer["allowed_ips"]) for peer in told["peers"]) == PEERS * networks + 2
    configuration = wg("showconf", NAME)
    with beside(ww("strip", str(file)).out) as other:
        assert without_port(configuration) == wg("showconf", other)

    # What is changed, and changed back.
    change = "+10.127.0.0/16,-10.64.0.0/32,-fd64::1/128"
    ww("set", NAME, "peer", str(public(0)), "persistent-keepalive", "7", "allowed-ips", change)
    assert "10.127.0.0/16" in same_dump()
    added = f"[Peer]\nPublicKey = {public(99)}\nAllowedIPs = 10.126.0.0/16\n"
    ww("addconf", NAME, "-", text=added)
    assert str(public(99)) in same_dump()
    ww("syncconf", str(file))
    assert in_any_order(wg("showconf", NAME)) == in_any_order(configuration)
    ww("setconf", NAME, "-", text=configuration)
    assert wg("showconf", NAME) == configuration
    same_dump()

    # What is saved is what there is.
    ww("set", NAME, "listen-port", "51901", "peer", str(public(1)), "remove")
    ww("save", str(file))
    assert file.read_text().startswith("# the office\n[Interface]\n")
    with beside(ww("strip", str(file)).out) as other:
        assert without_port(wg("showconf", NAME)) == wg("showconf", other)
    assert "ListenPort = 51901" in file.read_text()

    ww("down", str(file))
    assert look() == before


def test_by_itself_up_takes_the_kernel_s_engine_and_the_program_tells_it() -> None:
    file = file_of("wgauto", f"[Interface]\nPrivateKey = {SecretKey.generate().expose()}\n")
    # As if this kernel had TUN devices, too: ours could be taken.
    vars(userspace)["TUN"] = Path("/dev/null")
    assert userspace.UserspaceEngine().why_absent() is None
    said = ww("up", str(file))
    assert "[#] ip link add wgauto type wireguard\n" in said.err
    program = Path(sys.executable).with_name("ww")
    shown = subprocess.run([program, "show", "interfaces"], capture_output=True, text=True, check=True)
    assert "wgauto" in shown.stdout.split()
    said = ww("up", str(file), "--engine", "wirewright", status=1)
    assert "wgauto is served by the engine 'kernel', not 'wirewright'" in said.err
    ww("down", str(file))
    assert not ENGINE.has("wgauto")


def full_tunnel(more: str = "") -> Path:
    peer = f"[Peer]\nPublicKey = {public(0)}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.1:1\n"
    key = SecretKey.generate().expose()
    return file_of("wgfull", f"[Interface]\nPrivateKey = {key}\nAddress = 10.9.0.1/24\n{more}{peer}")


def test_a_full_tunnel_takes_all_but_its_own_datagrams_and_leaves_nothing() -> None:
    before = look()
    file = full_tunnel()
    ww("up", str(file))
    assert wg("show", "wgfull", "fwmark") == "0xca6c\n"
    assert "dev wgfull" in way("198.18.0.1")
    assert "dev eth0" in way("198.51.100.1", "mark", "0xca6c")
    ww("down", str(file))
    assert look() == before


def way(*words: str) -> str:
    done = subprocess.run(["ip", "route", "get", *words], capture_output=True, text=True, check=True)
    return done.stdout


def test_what_fails_at_the_end_leaves_the_host_as_it_was() -> None:
    before = look()
    said = ww("up", str(full_tunnel("PostUp = exit 3\n")), status=1)
    assert "the hook failed, exit status 3; everything was undone" in said.err
    assert look() == before
