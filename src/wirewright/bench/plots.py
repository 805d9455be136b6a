"""Results as a picture, drawn by matplotlib (``pip install "wirewright[bench]"``)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wirewright.bench.figures import FIGURES
from wirewright.bench.goals import BORINGTUN, CEILING, GO, GOTATUN, OURS, PLAIN
from wirewright.bench.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    OURS: "#d1495b",
    PLAIN: "#edae9f",
    GO: "#00798c",
    BORINGTUN: "#edae49",
    GOTATUN: "#7768ae",
    CEILING: "#6b7280",
    "loop": "#9ca3af",
    "veth": "#d1d5db",
}
PANEL = (6.4, 2.9)
"""Inches."""


@dataclass(frozen=True)
class Panel:
    """One figure of one workload, a bar for each contestant."""

    workload: str
    figure: str
    logarithmic: bool = False


PANELS = (
    Panel("tcp-1", "bits_per_second"),
    Panel("tcp-1-back", "bits_per_second"),
    Panel("tcp-8", "bits_per_second"),
    Panel("tcp-8-back", "bits_per_second"),
    Panel("rough-1", "bits_per_second"),
    Panel("rough-8", "bits_per_second"),
    Panel("tcp-1", "cpu_per_gigabyte"),
    Panel("system-calls", "system_calls_per_gigabyte", logarithmic=True),
    Panel("udp-64", "packets_per_second"),
    Panel("udp-1400", "packets_per_second"),
    Panel("udp-64-paced", "cpu_per_packet"),
    Panel("tcp-8", "peak_memory", logarithmic=True),
    Panel("ping-idle", "round_trip_median", logarithmic=True),
    Panel("ping-loaded", "round_trip_median", logarithmic=True),
    Panel("peers-1000", "bits_per_second"),
    Panel("peers-1000", "memory_per_peer", logarithmic=True),
)


def why_no_plots() -> str | None:
    """Say what to do to have plots, or nothing if they can be drawn."""
    if find_spec("matplotlib") is None:
        return 'no picture is drawn, for matplotlib is not installed: pip install "wirewright[bench]"'
    return None


def draw(report: Report, path: Path) -> None:
    """Draw what was measured into a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to load

    measured = {name: set(report.results.figures(name)) for name in report.results.workloads()}
    panels = [panel for panel in PANELS if panel.figure in measured.get(panel.workload, ())]
    columns = min(2, len(panels)) or 1
    rows = -(-len(panels) // columns) or 1
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for place, panel in zip(axes, panels, strict=False):
        _draw_panel(place, report, panel)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    figure.suptitle(_title(report), fontsize=10)
    figure.savefig(path, dpi=130)


def _title(report: Report) -> str:
    processors, processor, kernel = (
        report.machine.get(name, "?") for name in ("processors", "processor", "kernel")
    )
    how = f"medians of {report.rounds} × {report.seconds:g} s; thin lines go from the lowest to the highest"
    return f"{processors} × {processor}, Linux {kernel}\n{how}"


def _draw_panel(axes: "Axes", report: Report, panel: Panel) -> None:
    results, figure = report.results, FIGURES[panel.figure]
    found = [
        (name, spread)
        for name in report.contestants
        if (spread := results.of(panel.workload, name, panel.figure)) is not None
    ]
    names = [name for name, _ in found]
    medians = [spread.median for _, spread in found]
    spans = [
        [spread.median - spread.low for _, spread in found],
        [spread.high - spread.median for _, spread in found],
    ]
    axes.barh(
        names,
        medians,
        xerr=spans,
        color=[COLOURS.get(name, "#444444") for name in names],
        error_kw={"elinewidth": 1, "ecolor": "#222222"},
    )
    axes.invert_yaxis()
    if panel.logarithmic:
        axes.set_xscale("log")
    _label(axes, [spread.high for _, spread in found], [figure.show(value) for value in medians])
    better = "more is better" if figure.more_is_better else "less is better"
    axes.set_title(f"{report.workloads[panel.workload]}\n{figure.title} ({better})", fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter(_ticks(figure.show))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _label(axes: "Axes", ends: Sequence[float], texts: Sequence[str]) -> None:
    """Write each value behind its bar, and make room for it."""
    for row, (end, text) in enumerate(zip(ends, texts, strict=True)):
        axes.annotate(text, (end, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.25 if axes.get_xscale() == "log" else high * 1.22)


def _ticks(show: Callable[[float], str]) -> Any:  # noqa: ANN401 - matplotlib is an extra
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    return FuncFormatter(lambda value, _: show(value))
