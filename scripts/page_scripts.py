"""Write down what the page's scripts are: docs/page-scripts.sha256. Run it after a change of any of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from wirewright.coordinator.web.integrity import listing  # noqa: E402

PUBLISHED: Final = ROOT / "docs/page-scripts.sha256"


def main() -> None:
    """Write the list."""
    PUBLISHED.write_text(listing())


if __name__ == "__main__":
    main()
