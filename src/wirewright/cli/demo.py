"""``ww demo``."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.demo import Measurement


def demo(
    megabytes: Annotated[
        int, typer.Option("--megabytes", "-m", min=1, max=10_000, help="Size of the download and the upload.")
    ] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON when done, and nothing else.")] = False,
) -> None:
    """Show a tunnel at work: two processes on this machine, a handshake, pings and HTTP between them.

    Needs no root and leaves the loopback interface alone with it. The last line is "demo ok".
    """
    with json_errors(as_json):
        measurement = asyncio.run(_demo(megabytes, quiet=as_json))
    if as_json:
        write_json(vars(measurement))
        return
    _show(measurement)
    typer.echo("demo ok")


async def _demo(megabytes: int, *, quiet: bool) -> "Measurement":
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    from wirewright.demo import Step, run_demo  # noqa: PLC0415 - loads the core

    # On a narrow terminal the bar shrinks, and what is beside it stays in one line.
    columns = (
        TextColumn("{task.description:>8}", table_column=Column(no_wrap=True)),
        BarColumn(),
        DownloadColumn(table_column=Column(no_wrap=True)),
        TransferSpeedColumn(table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bars = {
            "download": progress.add_task("download", total=megabytes * 1_000_000),
            "upload": progress.add_task("upload", total=megabytes * 1_000_000),
        }

        def moved(step: Step, count: int) -> None:
            progress.advance(bars[step], count)

        return await run_demo(megabytes, moved)


def _show(measurement: "Measurement") -> None:
    size = f"{measurement.megabytes} MB"
    rows = {
        "handshake": f"{measurement.handshake_seconds * 1000:.1f} ms",
        "round trip (median)": f"{measurement.round_trip_seconds * 1000:.2f} ms",
        f"download, {size}": f"{measurement.download_bits_per_second / 1e6:,.0f} Mbit/s",
        f"upload, {size}": f"{measurement.upload_bits_per_second / 1e6:,.0f} Mbit/s",
    }
    left, right = (max(map(len, column)) for column in (rows.keys(), rows.values()))
    typer.echo()
    for name, value in rows.items():
        typer.echo(f"  {name:<{left}}  {value:>{right}}")
    typer.echo()
