"""What a run leaves behind: three files in one directory."""

import json
from pathlib import Path

from wirewright.bench.plots import draw, why_no_plots
from wirewright.bench.report import Report

JSON = "results.json"
MARKDOWN = "report.md"
PICTURE = "report.png"


def write(report: Report, directory: Path) -> list[Path]:
    """Write them all, but for the picture if it cannot be drawn; return what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    data, page, picture = (directory / name for name in (JSON, MARKDOWN, PICTURE))
    data.write_text(json.dumps(report.as_data(), indent=1, ensure_ascii=False) + "\n")
    text = report.as_markdown()
    written = [data, page]
    if why_no_plots() is None:
        draw(report, picture)
        written.append(picture)
        text += f"\n![The figures as bars]({PICTURE})\n"
    page.write_text(text)
    return written
