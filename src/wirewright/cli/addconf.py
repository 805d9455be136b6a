"""``ww addconf``."""

from wirewright.cli.arguments import Existing, Part


def addconf(interface: Existing, file: Part) -> None:
    """Add what a file says to what an interface says, as wg does.

    The file need not have an [Interface] section. A peer that the interface has already gets the allowed IPs
    of the file and no others.
    """
    from wirewright.cli.system import part  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system import Interface  # noqa: PLC0415

    Interface(interface).addconf(part(file))
