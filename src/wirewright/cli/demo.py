"""``ww demo``."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.output import write_json

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
    measurement = asyncio.run(_demo(megabytes, quiet=as_json))
    if as_json:
        write_json(vars(measurement))
        return
    _show(measurement)
    typer.echo("demo ok")


async def _demo(megabytes: int, *, quiet: bool) -> "Measurement":
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    from wirewright.demo import Step, run_demo  # noqa: PLC0415 - loads the core

    columns = (TextColumn("{task.description:>8}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bars = {
            "download": progress.add_task("download", total=megabytes * 1_000_000),
            "upload": progress.add_task("upload", total=megabytes * 1_000_000),
        }

        def moved(step: Step, count: int) -> None:
            progress.advance(bars[step], count)

        return await run_demo(megabytes, moved)


def _show(measurement: "Measurement") -> None:
    from rich import box  # noqa: PLC0415 - only this command draws
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("handshake", f"{measurement.handshake * 1000:.1f} ms")
    table.add_row("round trip (median)", f"{measurement.round_trip * 1000:.2f} ms")
    table.add_row(f"download, {measurement.megabytes} MB", f"{measurement.download / 1e6:,.0f} Mbit/s")
    table.add_row(f"upload, {measurement.megabytes} MB", f"{measurement.upload / 1e6:,.0f} Mbit/s")
    Console().print(table)
