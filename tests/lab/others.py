"""The other implementations in user space, and in what each of them differs."""

from __future__ import annotations

from dataclasses import dataclass

from tests.conftest import installed


@dataclass(frozen=True)
class Other:
    """A program that serves an interface as ours does, and what its answers to ``wg show`` mean."""

    program: str
    script: str
    tells_private_key: bool = True
    tells_time_of_handshake: bool = True
    """And not how long it was ago."""
    counts_sent_datagrams: bool = True
    counts_received_datagrams: bool = True
    """And not the packets in them."""
    can_be_changed: bool = True
    """Whether it takes another key or port while it runs; else it may refuse, or end."""
    when_roaming: str = ""
    """Options without which it goes on from the address that it had."""

    @property
    def path(self) -> str:
        """Where it is; a test that asks is skipped, or fails under CI=true, if it is not there."""
        return str(installed(self.program, self.script))


OTHERS = (
    Other("wireguard-go", "install_wireguard_go.py"),
    Other(
        "boringtun-cli",
        "install_cargo_peers.py",
        tells_private_key=False,
        tells_time_of_handshake=False,
        counts_sent_datagrams=False,
        counts_received_datagrams=False,
        when_roaming="--disable-connected-udp",
    ),
    Other("gotatun", "install_cargo_peers.py", counts_received_datagrams=False, can_be_changed=False),
)
