"""``ww show``."""

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError, explain_error
from wirewright.cli.completing import WHAT, shown_interfaces, shown_things
from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.host.device import DeviceState
    from wirewright.tunnel.system import Interface


def show(
    interface: Annotated[
        str | None,
        typer.Argument(
            metavar="INTERFACE|all|interfaces",
            help="One interface, all, or only their names; all if none is named.",
            autocompletion=shown_interfaces,
        ),
    ] = None,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="Only this, for scripts: values between tabs, a line for each peer.",
            autocompletion=shown_things,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON; it holds no secret.")] = False,
    counters: Annotated[
        bool, typer.Option("--counters", help="Tell also what was dropped or refused, and why.")
    ] = False,
) -> None:
    """Show WireGuard interfaces and their peers, as wg does.

    WHAT is public-key, private-key, listen-port, fwmark, peers, preshared-keys, endpoints, allowed-ips,
    latest-handshakes, persistent-keepalive, transfer, or dump for all of these.

    What it writes is what wg(8) writes, with its environment: WG_COLOR_MODE is always, never or auto (auto
    heeds NO_COLOR), and WG_HIDE_KEYS=never shows private and preshared keys.
    """
    if what is not None and (what not in WHAT or interface in (None, "interfaces") or as_json or counters):
        raise CommandError(
            f"{what} cannot be shown so: name an interface or all, then one of {', '.join(WHAT)}", status=2
        )
    from wirewright.tunnel.system.showing import named  # noqa: PLC0415 - loads the core

    if interface == "interfaces":
        names = [each.name for each in named(None)]
        if as_json:
            write_json({"interfaces": names})
        elif names:
            typer.echo(" ".join(names))
        return
    with json_errors(as_json):
        found, failed = _read(named(interface), several=interface in (None, "all"))
    if as_json:
        _write_json(found, counters=counters)
    elif what is not None:
        _write_columns([state for _, state in found], what, with_name=interface == "all")
    else:
        _write_text(found, counters=counters)
    if what is None and not as_json:
        _tell_silent(found)
    if failed:
        raise typer.Exit(1)


def _read(
    interfaces: "list[Interface]", *, several: bool
) -> "tuple[list[tuple[Interface, DeviceState]], bool]":
    """Ask each; of several, one that does not answer is told on the standard error."""
    found = []
    failed = False
    for interface in interfaces:
        try:
            found.append((interface, interface.state()))
        except OSError as error:
            if not several:
                raise
            typer.echo(f"{explain_error(error)} ({interface.name})", err=True)
            failed = True
    return found, failed


def _write_text(found: "list[tuple[Interface, DeviceState]]", *, counters: bool) -> None:
    from wirewright.tunnel.system.pretty import Style, pretty  # noqa: PLC0415
    from wirewright.tunnel.system.showing import counters_text  # noqa: PLC0415

    style = Style(colours=_colours(), hide_keys=os.environ.get("WG_HIDE_KEYS") != "never")
    if not counters:
        pretty([state for _, state in found], int(time.time()), style).write_to(sys.stdout.fileno())
        return
    for number, (interface, state) in enumerate(found):
        typer.echo("\n" * bool(number), nl=False)
        sys.stdout.flush()
        pretty([state], int(time.time()), style).write_to(sys.stdout.fileno())
        typer.echo("\n" + counters_text(interface.counters()), nl=False)


def _write_columns(states: "list[DeviceState]", what: str, *, with_name: bool) -> None:
    from wirewright.tunnel.system.columns import columns  # noqa: PLC0415

    for state in states:
        columns(state, what, with_name=with_name).write_to(sys.stdout.fileno())


def _write_json(found: "list[tuple[Interface, DeviceState]]", *, counters: bool) -> None:
    from wirewright.tunnel.system.showing import as_data  # noqa: PLC0415

    write_json(
        {
            "interfaces": [
                as_data(
                    state,
                    interface.engine().name,
                    interface.counters() if counters else None,
                    is_silent=interface.is_silent(),
                )
                for interface, state in found
            ]
        }
    )


def _tell_silent(found: "list[tuple[Interface, DeviceState]]") -> None:
    """Tell, beside what wg would write, of interfaces that nothing comes from."""
    from wirewright.tunnel.system.showing import silence  # noqa: PLC0415

    for interface, state in found:
        if interface.is_silent():
            typer.echo(f"Warning: {silence(state)}", err=True)


def _colours() -> bool:
    mode = os.environ.get("WG_COLOR_MODE")
    if mode in ("always", "never"):
        return mode == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
