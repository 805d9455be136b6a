"""What a run leaves behind: three files in one directory."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

from wirewright.bench.plots import draw, why_no_plots
from wirewright.bench.report import Report

JSON = "results.json"
MARKDOWN = "report.md"
PICTURE = "report.png"


@contextlib.contextmanager
def place_for(directory: Path) -> Iterator[None]:
    """Make the directory before anything is measured for it; it goes if nothing was written into it."""
    absent = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
    try:
        yield
    finally:
        if absent and not any(directory.iterdir()):
            directory.rmdir()


def write(report: Report, directory: Path) -> list[Path]:
    """Write them into a directory, the picture if it can be drawn; return what was written."""
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
