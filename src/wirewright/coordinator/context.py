"""What one process of the coordinator has: its storage, and what it counts and limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from wirewright.coordinator.limits import Limiter
from wirewright.coordinator.live import Hub
from wirewright.coordinator.login.passwords import Passwords
from wirewright.coordinator.login.throttle import Throttle
from wirewright.coordinator.metrics import Metrics
from wirewright.coordinator.streams import Streams

if TYPE_CHECKING:
    from wirewright.coordinator.login.provider import Provider
    from wirewright.coordinator.storage import Storage
    from wirewright.gateway.running import RunningGateway


@dataclass(slots=True)
class Coordinator:
    """What the routers work with."""

    storage: Storage
    limiter: Limiter = field(default_factory=Limiter)
    metrics: Metrics = field(default_factory=Metrics)
    streams: Streams = field(default_factory=Streams)
    passwords: Passwords = field(default_factory=Passwords)
    throttle: Throttle = field(default_factory=Throttle)
    hub: Hub = field(default_factory=Hub)
    provider: Provider | None = None
    """Where people may log in besides, if there is one."""
    gateway: RunningGateway | None = None
    """The one in this process, if there is one."""

    def admit(self, source: str) -> int | None:
        """Return ``None`` if ``source`` may try to enrol now, or else after how many seconds."""
        return self.limiter.admit(source, monotonic())
