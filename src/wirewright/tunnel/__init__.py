"""Rootless WireGuard tunnels under asyncio, and a blocking face for scripts."""

from wirewright.tunnel.context import Timeouts
from wirewright.tunnel.errors import TunnelClosed, TunnelError
from wirewright.tunnel.stats import PeerStats, TunnelStats
from wirewright.tunnel.tunnel import Tunnel

__all__ = ["PeerStats", "Timeouts", "Tunnel", "TunnelClosed", "TunnelError", "TunnelStats"]
