"""The commands, and what happens to errors that reach the top.

A command is a module of this package with a function of the same name, or, for a group, a `typer.Typer`.
Modules are imported when their command runs, and import heavier things inside the function, so that ``ww``
starts quickly. To add a command, add its name to ``COMMANDS``.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = (
    "up",
    "down",
    "show",
    "top",
    "set",
    "setconf",
    "addconf",
    "syncconf",
    "save",
    "strip",
    "genkey",
    "genpsk",
    "pubkey",
    "check",
    "ping",
    "proxy",
    "run",
    "lease",
    "dynamic",
    "serve",
    "device",
    "invite",
    "enrol",
    "user",
    "gateways",
    "pool",
    "audit",
    "gateway",
    "demo",
    "lab",
    "bench",
    "completion",
)
"""In the order in which the help lists them."""

SETTINGS = {
    "set": {"allow_interspersed_args": False, "ignore_unknown_options": True},
    "run": {"allow_interspersed_args": False},
}
"""Click's, for those commands whose last arguments are words of their own, or another command."""

TRACEBACK = "WIREWRIGHT_TRACEBACK"
"""Set this in the environment to see where an unexpected error comes from."""


_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=")


class CommandError(Exception):
    """Ends a command with exit status 1, or another; its text is for the person at the terminal."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def run() -> int:
    """Run the command that the arguments name and give the exit status."""
    try:
        _check_start(sys.argv[1:])
        typer.main.get_command(app).main()
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        if sys.stderr is not None:
            sys.stderr.write(f"{explain_error(error)}\n")
        status = getattr(error, "status", None)
        return status if isinstance(status, int) else 1
    return 0


def _check_start(arguments: Sequence[str]) -> None:
    """Refuse what would go wrong silently, or show a secret, before a command runs."""
    if sys.stdout is None:
        # Python has None for it, and the descriptor 1 will soon be any other file.
        raise CommandError("the standard output is closed; to have no output, redirect it to /dev/null")
    if any(_KEY.search(argument) for argument in _unexpected(arguments)):
        # Not repeated in a message about arguments, which may end up in a log.
        raise CommandError(
            "a key stands among the arguments, where every user of this machine can read it. If it is "
            "secret, make another. Keys come by the standard input or from a file: ww pubkey < private.key",
            status=2,
        )


def _unexpected(arguments: Sequence[str]) -> Iterator[str]:
    """Leave out the public keys by which `ww set` names peers, and what `ww run` has another command told."""
    own = arguments[:2] if arguments[:1] == ["run"] else arguments
    for index, argument in enumerate(own):
        if not (own[0] == "set" and index > 1 and own[index - 1] == "peer"):
            yield argument


def explained(error: Exception) -> bool:
    """Whether an error is one that a person can do something about, and not a mistake of ours."""
    from wirewright.config import ConfigError  # noqa: PLC0415 - only if something went wrong

    return isinstance(error, OSError | CommandError | ConfigError)


def explain_error(error: Exception) -> str:
    """Put an error that ended a command into words."""
    from wirewright.config import ConfigError  # noqa: PLC0415 - only if something went wrong
    from wirewright.host.errors import words  # noqa: PLC0415

    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, CommandError):
        return f"ww: {error}"
    if isinstance(error, OSError):
        return f"ww: {words(error)}"
    return f"ww: {words(error)} (set {TRACEBACK}=1 to see where)"


class _Commands(MutableMapping[str, Any]):
    """Commands by name, made when they are asked for."""

    def __init__(self) -> None:
        self._made: dict[str, TyperCommand | TyperGroup] = {}

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _command(name, getattr(import_module(f"wirewright.cli.{name}"), name))
        return self._made[name]

    def __setitem__(self, name: str, command: TyperCommand | TyperGroup) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _command(name: str, found: typer.Typer | Callable[..., None]) -> TyperCommand | TyperGroup:
    if isinstance(found, typer.Typer):
        group = typer.main.get_command(found)
        assert isinstance(group, TyperGroup)
        group.name = name
        return group
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, context_settings=SETTINGS.get(name))(found)
    command = typer.main.get_command(single)
    assert isinstance(command, TyperCommand)
    return command


class _Group(TyperGroup):
    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - TyperGroup's, passed on
        super().__init__(**options)
        self.commands = _Commands()


app = typer.Typer(cls=_Group, no_args_is_help=True, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        from wirewright import __version__  # noqa: PLC0415 - loads the core

        typer.echo(f"wirewright {__version__}")
        raise typer.Exit


@app.callback()
def _ww(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """WireGuard networks, wrought in Python."""
