"""``ww completion``."""

from typing import Annotated

import typer

from wirewright.cli.app import CommandError

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[
        str,
        typer.Argument(metavar="|".join(SHELLS), help="The shell.", autocompletion=lambda: list(SHELLS)),
    ],
) -> None:
    """Write what makes a shell complete the arguments of ww.

    For bash, into ~/.local/share/bash-completion/completions/ww; for zsh, into a file _ww in a directory of
    $fpath; for fish, into ~/.config/fish/completions/ww.fish.
    """
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - only this command

    if shell not in SHELLS:
        raise CommandError(f"there is no completion for {shell!r}, but for {', '.join(SHELLS)}", status=2)
    typer.echo(get_completion_script(prog_name="ww", complete_var="_WW_COMPLETE", shell=shell))
