"""``ww``, the command line: one file a command, no logic.

Data goes to the standard output, everything else to the standard error. Exit status 0 is success, 1 failure,
2 a mistake in the arguments, 130 an interrupt; ``ww run`` gives its command's, and 125 to 127.
"""

import sys


def main() -> None:
    """Run ``ww`` or ``wirewright`` with the arguments of this process."""
    try:
        from wirewright.cli.app import run  # noqa: PLC0415 - an interrupt while importing is caught too

        status = run()
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
