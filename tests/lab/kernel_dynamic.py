"""The kernel's WireGuard at one end of wg-dynamic, ours at the other: what both tests of that share."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import ROOT
from tests.lab.kernel import HERE, THERE
from tests.lab.nodes import Node
from wirewright.dynamic import link_local
from wirewright.keys import SecretKey
from wirewright.lab.initramfs import GuestError

if TYPE_CHECKING:
    from wirewright.lab import Lab
    from wirewright.lab.guest import Guest

WW = str(Path(sys.executable).with_name("ww"))
POOLS = ("--pool", "10.99.0.0/24", "--pool", "fd99::/120")


class Ends:
    """The kernel's wg0 in the guest, and ours on the host a, which know each other's link-local addresses."""

    def __init__(self, lab: Lab, guest: Guest) -> None:
        self.lab, self.guest = lab, guest
        self.key = SecretKey.generate()
        self.ours = Node(lab["a"]).start()
        guest.run("ip link add wg0 type wireguard")
        guest.run(f"echo {self.key.expose()} >/key; wg set wg0 private-key /key listen-port 51820")
        guest.run("ip link set wg0 up")

    @property
    def guest_address(self) -> str:
        return f"{link_local(self.key.public_key)}/128"

    @property
    def our_address(self) -> str:
        return f"{link_local(self.ours.public_key)}/128"

    def serve_here(self) -> None:
        """Have the guest be a client of the host."""
        there = f"[Peer]\nPublicKey = {self.key.public_key}\nAllowedIPs = {self.guest_address}\n"
        self.ours.setconf(there + f"Endpoint = {THERE[4]}:51820\n")
        self.guest.run(
            f"wg set wg0 peer {self.ours.public_key} endpoint {HERE[4]}:51820 "
            "allowed-ips fe80::/128,10.99.0.0/24"
        )
        self.guest.run(f"ip addr add {self.guest_address} dev wg0; ip route add fe80::/128 dev wg0")

    def serve_there(self, *allowed: str) -> None:
        """Have the host be a client of the guest."""
        self.guest.run("ip addr add fe80::/64 dev wg0; ip route add 10.99.0.0/28 dev wg0")
        networks = ",".join((self.our_address, *allowed))
        self.guest.run(
            f"wg set wg0 peer {self.ours.public_key} endpoint {HERE[4]}:51820 allowed-ips {networks}"
        )
        there = f"[Peer]\nPublicKey = {self.key.public_key}\nAllowedIPs = fe80::/128, 10.99.0.0/24\n"
        self.ours.setconf(there + f"Endpoint = {THERE[4]}:51820\n")

    def allowed_there(self) -> set[str]:
        """What the kernel's interface gives to ours."""
        rows = (line.split("\t") for line in self.guest.run("wg show wg0 allowed-ips").splitlines())
        return set(dict(rows)[str(self.ours.public_key)].split()) - {"(none)"}

    def allowed_here(self) -> set[str]:
        return set(self.ours.show("allowed-ips")[str(self.key.public_key)].split()) - {"(none)"}

    def addresses_there(self) -> set[str]:
        words = self.guest.run("ip -o addr show dev wg0").split()
        return {words[index + 1] for index, word in enumerate(words) if word.startswith("inet")}

    def start(self, *command: str, ready: str) -> None:
        """Begin a program of this machine's in the guest, and wait until it has said so."""
        environment = ("env", f"PYTHONPATH={ROOT}", "PYTHONUNBUFFERED=1")
        line = shlex.join(("chroot", "/share", *environment, *command))
        self.guest.run(f"{line} >/share/run/said 2>&1 &")
        end = time.monotonic() + 240
        # Not more often: to look takes the one processor from what is looked for.
        while ready not in self.said():
            assert time.monotonic() < end, self.said()
            time.sleep(2)

    def said(self) -> str:
        try:
            return self.guest.run("cat /share/run/said")
        except GuestError:
            return ""

    def end(self, name: str) -> None:
        """End what was begun."""
        self.guest.run(f"for p in $(pidof {name}); do kill -9 $p; done; true")

    def lease(self, *options: str, check: bool = True) -> dict[str, Any]:
        """Ask from here, once."""
        done = self.lab["a"].run(WW, "lease", "wg0", "--once", "--json", *options, check=check, timeout=120)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def serving(self, leases: Path, *options: str) -> subprocess.Popen[str]:
        """Serve here."""
        process = self.lab["a"].popen(
            *(WW, "dynamic", "serve", "wg0", "--json", "--leases", str(leases), *POOLS, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert "serving" in process.stdout.readline()
        return process


__all__ = ["POOLS", "WW", "Ends"]
