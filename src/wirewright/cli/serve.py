"""``ww serve``."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import AsJson, State, checked, explained, read_line
from wirewright.cli.output import json_errors, write_json
from wirewright.host import descriptors

if TYPE_CHECKING:
    from wirewright.coordinator.embedding import Carriage
    from wirewright.coordinator.login.provider import ProviderSettings
    from wirewright.coordinator.process import Running, Settings
    from wirewright.coordinator.state import StateDirectory
    from wirewright.host.service import ServiceManager

ENGINES = ("auto", "kernel", "wirewright", "rootless")

serve = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)

Database: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="postgresql://USER@HOST/NAME, without a password, in the place of a file in the "
        "state directory.",
    ),
]
DatabaseFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--database-file",
        metavar="FILE",
        envvar="WIREWRIGHT_DATABASE_FILE",
        help="The file with such a URL, perhaps with a password.",
    ),
]
PassphraseFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="The file of the passphrase; else it is asked for."
    ),
]


@serve.callback()
def run(  # noqa: PLR0917 - Typer's way to say what the arguments are
    context: typer.Context,
    state: State = None,
    listen: Annotated[
        str, typer.Option(metavar="[ADDRESS:]PORT", help="Where the API listens.")
    ] = "127.0.0.1:8080",
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate of the API, as PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    behind_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="A proxy that does TLS in front of the API; may be given again."
        ),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where others find the API; invitations lead there.")
    ] = None,
    database: Database = None,
    database_file: DatabaseFile = None,
    without_gateway: Annotated[
        bool, typer.Option("--without-gateway", help="Run no gateway here, only the API.")
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where devices find the gateway; at first, an address of this machine."
        ),
    ] = None,
    listen_port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65_535, help="The gateway's UDP port.")
    ] = 51820,
    engine: Annotated[
        str,
        typer.Option(
            metavar="|".join(ENGINES),
            help="What carries the gateway's packets: for root the kernel's WireGuard or ours, on an "
            "interface; rootless takes no root. auto takes what there is.",
        ),
    ] = "auto",
    interface: Annotated[
        str, typer.Option(metavar="NAME", help="The gateway's interface, if it has one.")
    ] = "ww0",
    mtu: Annotated[
        int,
        typer.Option(min=1280, max=65_535, metavar="BYTES", help="Of the longest packet inside the tunnel."),
    ] = 1420,
    masquerade: Annotated[
        bool,
        typer.Option(
            "--masquerade/--no-masquerade",
            help="Whether what devices send to the outside leaves from an address of this machine; without, "
            "others need a route back. A rootless gateway knows no other way.",
        ),
    ] = True,
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
    lease_time: Annotated[
        int | None,
        typer.Option(
            min=1,
            # The coordinator keeps none that is longer than 30 days.
            max=2_592_000,
            metavar="SECONDS",
            help="Let devices ask for addresses (ww lease), which they have for so long; else none is given "
            "on lease.",
        ),
    ] = None,
    register_keys: Annotated[
        bool, typer.Option("--register-keys", help="Let a device that asks for leases take another key.")
    ] = False,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="At the first start: a pool of addresses; else 10.88.0.0/16 and an IPv6 network of its own.",
        ),
    ] = None,
    oidc_issuer: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A provider of identities (OpenID Connect) to log in at besides."),
    ] = None,
    oidc_client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="What this coordinator is called there.")
    ] = None,
    oidc_secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file of its secret there, if it has one.")
    ] = None,
    oidc_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What people call that provider.")
    ] = None,
    oidc_allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLAIM=VALUE",
            help="Whom it lets in who is nobody here yet, as a member: email=@office.example, groups=vpn; "
            "without it nobody. May be given again.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON when it serves.")] = False,
) -> None:
    """Hand out tunnels: the coordinator and its API, and peers for them, in one process.

    The first start makes an administrator, whose token lies in the state directory, so that ww device, ww
    invite and the others work on this machine at once. Runs until it is interrupted.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    with json_errors(as_json), explained(), _told():
        from wirewright.coordinator.process import Settings  # noqa: PLC0415 - loads the core
        from wirewright.coordinator.serving import Listening  # noqa: PLC0415

        if register_keys and lease_time is None:
            raise CommandError("--register-keys goes with --lease-time", status=2)
        host, port = _listen(listen)
        carriage = replace(
            _carriage(engine, interface, listen_port, reach, reach_host),
            lease_time=lease_time,
            register_keys=register_keys,
            mtu=mtu,
            masquerade=masquerade,
        )
        if carriage.is_rootless and not masquerade:
            raise CommandError(
                "--no-masquerade is for a system interface: what a rootless gateway carries leaves from this "
                "machine's addresses",
                status=2,
            )
        settings = Settings(
            _state(state).path,
            Listening(host, port, tls_certificate, tls_key, tuple(behind_proxy or ())),
            _database(database, database_file),
            public_url,
            gateway=None if without_gateway else carriage,
            endpoint=endpoint,
            networks=tuple(pool or ()),
            provider=_provider(oidc_issuer, oidc_client_id, oidc_secret_file, oidc_name, oidc_allow),
        )
        descriptors.allow(descriptors.OF_A_GATEWAY)
        asyncio.run(_serve(settings, as_json))


async def _serve(settings: "Settings", as_json: bool) -> None:
    from wirewright.coordinator.process import running  # noqa: PLC0415
    from wirewright.host.service import ServiceManager  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    manager = ServiceManager()
    _log()
    async with running(settings, lambda text: typer.echo(f"ww: {text}", err=True)) as process:
        _say(settings, process, as_json)
        manager.ready(f"API at {process.served.url}")
        await _stay(process, stop, manager)


async def _stay(process: "Running", stop: asyncio.Event, manager: "ServiceManager") -> None:
    """Stay until ``stop`` is set, and say that we live. Raises what ends the gateway, which ends all."""
    waiting = {asyncio.ensure_future(stop.wait()), asyncio.ensure_future(process.ended())}
    period = None if manager.watchdog is None else manager.watchdog / 3
    try:
        while True:
            manager.alive()
            done, _ = await asyncio.wait(waiting, timeout=period, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
        manager.stopping("ending")
        for task in done:
            task.result()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _say(settings: "Settings", process: "Running", as_json: bool) -> None:
    token = settings.state / "admin.token"
    if as_json:
        data = {
            "url": process.served.url,
            "state": str(settings.state),
            "token_file": str(token),
            "endpoint": process.endpoint,
            "gateway": process.gateway.engine.description if process.gateway else None,
            "setup": process.setup,
        }
        typer.echo(json.dumps(data))
        sys.stdout.flush()
        return
    if process.is_first:
        typer.echo(f"made an administrator; the token is in {token}", err=True)
    typer.echo(f"API at {process.served.url}, described at {process.served.url}/openapi.json", err=True)
    if process.gateway is not None:
        typer.echo(f"gateway at {process.endpoint}: {process.gateway.engine.description}", err=True)
    if process.setup is not None:
        typer.echo(f"make yourself the administrator of the page, within a day: {process.setup}", err=True)


@serve.command()
def backup(  # noqa: PLR0917 - Typer's way to say what the arguments are
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup is written.")],
    state: State = None,
    database: Database = None,
    database_file: DatabaseFile = None,
    passphrase_file: PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE, if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write an encrypted backup of all that the coordinator knows, while it runs.

    It has the database, the gateway's key and the administrator's token. Whoever has it and the passphrase is
    the coordinator: choose a long one.
    """
    with json_errors(as_json), explained(), _told():
        from wirewright.coordinator import backups  # noqa: PLC0415 - loads the core
        from wirewright.coordinator.process import opened  # noqa: PLC0415

        where = _state(state, must_exist=True)
        passphrase = _passphrase(passphrase_file, twice=True)
        storage = opened(_database(database, database_file), where)

        async def work() -> int:
            try:
                with _progress("rows", quiet=as_json) as progress:
                    return await backups.back_up(storage, where, file, passphrase, progress, replace=force)
            finally:
                await storage.close()

        count = asyncio.run(work())
    if as_json:
        write_json({"file": str(file), "rows": count, "bytes": file.stat().st_size})
        return
    typer.echo(f"{file}: {count} rows, {file.stat().st_size} bytes", err=True)


@serve.command()
def restore(  # noqa: PLR0917 - Typer's way to say what the arguments are
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    state: State = None,
    database: Database = None,
    database_file: DatabaseFile = None,
    passphrase_file: PassphraseFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is there: the database, the keys.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup, wholly or not at all; the coordinator must not run here.

    A backup of the one kind of database can be restored into the other.
    """
    with json_errors(as_json), explained(), _told():
        from wirewright.coordinator import backups  # noqa: PLC0415 - loads the core

        where = _state(state)
        where.prepare()
        passphrase = _passphrase(passphrase_file, twice=False)
        address = _database(database, database_file)
        with where.held(), _progress("rows", quiet=as_json) as progress:
            head = asyncio.run(backups.restore(file, passphrase, where, address, progress, replace=force))
    if as_json:
        write_json({"state": str(where.path), "rows": head.rows, "at": head.at})
        return
    typer.echo(f"{where.path} is as it was at {head.at}: {head.rows} rows", err=True)


@serve.command()
def token(
    state: State = None,
    database: Database = None,
    database_file: DatabaseFile = None,
    as_json: AsJson = False,
) -> None:
    """Make an administrator's token, if all are lost, and write it into the state directory.

    This asks the database, not the API, so that it works for whoever may read that.
    """
    with json_errors(as_json), explained(), _told():
        from wirewright.coordinator.process import opened, renew_token  # noqa: PLC0415 - loads the core

        where = _state(state, must_exist=True)
        asyncio.run(renew_token(opened(_database(database, database_file), where), where))
    if as_json:
        write_json({"token_file": str(where.token)})
        return
    typer.echo(f"the administrator's token is in {where.token}", err=True)


@serve.command("login-link")
def login_link(  # noqa: PLR0917 - Typer's way to say what the arguments are
    user: Annotated[
        str | None,
        typer.Argument(metavar="USER", help="Who is to get in; else the oldest administrator."),
    ] = None,
    state: State = None,
    database: Database = None,
    database_file: DatabaseFile = None,
    public_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the page is, if no coordinator runs on this machine."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a link that logs a user in once, within 15 minutes: past a lost password or second factor.

    The link is a secret. As long as nobody can log in, it is that of the first start, good for a day. This
    asks the database, not the API, so that it works for whoever may write that.
    """
    with json_errors(as_json), explained(), _told():
        from wirewright.client.access import checked_url  # noqa: PLC0415
        from wirewright.client.places import Record  # noqa: PLC0415
        from wirewright.coordinator import process  # noqa: PLC0415 - loads the core

        where = _state(state, must_exist=True)
        record = Record.read(where.path)
        root = public_url or (record and (record.public_url or record.url))
        if not root:
            raise CommandError(
                f"no coordinator runs in {where.path}: start it (ww serve), or say where the page is with "
                "--public-url"
            )
        root = checked_url(root)
        storage = process.opened(_database(database, database_file), where)
        made = asyncio.run(process.login_link(storage, root, user))
    if as_json:
        until = datetime.fromtimestamp(made.until // 1_000_000, UTC).isoformat()
        write_json({"link": made.link, "user": made.user, "expires_at": until})
        return
    typer.echo(f"opens the page as {made.user or 'its first administrator'}, once:", err=True)
    typer.echo(made.link)


def _refuse_options(context: typer.Context) -> None:
    """Refuse options before the name of a command, which would mean nothing to it."""
    from typer._click.core import ParameterSource  # noqa: PLC0415

    for parameter in context.command.params:
        if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE:
            name = context.invoked_subcommand
            raise CommandError(f"{parameter.opts[0]} stands before {name}: put it behind", status=2)


def _state(state: Path | None, *, must_exist: bool = False) -> "StateDirectory":
    from wirewright.client.places import state_directory  # noqa: PLC0415
    from wirewright.coordinator.state import StateDirectory  # noqa: PLC0415

    path = state or Path(os.environ.get("WIREWRIGHT_STATE") or state_directory())
    if must_exist and not path.is_dir():
        raise CommandError(
            f"{path} is no directory: no coordinator has run there. Name another with --state-directory"
        )
    return StateDirectory(path)


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65_535 or not host:
        raise CommandError(f"--listen: {text!r} is no [ADDRESS:]PORT", status=2)
    return host, int(port)


def _provider(
    issuer: str | None,
    client_id: str | None,
    secret_file: Path | None,
    name: str | None,
    allow: list[str] | None,
) -> "ProviderSettings | None":
    from wirewright.coordinator.login.provider import ProviderSettings, checked_issuer, rules  # noqa: PLC0415

    if issuer is None:
        for option, value in (("client-id", client_id), ("secret-file", secret_file), ("allow", allow)):
            if value is not None:
                raise CommandError(f"--oidc-{option} goes with --oidc-issuer", status=2)
        return None
    if client_id is None:
        raise CommandError("--oidc-issuer goes with --oidc-client-id", status=2)
    with checked("--oidc-issuer"):
        checked_issuer(issuer)
    with checked("--oidc-allow"):
        domains, claims = rules(allow or ())
    secret = None if secret_file is None else read_line("", "the secret of a client", secret_file)
    return ProviderSettings(issuer, client_id, secret, name or issuer, domains, claims)


def _carriage(
    engine: str, interface: str, listen_port: int, reach: list[str] | None, reach_host: bool
) -> "Carriage":
    from wirewright.coordinator.embedding import Carriage  # noqa: PLC0415
    from wirewright.tunnel import Forwarding  # noqa: PLC0415

    if engine not in ENGINES:
        raise CommandError(f"there is no engine {engine!r}; there are: {', '.join(ENGINES)}", status=2)
    with checked("--reach"):
        # Without any the usual ones, which are Forwarding's own.
        forwarding = Forwarding(tuple(reach), reach_host) if reach else Forwarding(host=reach_host)
    return Carriage(engine, interface, listen_port, forwarding=forwarding)


def _database(database: str | None, file: Path | None) -> str | None:
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    if database is not None:
        try:
            url = make_url(database)
            has_password = url.password is not None or "password=" in database
        except (ArgumentError, ValueError):
            url, has_password = None, False
        if url is not None and url.get_backend_name() == "sqlite":
            raise CommandError(
                "--database: a file of SQLite is the state directory's, whose lock keeps others away: "
                "name another directory with --state-directory",
                status=2,
            )
        if has_password:
            raise CommandError(
                "--database holds a password, which every user of this machine can read. Change it, and put "
                "it into ~/.pgpass, or the whole URL into a file for --database-file",
                status=2,
            )
        return database
    return read_line("", "the URL of a database", file) if file is not None else None


def _passphrase(file: Path | None, *, twice: bool) -> str:
    if file is None and not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to ask for the passphrase at: name its file with --passphrase-file",
            status=2,
        )
    if file is not None:
        return read_line("", "a passphrase", file)
    text: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return text


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Any]:
    from rich.console import Console  # noqa: PLC0415 - takes longer to load than the rest
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what a coordinator cannot start, back up or restore as an error of the command."""
    from wirewright.coordinator.backups import BackupError  # noqa: PLC0415
    from wirewright.coordinator.errors import CoordinatorError  # noqa: PLC0415
    from wirewright.coordinator.process import StartError  # noqa: PLC0415
    from wirewright.coordinator.serving import CertificateError, OpenToOthersError  # noqa: PLC0415
    from wirewright.coordinator.storage.urls import DatabaseUrlError  # noqa: PLC0415

    try:
        yield
    except (BackupError, CoordinatorError, StartError) as error:
        raise CommandError(str(error)) from None
    except DatabaseUrlError as error:
        raise CommandError(f"--database: {error}", status=2) from None
    except (OpenToOthersError, CertificateError) as error:
        raise CommandError(str(error)) from None


def _log() -> None:
    """Have what goes wrong while it runs told on the standard error."""
    logging.basicConfig(level=logging.WARNING, format="ww: %(message)s", stream=sys.stderr)
