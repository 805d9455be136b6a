"""How a tunnel comes to be and how it ends."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, Any, cast

from wirewright._core import RootlessTunnel
from wirewright.tunnel.context import Context, Timeouts
from wirewright.tunnel.dispatch import Dispatcher
from wirewright.tunnel.endpoints import endpoint_family, resolve_endpoint
from wirewright.tunnel.errors import AddressError, EndpointError, TunnelError
from wirewright.tunnel.membership import PeerChanges
from wirewright.tunnel.peers import Peer, PeerBook

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from wirewright.config import Config
    from wirewright.config import Peer as PeerConfig
    from wirewright.keys import PublicKey
    from wirewright.tunnel.arguments import Network
    from wirewright.tunnel.forwarding import Forwarding
    from wirewright.tunnel.tunnel import Tunnel

# Room for IPv6 and WireGuard's own headers in Ethernet's 1500 bytes; wg-quick's choice too.
DEFAULT_MTU = 1420


_log = logging.getLogger(__name__)


async def open_tunnel(
    tunnel: Tunnel,
    config: Config,
    *,
    listen_address: str | None,
    shards: int,
    timeouts: Timeouts,
    forwarding: Forwarding | None,
) -> Context:
    """Resolve the endpoints, start the core, enter the peers."""
    loop = asyncio.get_running_loop()
    peers = config.effective_peers()
    family = endpoint_family(listen_address)
    endpoints = await _resolve_endpoints(loop, peers, timeouts.endpoint, family)
    # No waiting from here on: a cancellation would leave the core's threads behind.
    core = _start_core(config, listen_address, shards, forwarding)
    try:
        if forwarding is not None:
            _check_places(core, forwarding)
        book = PeerBook(loop, core, _passed_over(config))
        context = Context(tunnel, loop, core, Dispatcher(loop, core), book, timeouts, family)
        for peer, (written, resolved) in zip(peers, endpoints, strict=True):
            changes = PeerChanges(
                preshared_key=peer.preshared_key,
                allowed_ips=peer.allowed_ips,
                persistent_keepalive=peer.persistent_keepalive,
            )
            context.membership.enter(peer.public_key, changes, written, resolved)
        context.dispatcher.start(lambda kind, detail: _tunnel_event(context, kind, detail))
    except BaseException:
        core.close()
        raise
    return context


async def close_tunnel(context: Context) -> None:
    """Let closed connections deliver their last bytes, then end everything that is still open."""
    for server in list(context.servers):
        server.close()
    for forward in list(context.forwards):
        await forward.close()
    context.membership.close()
    try:
        await context.lingering.wait(context.timeouts.linger)
    finally:
        _end(context)
        # Joins the core's threads, which is quick but not the loop's work.
        await asyncio.shield(context.loop.run_in_executor(None, context.core.close))
        # The protocols' connection_lost() has been scheduled; who closes a tunnel may expect it done.
        await asyncio.sleep(0)


def _end(context: Context) -> None:
    error = context.closed_error()
    context.dispatcher.stop()
    context.dispatcher.abandon(error)
    context.lingering.clear()
    context.peers.closed(error)


def _tunnel_event(context: Context, kind: str, detail: object) -> None:
    match kind:
        case "handshake":
            context.peers.established(cast("PublicKey", detail))
        case "gave_up":
            context.membership.gave_up(cast("PublicKey", detail))
        case "stopped":
            context.reason = str(detail)
            _end(context)


def _start_core(
    config: Config, listen_address: str | None, shards: int, forwarding: Forwarding | None
) -> RootlessTunnel:
    interface = config.interface
    port = interface.listen_port or 0
    if interface.private_key is None:
        raise TunnelError(
            "The configuration has no PrivateKey in its [Interface] section: make one by ww genkey."
        )
    if not interface.addresses:
        raise TunnelError("The configuration has no Address in its [Interface] section: a tunnel needs one.")
    try:
        return RootlessTunnel(
            interface.private_key,
            [str(address) for address in interface.addresses],
            listen_port=port,
            listen_address=listen_address,
            mtu=interface.mtu or DEFAULT_MTU,
            shards=shards,
            **_forwarding(forwarding),
        )
    except ValueError as error:
        raise TunnelError(
            f"The configuration's [Interface] section cannot be used: {error}.", errno=errno.EINVAL
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressError(
                f"UDP port {port} is in use by another program (perhaps the same configuration is up "
                "already). Stop it, or leave ListenPort out to get a free port."
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise AddressError(
                f"Cannot listen on {listen_address}: it is not an address of this machine.", errno=error.errno
            ) from None
        raise


def _forwarding(forwarding: Forwarding | None) -> dict[str, Any]:
    return {} if forwarding is None else {"forwarding": forwarding.to_core()}


def _check_places(core: RootlessTunnel, forwarding: Forwarding) -> None:
    """Say so if there may be fewer open files than what may be forwarded at once."""
    wanted = forwarding.connections + forwarding.flows
    places = core.stats()["forwarding"]["places"]
    if places < wanted:
        _log.warning(
            "At most %d of %d connections and flows can be forwarded at once: the limit of open files "
            "leaves no more, and what one peer may have is less in proportion. Raise it (ulimit -n, "
            "LimitNOFILE= of systemd), or ask for fewer.",
            places,
            wanted,
        )


def _passed_over(config: Config) -> dict[Network, Peer]:
    """Return the networks of peers with the interface's own key, which the kernel passes over, too."""
    own = config.interface.private_key.public_key if config.interface.private_key else None
    passed_over: dict[Network, Peer] = {}
    for peer in config.peers:
        if peer.public_key == own:
            endpoint = (peer.endpoint.host, peer.endpoint.port) if peer.endpoint else None
            passed_over |= dict.fromkeys(peer.allowed_ips, Peer(peer.public_key, endpoint))
    return passed_over


async def _resolve_endpoints(
    loop: asyncio.AbstractEventLoop,
    peers: Sequence[PeerConfig],
    patience: float,
    family: socket.AddressFamily,
) -> list[tuple[tuple[str, int] | None, tuple[str, int] | None]]:
    """Return each peer's endpoint as written and as resolved, all looked up at the same time."""
    written = [(peer.endpoint.host, peer.endpoint.port) if peer.endpoint else None for peer in peers]

    async def look_up(endpoint: tuple[str, int] | None) -> tuple[str, int] | None:
        return None if endpoint is None else await resolve_endpoint(loop, endpoint, patience, family)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look_up(endpoint)) for endpoint in written]
    except* EndpointError as failed:
        raise failed.exceptions[0] from None
    return list(zip(written, (task.result() for task in tasks), strict=True))
