"""Results as a picture, drawn by matplotlib (``pip install "wirewright[bench]"``)."""

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
PANEL = (6.4, 2.6)
"""Inches."""


@dataclass(frozen=True)
class Panel:
    """One figure of one workload, a bar for each contestant."""

    workload: str
    figure: str


PANELS = (
    Panel("tcp-1", "bits_per_second"),
    Panel("tcp-1-back", "bits_per_second"),
    Panel("tcp-8", "bits_per_second"),
    Panel("tcp-8-back", "bits_per_second"),
    Panel("rough-1", "bits_per_second"),
    Panel("rough-8", "bits_per_second"),
    Panel("tcp-1", "cpu_per_gigabyte"),
    Panel("system-calls", "system_calls_per_gigabyte"),
    Panel("udp-64", "packets_per_second"),
    Panel("udp-1400", "packets_per_second"),
    Panel("udp-64-paced", "cpu_per_packet"),
    Panel("tcp-8", "peak_memory"),
    Panel("ping-idle", "round_trip_median"),
    Panel("ping-loaded", "round_trip_median"),
    Panel("peers-1000", "bits_per_second"),
    Panel("peers-1000", "memory_per_peer"),
)


def why_no_plots() -> str | None:
    """Say what to do to have plots, or nothing if they can be drawn."""
    if find_spec("matplotlib") is None:
        return 'no picture is drawn, for matplotlib is not installed: pip install "wirewright[bench]"'
    return None


def draw(report: Report, path: Path) -> None:
    """Draw what was measured into a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to load
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    measured = {name: set(report.results.figures(name)) for name in report.results.workloads()}
    panels = [panel for panel in PANELS if panel.figure in measured.get(panel.workload, ())]
    columns = min(2, len(panels)) or 1
    rows = -(-len(panels) // columns) or 1
    figure = Figure(
        figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.9), layout=ConstrainedLayoutEngine(w_pad=0.12)
    )
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
    # As many places in each panel, so that all bars are of one width.
    axes.set_ylim(len(report.contestants) - 0.4, -0.6)
    axes.set_xlim(0, max(spread.high for _, spread in found) * 1.2 or 1)
    for row, (_, spread) in enumerate(found):
        _write(axes, figure.show(spread.median), (spread.high, row), (4, 0), va="center")
    better = "more is better" if figure.more_is_better else "less is better"
    axes.set_title(report.workloads[panel.workload].title, fontsize=9.5, loc="left", pad=16)
    _write(axes, f"{figure.title} ({better})", (0, 1), (0, 4), xycoords="axes fraction", color="#555555")
    # Each bar has its value beside it.
    axes.tick_params(labelsize=8, left=False, bottom=False, labelbottom=False)
    axes.spines["left"].set_bounds(-0.5, len(found) - 0.5)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _write(
    axes: "Axes",
    text: str,
    at: tuple[float, float],
    beside: tuple[float, float],
    **how: Any,  # noqa: ANN401 - passed on
) -> None:
    axes.annotate(text, at, xytext=beside, textcoords="offset points", fontsize=8, **how)
