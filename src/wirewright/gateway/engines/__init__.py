"""What carries a gateway's packets: a system interface, or a tunnel in user space that needs no root.

Both are a :class:`~wirewright.gateway.engine.GatewayEngine`.
"""

from __future__ import annotations

from wirewright.gateway.engines.rootless import RootlessEngine, rootless
from wirewright.gateway.engines.system import SystemEngine, clear, system

__all__ = ["RootlessEngine", "SystemEngine", "clear", "rootless", "system"]
