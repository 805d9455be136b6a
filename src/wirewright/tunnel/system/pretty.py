"""What ``show`` writes for people: the text of ``wg show``, byte for byte, with or without colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wirewright.config.parts import HIDDEN, RedactedText, placeholder
from wirewright.tunnel.system.columns import NONE, endpoint, host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wirewright.config.values import IPNetwork
    from wirewright.host.device import DeviceState, PeerState
    from wirewright.keys import PresharedKey, SecretKey
    from wirewright.tunnel.system.columns import Secrets

UNITS: Final = (("year", 31_536_000), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
SIZES: Final = ("KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Style:
    """How a text looks."""

    colours: bool = False
    hide_keys: bool = True


def pretty(states: Sequence[DeviceState], now: int, style: Style) -> RedactedText:
    """Write interfaces, with an empty line between them; `now` is in seconds since 1970."""
    writer = _Writer(now, style)
    text = "\n".join("".join(writer.interface(state)) for state in states)
    return RedactedText(text, tuple(writer.secrets))


def duration(seconds: int) -> list[tuple[int, str]]:
    """Take a time apart: how many of each unit, the largest first; none of what is zero."""
    parts = []
    for unit, length in UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append((count, unit if count == 1 else f"{unit}s"))
    return parts


def amount(count: int) -> tuple[str, str]:
    """Give a number of bytes and its unit."""
    if count < 1024:
        return str(count), "B"
    power = next((power for power in range(1, len(SIZES)) if count < 1024 ** (power + 1)), len(SIZES))
    return f"{count / 1024**power:.2f}", SIZES[power - 1]


class _Writer:
    def __init__(self, now: int, style: Style) -> None:
        self.now = now
        self.style = style
        self.secrets: Secrets = []

    def interface(self, state: DeviceState) -> Iterator[str]:
        yield self._title("interface", state.name, 32, reset=True)
        if state.private_key is not None:
            yield self._field("public key", str(state.public_key))
            yield self._field("private key", self._key(state.private_key))
        if state.listen_port:
            yield self._field("listening port", str(state.listen_port))
        if state.fwmark:
            yield self._field("fwmark", hex(state.fwmark))
        # The sort is stable: peers that never met us stay in their order.
        for peer in sorted(state.peers, key=lambda peer: -peer.latest_handshake):
            yield "\n"
            yield from self._peer(peer)

    def _peer(self, peer: PeerState) -> Iterator[str]:
        yield self._title("peer", str(peer.public_key), 33)
        if peer.preshared_key is not None:
            yield self._field("preshared key", self._key(peer.preshared_key))
        if peer.endpoint is not None:
            yield self._field("endpoint", endpoint(peer.endpoint))
        yield self._field("allowed ips", self._networks(peer.allowed_ips) or NONE)
        if peer.latest_handshake:
            yield self._field("latest handshake", self._ago(peer.latest_handshake // 1_000_000_000))
        if peer.received or peer.sent:
            received, sent = self._amount(peer.received), self._amount(peer.sent)
            yield self._field("transfer", f"{received} received, {sent} sent")
        if peer.persistent_keepalive:
            yield self._field("persistent keepalive", f"every {self._duration(peer.persistent_keepalive)}")

    def _title(self, what: str, name: str, colour: int, *, reset: bool = False) -> str:
        begin = "\x1b[0m" if reset and self.style.colours else ""
        return f"{begin}{self._coloured(what, colour, 1)}: {self._coloured(name, colour)}\n"

    def _field(self, what: str, value: str) -> str:
        return f"  {self._coloured(what, 1)}: {value}\n"

    def _coloured(self, text: str, *codes: int) -> str:
        if not self.style.colours:
            return text
        return "".join(f"\x1b[{code}m" for code in codes) + text + "\x1b[0m"

    def _key(self, key: SecretKey | PresharedKey) -> str:
        return HIDDEN if self.style.hide_keys else placeholder(key, self.secrets)

    def _networks(self, networks: Iterable[IPNetwork]) -> str:
        slash = self._coloured("/", 36)
        return ", ".join(f"{host(network.network_address)}{slash}{network.prefixlen}" for network in networks)

    def _ago(self, moment: int) -> str:
        if moment == self.now:
            return "Now"
        if moment > self.now:
            return f"({self._coloured('System clock wound backward; connection problems may ensue.', 31)})"
        return f"{self._duration(self.now - moment)} ago"

    def _duration(self, seconds: int) -> str:
        parts = duration(seconds)
        return ", ".join(f"{count} {self._coloured(unit, 36)}" for count, unit in parts)

    def _amount(self, count: int) -> str:
        number, unit = amount(count)
        return f"{number} {self._coloured(unit, 36)}"
