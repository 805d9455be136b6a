"""``ww set``."""

from typing import Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.arguments import Existing
from wirewright.cli.completing import words_of_set


def set(  # noqa: A001 - the command's name
    interface: Existing,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SETTING VALUE",
            help="What to set, of the interface first, then of peers.",
            autocompletion=words_of_set,
        ),
    ] = None,
) -> None:
    """Change an interface and its peers while it is up, as wg does.

    What is not named stays as it is.

    \b
    listen-port PORT
    fwmark NUMBER|off
    private-key FILE
    peer KEY [remove]
         [preshared-key FILE]
         [endpoint HOST:PORT]
         [persistent-keepalive SECONDS|off]
         [allowed-ips NETWORK,...]
    peer KEY ...

    A peer that the interface does not have is added. Keys but a peer's are read from files, - being the
    standard input; an empty file takes the key away. allowed-ips are all that the peer has; with + or -
    before a network, they are what it has more, or no more. '' is none.
    """  # noqa: D301 - a backspace is meant
    from wirewright.config.keyfile import read_preshared_key, read_secret_key  # noqa: PLC0415
    from wirewright.tunnel.system import Interface  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system.facts import resolve  # noqa: PLC0415
    from wirewright.tunnel.system.words import Sources, WordError, change_of  # noqa: PLC0415

    def path(name: str) -> str:
        return "/dev/stdin" if name == "-" else name

    sources = Sources(
        lambda name: read_secret_key(path(name)), lambda name: read_preshared_key(path(name)), resolve
    )
    try:
        change = change_of(words or (), sources)
    except WordError as error:
        raise CommandError(str(error), status=2) from None
    Interface(interface).set(change)
