"""``ww ping``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.pinger import Reply, Summary


def ping(  # noqa: PLR0917 - Typer's way to say what the arguments are
    conf: Annotated[
        Path, typer.Argument(metavar="CONF", readable=False, help="A wg-quick configuration file.")
    ],
    host: Annotated[str, typer.Argument(metavar="HOST", help="An address or a name inside the tunnel.")],
    count: Annotated[
        int | None, typer.Option("-c", "--count", min=1, help="Stop after that many pings.")
    ] = None,
    interval: Annotated[
        float, typer.Option("-i", "--interval", min=0.0, help="Seconds from one ping to the next.")
    ] = 1.0,
    timeout: Annotated[
        float, typer.Option("-W", "--timeout", min=0.001, help="Seconds to wait for each answer.")
    ] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON when done; without -c, 4 pings.")
    ] = False,
) -> None:
    """Ping a host through a rootless tunnel: no interface is made, no hook is run.

    Goes on until it is interrupted, unless -c is given. Exits with 0 if there was an answer, and with 1 if
    there was none.
    """
    if as_json and count is None:
        count = 4
    with json_errors(as_json):
        summary = asyncio.run(_ping(conf, host, count, interval, timeout, quiet=as_json))
    if as_json:
        write_json(_as_data(host, summary))
    raise typer.Exit(0 if summary.received else 1)


async def _ping(
    conf: Path, host: str, count: int | None, interval: float, limit: float, *, quiet: bool
) -> "Summary":
    from wirewright.tunnel import Timeouts, Tunnel  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.pinger import Summary, ping_series  # noqa: PLC0415

    summary = Summary()
    async with Tunnel.from_file(conf, timeouts=Timeouts(handshake=limit)) as tunnel:
        address = (await tunnel.resolve(host))[0]
        if not quiet:
            typer.echo(f"Ping {_name(host, address)} through {conf}")
        try:
            async for reply in ping_series(tunnel, address, count=count, interval=interval, timeout=limit):
                summary.replies.append(reply)
                if not quiet:
                    _show(address, reply)
        except asyncio.CancelledError:
            # An interrupt is the usual way to end the series.
            if not summary.replies:
                typer.echo(f"{host}: no answer so far", err=True)
                raise
    if not quiet:
        _show_summary(host, summary)
    return summary


def _name(host: str, address: "Address") -> str:
    return host if host == str(address) else f"{host} ({address})"


def _show(address: "Address", reply: "Reply") -> None:
    if reply.seconds is None:
        typer.echo(f"seq {reply.sequence}: {reply.failure}")
    else:
        typer.echo(f"{address}: seq {reply.sequence}, {reply.seconds * 1000:.2f} ms")


def _show_summary(host: str, summary: "Summary") -> None:
    typer.echo(f"{host}: {summary.sent} sent, {summary.received} received, {summary.loss:.0%} lost")
    if trips := summary.round_trips:
        low, mean, high = (1000 * each for each in (min(trips), sum(trips) / len(trips), max(trips)))
        typer.echo(f"round trip: at least {low:.2f} ms, on average {mean:.2f} ms, at most {high:.2f} ms")


def _as_data(host: str, summary: "Summary") -> dict[str, object]:
    trips = summary.round_trips
    return {
        "host": host,
        "sent": summary.sent,
        "received": summary.received,
        "loss": summary.loss,
        "round_trip_seconds": (
            {"min": min(trips), "mean": sum(trips) / len(trips), "max": max(trips)} if trips else None
        ),
        "replies": [
            {"sequence": reply.sequence, "seconds": reply.seconds, "failure": reply.failure}
            for reply in summary.replies
        ],
    }
