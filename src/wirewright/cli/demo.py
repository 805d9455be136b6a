"""``ww demo``."""

import asyncio
import signal
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import explained
from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.demo import Measurement


def demo(
    megabytes: Annotated[
        int, typer.Option("--megabytes", "-m", min=1, max=10_000, help="Size of the download and the upload.")
    ] = 200,
    coordinator: Annotated[
        bool,
        typer.Option(
            "--coordinator",
            help="Show a coordinator and its rootless gateway: two devices enrol, reach each other and a "
            "service of this machine, are kept apart and cut off.",
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="With a coordinator (as --coordinator): leave it running with its page until Ctrl-C.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON when done, and nothing else.")] = False,
) -> None:
    """Show a tunnel at work: two processes on this machine, a handshake, pings and HTTP between them.

    Needs no root and leaves the loopback interface alone with it. The last line is "demo ok".
    """
    with json_errors(as_json), explained():
        if keep and as_json:
            raise CommandError("--keep is for people: leave --json out", status=2)
        if coordinator or keep:
            _coordinator(megabytes, as_json=as_json, keep=keep)
            return
        measurement = asyncio.run(_demo(megabytes, quiet=as_json))
    if as_json:
        write_json(vars(measurement))
        return
    _show(measurement)
    typer.echo("demo ok")


def _coordinator(megabytes: int, *, as_json: bool, keep: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - only this command draws

    from wirewright.demo.coordinated import run_coordinator_demo  # noqa: PLC0415 - loads the core

    console = Console(stderr=True, highlight=False)
    # What takes long is told step by step, and turns a wheel on a terminal meanwhile.
    with nullcontext() if as_json else console.status("working"):
        tell = (
            (lambda _: None) if as_json else (lambda text: console.print(text, markup=False, soft_wrap=True))
        )
        found = asyncio.run(run_coordinator_demo(megabytes, tell, _interrupted if keep else None))
    if as_json:
        write_json(vars(found))
        return
    size = f"{megabytes} MB"
    from_host = found.from_host_bits_per_second
    rows = {
        "enrolment (mean)": f"{found.enrolment_seconds * 1000:.0f} ms",
        "round trip between devices (median)": f"{found.round_trip_seconds * 1000:.2f} ms",
        f"{size} from one device to the other": _rate(found.between_devices_bits_per_second),
        f"{size} from a service of this machine": "-" if from_host is None else _rate(from_host),
        "a device without a right to it reaches the other": "no" if found.kept_apart else "YES",
        "disabled, and cut off after": f"{found.cut_off_seconds * 1000:.0f} ms",
    }
    _write(rows)
    if not found.kept_apart:
        raise CommandError("a device reached another one that it has no right to")
    typer.echo("demo ok")


async def _interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _rate(bits_per_second: float) -> str:
    return f"{bits_per_second / 1e6:,.0f} Mbit/s"


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
        f"download, {size}": _rate(measurement.download_bits_per_second),
        f"upload, {size}": _rate(measurement.upload_bits_per_second),
    }
    _write(rows)


def _write(rows: dict[str, str]) -> None:
    left, right = (max(map(len, column)) for column in (rows.keys(), rows.values()))
    typer.echo()
    for name, value in rows.items():
        typer.echo(f"  {name:<{left}}  {value:>{right}}")
    typer.echo()
