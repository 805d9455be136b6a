"""What `top` shows: a pure function from what is known to what a terminal is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wirewright.tunnel.system.columns import endpoint, network
from wirewright.tunnel.system.pretty import amount, duration
from wirewright.tunnel.system.showing import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from wirewright.tunnel.system.rates import InterfaceView, PeerView, Rate, View

BARS: Final = " ▁▂▃▄▅▆▇█"
SPARK: Final = 12
"""Characters of a course of rates."""
FRESH: Final = 180
"""Seconds after a handshake in which a session can be used; an older one that nobody renews is quiet."""
SHOWN_DROPS: Final = 4
LINES: Final = 10
"""Lines of an interface besides those of its peers, at most."""
INDENT: Final = 2
LESS: Final = 80
MORE: Final = 100
ALL: Final = 120
"""Characters of a line from which on there is room for totals, for networks, and for all."""

SORTS: Final[dict[str, Callable[[PeerView], float]]] = {
    "rate": lambda peer: -peer.rate.both,
    "session": lambda peer: -peer.state.latest_handshake,
    "received": lambda peer: -peer.state.received,
    "sent": lambda peer: -peer.state.sent,
    "none": lambda _: 0.0,
}
"""The orders that peers can be shown in; those that are equal keep theirs."""


@dataclass(frozen=True)
class Frame:
    """How much there is room for, and in which order."""

    width: int = 120
    """Characters of a line."""
    sort: str = "rate"
    rows: int | None = None
    """Peers of an interface that are shown; all, unless given."""


def picture(view: View, now: float, frame: Frame) -> RenderableType:
    """Draw all interfaces; `now` is in seconds since 1970."""
    if not view.interfaces:
        return Text("no WireGuard interface is up", style="dim")
    parts: list[RenderableType] = []
    for number, interface in enumerate(view.interfaces):
        if number:
            parts.append(Text())
        parts += _interface(interface, now, frame)
    return Group(*parts)


def spark(values: Sequence[float], width: int = SPARK) -> str:
    """Draw the last values as bars, the highest as a full one."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    bars = "".join(BARS[max(1, round(8 * value / top))] if value > 0 else BARS[0] for value in shown)
    return bars.rjust(width)


def size(count: float) -> str:
    """Write a number of bytes in three figures, or four before the next unit."""
    number, unit = amount(int(count))
    digits = 0 if unit == "B" or float(number) >= 100 else 1 if float(number) >= 10 else 2
    return f"{float(number):.{digits}f} {unit}"


def age(seconds: float) -> str:
    """Write a time in its two largest units, or one where two would be long."""
    parts = [f"{count}{unit[0]}" for count, unit in duration(max(0, int(seconds)))] or ["now"]
    both = " ".join(parts[:2])
    return both if len(both) <= 7 else parts[0]


@dataclass(frozen=True)
class Column:
    """A column of peers. Numbers always fit; names that do not are cut off."""

    title: str
    write: Callable[[PeerView, float], Text]
    width: int
    justify: Literal["left", "right"] = "left"
    widest: int = 0
    """How wide it may become where there is room; as it is, unless given."""
    from_width: int = 0
    """Characters that a line must have for the column to be shown."""


def _interface(view: InterfaceView, now: float, frame: Frame) -> list[RenderableType]:
    state = view.told.state
    live = sum(_is_fresh(peer, now) for peer in view.peers)
    title = Text.assemble(
        (state.name, "bold green"),
        (f"  {view.told.engine}", "dim"),
        f"  port {state.listen_port}" if state.listen_port else "",
        f"  {len(view.peers)} peer{'s' * (len(view.peers) != 1)}",
        (f", {live} in touch", "dim") if view.peers else "",
        "   ",
        *_rate(view.rate),
        no_wrap=True,
        overflow="ellipsis",
    )
    parts: list[RenderableType] = [title]
    peers = sorted(view.peers, key=SORTS[frame.sort])
    if peers:
        shown = peers if frame.rows is None else peers[: max(1, frame.rows)]
        parts.append(Padding(_table(shown, now, frame.width), (0, 0, 0, INDENT)))
        if hidden := len(peers) - len(shown):
            parts.append(Text(f"    and {hidden} more", style="dim"))
    if (drops := _drops(view)) is not None:
        parts.append(Text("  dropped or refused", style="dim"))
        parts.append(Padding(drops, (0, 0, 0, INDENT)))
    return parts


def _table(peers: Sequence[PeerView], now: float, width: int) -> Table:
    """Give all tables of a line's width the same columns, and what is left of it to the endpoints."""
    gap = 2 if width >= ALL else 1
    columns = [column for column in COLUMNS if width >= column.from_width]
    left = width - INDENT - sum(column.width + gap for column in columns) + gap
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        wide = min(column.widest, column.width + max(0, left)) if column.widest else column.width
        table.add_column(column.title, justify=column.justify, no_wrap=True, overflow="ellipsis", width=wide)
    for peer in peers:
        table.add_row(*(column.write(peer, now) for column in columns))
    return table


def _networks(peer: PeerView) -> Text:
    networks = peer.state.allowed_ips
    if not networks:
        return Text("none", style="dim")
    more = f" +{len(networks) - 1}" if len(networks) > 1 else ""
    return Text.assemble(network(networks[0]), (more, "dim"))


def _is_fresh(peer: PeerView, now: float) -> bool:
    return peer.state.latest_handshake > 0 and now - peer.state.latest_handshake / 1e9 < FRESH


def _session(peer: PeerView, now: float) -> Text:
    if not peer.state.latest_handshake:
        return Text("never", style="dim")
    seconds = now - peer.state.latest_handshake / 1e9
    return Text(age(seconds), style="green" if seconds < FRESH else "dim")


def _number(count: float, unit: str = "") -> Text:
    return Text(size(count) + unit, style="" if count else "dim")


def _endpoint(peer: PeerView, _: float) -> Text:
    known = peer.state.endpoint
    return Text(endpoint(known)) if known else Text("not known", style="dim")


def _course(peer: PeerView) -> Text:
    return Text(spark([rate.both for rate in peer.rates]), style="cyan")


def _rate(rate: Rate) -> tuple[tuple[str, str], ...]:
    style = "bold" if rate.both else "dim"
    return ((f"↓ {size(rate.received)}/s  ", style), (f"↑ {size(rate.sent)}/s", style))


def _drops(view: InterfaceView) -> Table | None:
    """Tell what was dropped: what is going on now first, then the largest counts."""
    counters = view.told.counters
    rows = [(name, count) for name, count in (counters or {}).items() if count]
    if not rows:
        return None
    rows.sort(key=lambda row: (-view.dropped.get(row[0], 0), -row[1]))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True, min_width=max(len(str(count)) for _, count in rows))
    table.add_column(justify="right", no_wrap=True, min_width=4)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, count in rows[:SHOWN_DROPS]:
        more = view.dropped.get(name, 0)
        style = "red" if more else "dim"
        table.add_row(
            Text(str(count), style=style),
            Text(f"+{more}" if more else "", style=style),
            Text(WORDS.get(name, name), style=style),
        )
    if (hidden := len(rows) - SHOWN_DROPS) > 0:
        table.add_row("", "", Text(f"and {hidden} more: ww show --counters", style="dim"))
    return table


COLUMNS: Final = (
    Column("peer", lambda peer, _: Text(str(peer.state.public_key), style="yellow"), 8),
    Column("endpoint", _endpoint, 21, widest=47),
    Column("allowed ips", lambda peer, _: _networks(peer), 16, from_width=MORE),
    Column("session", _session, 7),
    Column("↓ rate", lambda peer, _: _number(peer.rate.received, "/s"), 10, "right"),
    Column("↑ rate", lambda peer, _: _number(peer.rate.sent, "/s"), 10, "right"),
    Column("course", lambda peer, _: _course(peer), SPARK, from_width=ALL),
    Column("↓ total", lambda peer, _: _number(peer.state.received), 8, "right", from_width=LESS),
    Column("↑ total", lambda peer, _: _number(peer.state.sent), 8, "right", from_width=LESS),
)
