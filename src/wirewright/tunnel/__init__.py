"""Rootless WireGuard tunnels under asyncio, and a blocking face for scripts."""

from wirewright.tunnel.blocking import BlockingTunnel
from wirewright.tunnel.connection import BlockingConnection
from wirewright.tunnel.context import Timeouts
from wirewright.tunnel.errors import TunnelClosed, TunnelError
from wirewright.tunnel.forwarding import Forwarding
from wirewright.tunnel.stats import PeerStats, TunnelStats
from wirewright.tunnel.tunnel import Tunnel

__all__ = [
    "BlockingConnection",
    "BlockingTunnel",
    "Forwarding",
    "PeerStats",
    "Timeouts",
    "Tunnel",
    "TunnelClosed",
    "TunnelError",
    "TunnelStats",
]
