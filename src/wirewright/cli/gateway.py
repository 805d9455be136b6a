"""``ww gateway``."""

import asyncio
import json
import os
import signal
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.output import json_errors, write_json
from wirewright.host import descriptors

if TYPE_CHECKING:
    from wirewright.config.values import IPNetwork
    from wirewright.gateway.process import Options, Way
    from wirewright.gateway.running import RunningGateway

WAYS = ("auto", "kernel", "wirewright", "rootless")


def gateway(  # noqa: PLR0917 - Typer's way to say what the arguments are
    coordinator: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the coordinator is, such as https://vpn.example.")
    ] = None,
    credential_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with this gateway's credential (wwg_...); else gateway.credential in the state "
            "directory.",
        ),
    ] = None,
    state_directory: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the gateway's key and what it was told are kept; else /var/lib/wirewright/gateway "
            "for root, and a folder of the user's for others.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="|".join(WAYS),
            help="The kernel's WireGuard, ours on a system interface, or ours without root; auto takes a "
            "system interface for root, of the kernel where it has WireGuard.",
        ),
    ] = "auto",
    interface: Annotated[str, typer.Option(metavar="NAME", help="The system interface.")] = "ww0",
    listen_port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="PORT", help="The UDP port that devices send to.")
    ] = 51820,
    mtu: Annotated[
        int, typer.Option(min=1280, max=65_535, metavar="BYTES", help="Of the longest packet inside.")
    ] = 1420,
    masquerade: Annotated[
        bool,
        typer.Option(
            "--masquerade/--no-masquerade",
            help="Whether what devices send to the outside leaves from an address of this host.",
        ),
    ] = True,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="Where the networks of devices must lie, also if this host has such networks; else the "
            "coordinator may choose any that the host has not. May be given again.",
        ),
    ] = None,
    reach: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="What devices reach at most, whatever their policies; else the world. May be given again.",
        ),
    ] = None,
    reach_host: Annotated[
        bool,
        typer.Option("--reach-host", help="Also this machine's own addresses outside of the tunnel."),
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Trust the certificates in FILE, and not those of the system."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS:]PORT",
            help="Serve metrics for Prometheus there; without ADDRESS, on the loopback.",
        ),
    ] = None,
    lease_time: Annotated[
        int | None,
        typer.Option(
            min=1,
            # The coordinator takes none that is longer than 30 days.
            max=2_592_000,
            metavar="SECONDS",
            help="Let devices ask for addresses (ww lease), which they have for so long; else none is given "
            "on lease.",
        ),
    ] = None,
    register_keys: Annotated[
        bool, typer.Option("--register-keys", help="Let a device that asks for leases take another key.")
    ] = False,
    clear: Annotated[
        bool,
        typer.Option(
            "--clear", help="Take away what a gateway left on the interface that was killed, and end."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON: a line when it serves, and counters in the end.")
    ] = False,
) -> None:
    """Hand out tunnels as a coordinator elsewhere says, and forward what devices send.

    The gateway makes its own key and tells the coordinator the public half. While the coordinator is away,
    devices stay as they are, and expire in time. Runs until it is interrupted, and then takes away exactly
    what it made.
    """
    with json_errors(as_json):
        if clear:
            _clear(interface)
            return
        options = _options(
            coordinator,
            credential_file,
            state_directory or _state_directory(),
            engine,
            interface,
            listen_port,
            mtu,
            masquerade,
            _Networks(pool, reach, reach_host=reach_host),
            ca_file,
            metrics,
            lease_time,
            register_keys,
        )
        descriptors.allow(descriptors.OF_A_GATEWAY)
        counters = asyncio.run(_serve(options, as_json=as_json))
    if as_json:
        write_json({"counters": counters})


def _options(  # noqa: PLR0917 - the command's
    coordinator: str | None,
    credential_file: Path | None,
    folder: Path,
    engine: str,
    interface: str,
    listen_port: int,
    mtu: int,
    masquerade: bool,
    networks: "_Networks",
    ca_file: Path | None,
    metrics: str | None,
    lease_time: int | None,
    register_keys: bool,
) -> "Options":
    if register_keys and lease_time is None:
        raise CommandError("--register-keys goes with --lease-time", status=2)
    if coordinator is None:
        raise CommandError("name the coordinator: --coordinator https://vpn.example", status=2)
    if engine not in WAYS:
        raise CommandError(f"--engine: {engine!r} is none of {', '.join(WAYS)}", status=2)
    try:
        from wirewright.gateway.http_source import checked  # noqa: PLC0415 - loads httpx2
        from wirewright.gateway.process import Options  # noqa: PLC0415 - loads the core
    except ModuleNotFoundError as error:
        raise CommandError(
            f"a gateway needs {error.name}, which is not installed: pip install 'wirewright[serve]'"
        ) from None
    try:
        url = checked(coordinator)
    except ValueError as error:
        raise CommandError(f"--coordinator: {error}", status=2) from None
    way: Way = engine  # type: ignore[assignment]
    if not masquerade and way == "rootless":
        raise CommandError(
            "--no-masquerade is for a system interface: what a rootless gateway carries leaves from this "
            "machine's addresses",
            status=2,
        )
    if networks.pools and way == "rootless":
        raise CommandError("--pool is for a system interface: a rootless gateway has no routes", status=2)
    return Options(
        url,
        credential_file or folder / "gateway.credential",
        folder,
        way,
        interface,
        listen_port,
        mtu,
        masquerade,
        networks.pools,
        networks.reach,
        networks.reach_host,
        ca_file,
        None if metrics is None else _listening(metrics),
        lease_time,
        register_keys,
    )


class _Networks:
    """What the operator says of networks."""

    def __init__(self, pool: list[str] | None, reach: list[str] | None, *, reach_host: bool) -> None:
        from wirewright.gateway.special import EVERYWHERE  # noqa: PLC0415 - loads the package

        self.pools = tuple(_network(text, "--pool") for text in pool or ())
        self.reach = tuple(_network(text, "--reach") for text in reach or ()) or EVERYWHERE
        self.reach_host = reach_host


def _network(text: str, option: str) -> "IPNetwork":
    try:
        return ip_network(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", status=2) from None


def _state_directory() -> Path:
    # Not that of ww serve on the same machine, which has another gateway, with a key of its own.
    if os.geteuid() == 0:
        return Path("/var/lib/wirewright/gateway")
    from platformdirs import user_state_path  # noqa: PLC0415 - an extra's

    return user_state_path("wirewright") / "gateway"


def _listening(text: str) -> tuple[str, int]:
    from wirewright.proxy import addresses  # noqa: PLC0415

    try:
        found = addresses.parse_listen(text, "--metrics")
    except ValueError as error:
        raise CommandError(str(error), status=2) from None
    return found.host, found.port


async def _serve(options: "Options", *, as_json: bool) -> dict[str, int]:
    from wirewright.gateway.process import serve  # noqa: PLC0415
    from wirewright.host.service import ServiceManager  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def tell(text: str) -> None:
        typer.echo(f"ww: {text}", err=True)

    def began(gateway: "RunningGateway") -> None:
        if as_json:
            data = {"serving": True, "engine": gateway.engine.description, "devices": gateway.devices}
            typer.echo(json.dumps(data))
            sys.stdout.flush()
        else:
            typer.echo(f"serving: {gateway.engine.description}, devices: {gateway.devices}", err=True)

    return await serve(options, stop, ServiceManager(), tell, began)


def _clear(interface: str) -> None:
    from wirewright.gateway import engines  # noqa: PLC0415 - loads the core

    if not asyncio.run(engines.clear(interface)):
        typer.echo(f"ww: no gateway left anything on {interface}", err=True)
