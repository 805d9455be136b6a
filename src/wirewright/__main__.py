"""``python -m wirewright`` is ``ww``."""

from wirewright.cli import main

main()
