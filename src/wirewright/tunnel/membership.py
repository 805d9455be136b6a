"""Peers that come, change and go while the tunnel is open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypedDict

from wirewright.tunnel.arguments import check_keepalive, parse_endpoint, parse_networks
from wirewright.tunnel.endpoints import is_literal, resolve_endpoint
from wirewright.tunnel.errors import EndpointError, TunnelClosed
from wirewright.tunnel.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.host.filtering import AllowRule
    from wirewright.keys import PresharedKey, PublicKey
    from wirewright.tunnel.arguments import Endpoint, Network
    from wirewright.tunnel.context import Context


class PeerChanges(TypedDict, total=False):
    """What can be changed of a peer; what is not given stays as it is."""

    preshared_key: PresharedKey | None
    endpoint: Endpoint | None
    allowed_ips: Iterable[Network | str]
    persistent_keepalive: int | None
    rules: Iterable[AllowRule]


class Membership:
    """The peers of one open tunnel: the core's table and the book of the asyncio side, kept together."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lookups: set[asyncio.Task[None]] = set()

    async def add(self, public_key: PublicKey, changes: PeerChanges) -> None:
        """Resolve the endpoint, then enter the peer."""
        _check_names(changes)
        self._check_absent(public_key)
        endpoint = parse_endpoint(changes.get("endpoint"))
        resolved = await self._resolved(endpoint)
        # Somebody else may have added it while its name was looked up.
        self._check_absent(public_key)
        self.enter(public_key, changes, endpoint, resolved)

    def enter(
        self,
        public_key: PublicKey,
        changes: PeerChanges,
        endpoint: tuple[str, int] | None,
        resolved: tuple[str, int] | None,
    ) -> None:
        """Enter a peer whose endpoint is resolved."""
        keepalive = changes.get("persistent_keepalive")
        check_keepalive(keepalive)
        allowed_ips = [str(network) for network in parse_networks(changes.get("allowed_ips", ()))]
        self._context.core.add_peer(
            public_key,
            preshared_key=changes.get("preshared_key"),
            endpoint=resolved,
            allowed_ips=allowed_ips,
            persistent_keepalive=keepalive,
            rules=None if (rules := changes.get("rules")) is None else [str(rule) for rule in rules],
        )
        self._context.peers.add(Peer(public_key, endpoint))

    async def update(self, public_key: PublicKey, changes: PeerChanges) -> None:
        """Change what is given; allowed IPs are replaced, not added to."""
        _check_names(changes)
        given: dict[str, Any] = dict(changes)
        if given.get("endpoint", "") is None:
            raise ValueError("A peer's endpoint can be changed, but not taken away: remove the peer.")
        endpoint = parse_endpoint(changes.get("endpoint"))
        check_keepalive(changes.get("persistent_keepalive"))
        if "endpoint" in given:
            given["endpoint"] = await self._resolved(endpoint)
        if "allowed_ips" in given:
            given["allowed_ips"] = [str(network) for network in parse_networks(given["allowed_ips"])]
        if "rules" in given:
            given["rules"] = [str(rule) for rule in given["rules"]]
        peer = self._context.peers.get(public_key)
        if peer is None:
            raise KeyError(f"Peer {public_key} is not in this tunnel: use add_peer().")
        self._context.core.update_peer(public_key, **given)
        self._context.peers.changed()
        if "endpoint" in given:
            peer.endpoint = endpoint

    def remove(self, public_key: PublicKey) -> bool:
        """Remove a peer; false if it was not there."""
        self._context.peers.remove(public_key)
        return self._context.core.remove_peer(public_key)

    def gave_up(self, public_key: PublicKey) -> None:
        """Tell who waits; and look the endpoint's name up again, for the peer may have moved."""
        self._context.peers.gave_up(public_key)
        peer = self._context.peers.get(public_key)
        if peer is not None and peer.endpoint is not None and not is_literal(peer.endpoint[0]):
            task = self._context.loop.create_task(self._look_again(peer, peer.endpoint))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)

    def close(self) -> None:
        """Look nothing up any more."""
        for task in self._lookups:
            task.cancel()

    def _check_absent(self, public_key: PublicKey) -> None:
        if self._context.peers.get(public_key) is not None:
            raise ValueError(f"Peer {public_key} is in this tunnel already: use update_peer().")

    async def _look_again(self, peer: Peer, endpoint: tuple[str, int]) -> None:
        # The name may be gone for a while; the next attempt to send tries again. Or the tunnel is gone.
        with suppress(EndpointError, TunnelClosed):
            resolved = await self._resolved(endpoint)
            if self._context.peers.get(peer.public_key) is peer and peer.endpoint == endpoint:
                self._context.core.update_peer(peer.public_key, endpoint=resolved)

    async def _resolved(self, endpoint: tuple[str, int] | None) -> tuple[str, int] | None:
        if endpoint is None:
            return None
        resolved = await resolve_endpoint(
            self._context.loop, endpoint, self._context.timeouts.endpoint, self._context.outer_family
        )
        if self._context.core.closed:
            raise self._context.closed_error()
        return resolved


def _check_names(changes: PeerChanges) -> None:
    known = list(PeerChanges.__annotations__)
    for name in changes:
        if name not in known:
            raise TypeError(f"A peer has no setting {name!r}: there are {', '.join(known)}.")
