"""``ww proxy``."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.output import json_errors, write_json
from wirewright.host import descriptors

if TYPE_CHECKING:
    from wirewright.proxy import Listener
    from wirewright.tunnel import Tunnel

    Makers = Sequence[Callable[[Tunnel], Listener]]


def proxy(  # noqa: PLR0917 - Typer's way to say what the arguments are
    conf: Annotated[
        Path, typer.Argument(metavar="CONF", readable=False, help="A wg-quick configuration file.")
    ],
    socks5: Annotated[
        list[str] | None,
        typer.Option(metavar="[ADDRESS:]PORT", help="A SOCKS 5 proxy there, for TCP and UDP."),
    ] = None,
    http: Annotated[
        list[str] | None,
        typer.Option(metavar="[ADDRESS:]PORT", help="An HTTP proxy there."),
    ] = None,
    forward: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOCAL=REMOTE",
            help="Listen on the port LOCAL here, connect to REMOTE (HOST:PORT) behind the tunnel.",
        ),
    ] = None,
    expose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REMOTE=LOCAL",
            help="Listen on the port REMOTE inside the tunnel, connect to LOCAL (HOST:PORT) from here.",
        ),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ask for the USER:PASSWORD on the first line of FILE; without it, for those in "
            "WIREWRIGHT_PROXY_CREDENTIALS, if it is set.",
        ),
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=65536, help="Connections at once that each listener may have.")
    ] = 1024,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write JSON: where it listens, in one line, and counters in the end."),
    ] = False,
) -> None:
    """Let programs reach the network behind a tunnel through proxies and ports of this machine.

    Each option may be given several times. Names are asked of the tunnel's DNS servers, never of this
    machine's. Proxies listen off the loopback only with credentials, forwards never do. Every user of
    this machine can connect to a forward, and to a proxy without credentials.

    Runs until it is interrupted. Says where it listens on the standard error.
    """
    with json_errors(as_json):
        makers = _makers(socks5 or [], http or [], forward or [], expose or [], credentials, connections)
        # A connection has one socket here; UDP associations and the tunnel have a few more.
        descriptors.allow(connections * len(makers) + 256)
        asyncio.run(_proxy(conf, makers, as_json=as_json))


def _makers(  # noqa: PLR0917 - the command's options
    socks5: list[str],
    http: list[str],
    forward: list[str],
    expose: list[str],
    credentials: Path | None,
    connections: int,
) -> "Makers":
    from wirewright import proxy as room  # noqa: PLC0415 - loads h11
    from wirewright.proxy import addresses  # noqa: PLC0415
    from wirewright.proxy.credentials import find_credentials  # noqa: PLC0415

    if not (socks5 or http or forward or expose):
        raise CommandError("nothing to do: give --socks5, --http, --forward or --expose", status=2)
    try:
        found = find_credentials(credentials, os.environ)
        limits = room.Limits(connections=connections)
        makers: list[Callable[[Tunnel], Listener]] = []
        for option, texts, kind in (("--socks5", socks5, room.Socks5Proxy), ("--http", http, room.HttpProxy)):
            for text in texts:
                where = addresses.parse_listen(text, option)
                kind.check(where, found.credentials)
                makers.append(partial(kind, listen=where, credentials=found.credentials, limits=limits))
        for text in forward:
            pair = addresses.parse_forward(text, "--forward")
            room.LocalForward.check(pair.listen)
            makers.append(partial(room.LocalForward, pair=pair, limits=limits))
        for text in expose:
            pair = addresses.parse_expose(text, "--expose")
            makers.append(partial(room.Exposure, pair=pair, limits=limits))
    except ValueError as error:
        raise CommandError(str(error), status=2) from None
    if found.warning is not None:
        typer.echo(found.warning, err=True)
    return makers


async def _proxy(conf: Path, makers: "Makers", *, as_json: bool) -> None:
    from wirewright.tunnel import Tunnel  # noqa: PLC0415 - loads the core

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    listeners: list[Listener] = []
    async with Tunnel.from_file(conf) as tunnel:
        try:
            for make in makers:
                listeners.append(make(tunnel))  # noqa: PERF401 - what is open is closed below
            places = [(listener, str(await listener.open())) for listener in listeners]
            _tell(places, as_json=as_json)
            await stop.wait()
        finally:
            for listener in listeners:
                await listener.close()
    if as_json:
        write_json(
            {
                "listeners": [
                    {"kind": listener.kind, "at": at, "counters": asdict(listener.counters)}
                    for listener, at in places
                ]
            }
        )


def _tell(places: "Sequence[tuple[Listener, str]]", *, as_json: bool) -> None:
    ways = {"forward": "forward from {} to {}", "expose": "expose in the tunnel at {} what is at {}"}
    if as_json:
        import json  # noqa: PLC0415

        lines = [
            {"kind": each.kind, "at": at, "to": None if each.to is None else str(each.to)}
            for each, at in places
        ]
        typer.echo(json.dumps({"listening": lines}))
        return
    for listener, at in places:
        if listener.to is None:
            typer.echo(f"{listener.kind} proxy at {at}", err=True)
        else:
            typer.echo(ways[listener.kind].format(at, listener.to), err=True)
