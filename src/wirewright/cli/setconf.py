"""``ww setconf``."""

from wirewright.cli.arguments import Existing, Part


def setconf(interface: Existing, file: Part) -> None:
    """Have an interface say what a file says, and nothing else, as wg does.

    What does not stand in the file is unset, and all sessions end. To disturb no peer that stays as it is,
    use `ww syncconf`.
    """
    from wirewright.cli.system import part  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system import Interface  # noqa: PLC0415

    Interface(interface).setconf(part(file))
