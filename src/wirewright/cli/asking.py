"""What all commands have that ask a coordinator: where it is, by which token, and errors in words."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeAlias

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.output import descriptor_for_secret, json_errors, write_json

if TYPE_CHECKING:
    from wirewright.client import Client

P = ParamSpec("P")

Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The coordinator; else WIREWRIGHT_URL, or the one of this machine."
    ),
]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="The file of your token; else WIREWRIGHT_TOKEN_FILE, or the one that the coordinator of this "
        "machine left.",
    ),
]
Ca: TypeAlias = Annotated[
    Path | None,
    typer.Option("--ca-file", metavar="FILE", help="Trust the certificates in FILE, and no others."),
]
State: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--state-directory",
        metavar="FOLDER",
        help="Where the coordinator of this machine keeps its state; else WIREWRIGHT_STATE, or "
        "/var/lib/wirewright for root.",
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the secret there, for its owner only, and not out."
    ),
]


@dataclass(frozen=True, slots=True)
class Call:
    """One command's: the coordinator, and how its answer is wanted."""

    client: "Client"
    as_json: bool

    def answer(self, data: Mapping[str, object], show: Callable[[], None]) -> None:
        """Write data as JSON, or show it to people."""
        if self.as_json:
            write_json(data)
        else:
            show()

    def check_output(self, output: Path | None) -> None:
        """Refuse a file that is there already, before anything is made whose secret would go there."""
        if output is not None:
            from wirewright.client.secret_files import refuse_existing  # noqa: PLC0415

            refuse_existing(output, replace=False)

    def hand_over(self, data: dict[str, Any], name: str, secret: str, output: Path | None, said: str) -> None:
        """Give a secret that is shown once, which ``data`` has as ``name``: to a file, or on the output."""
        if output is not None:
            from wirewright.client.secret_files import write_secret  # noqa: PLC0415

            try:
                write_secret(output, secret)
            except OSError as error:
                raise CommandError(
                    f"{output}: {error.strerror or error}. {said}, but what it is proved with is lost: "
                    "remove it, and make another"
                ) from None
            data = {key: value for key, value in data.items() if key != name} | {"file": str(output)}
        else:
            descriptor_for_secret("make another")
        if self.as_json:
            write_json(data)
        elif output is not None:
            typer.echo(f"{said}: {output}", err=True)
        else:
            typer.echo(f"{said}; it is shown this once:", err=True)
            typer.echo(secret)


def asks(work: Callable[Concatenate[Call, P], None]) -> Callable[..., None]:
    """Make a command of a function whose first argument is a `Call`: it gets the options of all of them."""

    def command(
        url: Url = None,
        token_file: TokenFile = None,
        ca: Ca = None,
        state: State = None,
        as_json: AsJson = False,
        **arguments: Any,  # noqa: ANN401 - the function's own
    ) -> None:
        with json_errors(as_json), explained(), connected(url, token_file, ca, state) as client:
            work(Call(client, as_json), **arguments)  # type: ignore[call-arg]

    own = list(inspect.signature(work).parameters.values())[1:]
    common = [each for each in inspect.signature(command).parameters.values() if each.name != "arguments"]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *common)]
    command.__name__, command.__doc__, command.__module__ = work.__name__, work.__doc__, work.__module__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


@contextmanager
def connected(
    url: str | None, token_file: Path | None, ca: Path | None, state: Path | None
) -> "Iterator[Client]":
    """Give a client of the coordinator that is meant."""
    from wirewright.client import Access, Client  # noqa: PLC0415 - loads the core

    with Client(Access.find(url, token_file, ca, state, os.environ)) as client:
        yield client


@contextmanager
def explained() -> Iterator[None]:
    """Say of what is not installed how to install it."""
    try:
        yield
    except ImportError as error:
        if "pip install" in str(error):
            raise CommandError(str(error)) from None
        raise


@contextmanager
def checked(option: str) -> Iterator[None]:
    """Tell a value that cannot be as a mistake in an option, with status 2."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{option}: {error}", status=2) from None


def read_line(
    prompt: str, what: str, file: Path | None, *, hidden: bool = False, public: bool = False
) -> str:
    """Return a secret, or what is ``public``: of a file, or the standard input; a terminal is asked."""
    from wirewright.client.secret_files import LARGEST, only_line, read_public, read_secret  # noqa: PLC0415

    if file is not None and str(file) != "-":
        return read_public(file, what) if public else read_secret(file, what)
    if sys.stdin is None:
        raise CommandError(f"the standard input is closed, so that {what} cannot come from it")
    if not sys.stdin.isatty():
        return only_line(sys.stdin.buffer.read(LARGEST), "The standard input holds", what)
    text: str = typer.prompt(prompt, hide_input=hidden, err=True)
    return text.strip()
