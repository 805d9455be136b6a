"""A test's machines: tunnels of ours without any right, wireguard-go with networks behind it, relays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.interop.relay import Relay
from tests.interop.remote import Remote
from tests.interop.wireguard_go import WireGuardGo
from wirewright.config.values import host_and_port
from wirewright.keys import PresharedKey, PublicKey, SecretKey

OURS = ("10.77.0.1", "fd77::1")


class Rootless(Remote):
    """A process of ours that holds one tunnel, and no capability."""

    def __init__(self, without_capabilities: Sequence[str]) -> None:
        super().__init__("tests.interop.rootless", prefix=without_capabilities)
        self.key = SecretKey.generate()
        self.addresses = OURS
        self.port = 0

    @property
    def public_key(self) -> PublicKey:
        """By which its peers know it."""
        return self.key.public_key

    def open(self, *peers: str, listen_port: int = 0, **settings: Any) -> None:
        """Open the tunnel with these ``[Peer]`` sections; it must be in a process without rights."""
        assert self.hello == {"capabilities": 0, "tun_error": "EPERM"}
        interface = (
            f"[Interface]\nPrivateKey = {self.key.expose()}\nListenPort = {listen_port}\n"
            f"Address = {OURS[0]}/24, {OURS[1]}/64\n"
        )
        self.port = self.call("open", config=interface + "".join(peers), **settings)

    def ping(self, host: str, seconds: float = 10.0) -> float:
        """Ping through the tunnel."""
        return float(self.call("ping", host=host, seconds=seconds))

    def count(self, event: str) -> int:
        """Return the tunnel's counter of an event."""
        return int(self.call("stats")["counters"][event])

    def peer(self, public_key: PublicKey) -> dict[str, Any]:
        """Return what the tunnel knows of one peer."""
        peers: dict[str, dict[str, Any]] = {peer["public_key"]: peer for peer in self.call("stats")["peers"]}
        return peers[str(public_key)]


def peer_section(
    public_key: PublicKey,
    addresses: Sequence[str],
    *,
    endpoint: tuple[str, int] | None = None,
    preshared_key: PresharedKey | None = None,
    keepalive: int | None = None,
) -> str:
    """Write a ``[Peer]`` section."""
    lines = ["[Peer]", f"PublicKey = {public_key}", f"AllowedIPs = {', '.join(addresses)}"]
    if endpoint is not None:
        lines.append(f"Endpoint = {host_and_port(*endpoint)}")
    if preshared_key is not None:
        lines.append(f"PresharedKey = {preshared_key.expose()}")
    if keepalive is not None:
        lines.append(f"PersistentKeepalive = {keepalive}")
    return "\n".join([*lines, ""])


class Lab:
    """Makes machines, and takes all of them down."""

    def __init__(self, program: Path, without_capabilities: Sequence[str]) -> None:
        self._program = program
        self._without_capabilities = without_capabilities
        self._stack = ExitStack()
        self._ours: list[Rootless] = []
        self._theirs: list[WireGuardGo] = []
        self.logs: list[tuple[str, str]] = []

    # Machines.

    def rootless(self) -> Rootless:
        """Start a process of ours; its tunnel is not open yet."""
        ours = Rootless(self._without_capabilities)
        self._ours.append(ours)
        return ours

    def wireguard_go(self) -> WireGuardGo:
        """Start a wireguard-go that knows nobody yet."""
        theirs = WireGuardGo(self._program, 2 + len(self._theirs))
        self._theirs.append(theirs)
        theirs.start()
        return theirs

    def relay(self, host: str = "127.0.0.1") -> Relay:
        """Start a relay."""
        return self._stack.enter_context(Relay(host))

    # Machines that know each other.

    def pair(
        self,
        *,
        outer: str = "127.0.0.1",
        relay: Relay | None = None,
        we_know_where: bool = True,
        they_know_where: bool = False,
        preshared_key: PresharedKey | None = None,
        their_preshared_key: PresharedKey | None = None,
        keepalive: int | None = None,
        their_keepalive: int = 0,
        **settings: Any,
    ) -> tuple[Rootless, WireGuardGo]:
        """Return both ends of an interface, configured; no packet has been sent.

        ``outer`` is the loopback address they are to each other; a `relay` takes its place.
        ``settings`` are for the opening of our tunnel.
        """
        us, them = self.rootless(), self.wireguard_go()
        theirs: dict[str, Any] = {
            "preshared_key": their_preshared_key or preshared_key,
            "keepalive": their_keepalive,
        }
        if not they_know_where:
            # Before we open: what we send then must be answered.
            them.add_peer(us.public_key, *us.addresses, **theirs)
        if relay is not None:
            relay.them = (outer, them.port)
        there = relay.left if relay else (outer, them.port)
        section = peer_section(
            them.public_key,
            them.addresses,
            endpoint=there if we_know_where else None,
            preshared_key=preshared_key,
            keepalive=keepalive,
        )
        us.open(section, **settings)
        if relay is not None:
            relay.us = (outer, us.port)
        if they_know_where:
            here = relay.right if relay else (outer, us.port)
            them.add_peer(us.public_key, *us.addresses, endpoint=host_and_port(*here), **theirs)
        return us, them

    def close(self) -> None:
        """Take everything down, whatever state it is in; our processes must end without a complaint."""
        complaints = []
        with self._stack:
            for number, ours in enumerate(self._ours):
                status, said = ours.close()
                if status != 0 or said:
                    complaints.append(f"our process {number} ended with status {status} and said:\n{said}")
            for theirs in self._theirs:
                self.logs.append(("wireguard-go", theirs.close()))
        assert not complaints, "\n".join(complaints)
