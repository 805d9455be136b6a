"""The wires between devices, and the clock.

Theory: the only events are a datagram that arrives and a device's deadline. `Network.run` takes the earlier
one, sets the clock to it, lets it happen and carries away what follows, until the time asked for is over.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from wirewright._core import PresharedKey
from wirewright.sim.node import Address, Node, ipv4

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram on a wire."""

    source: Address
    destination: Address
    payload: bytes
    sent: float

    @property
    def kind(self) -> int:
        """The message type: 1 initiation, 2 response, 3 cookie reply, 4 data."""
        return self.payload[0]


class Network:
    """Devices that reach one another with the same latency everywhere. Times are in seconds."""

    def __init__(self, *, latency: float = 0.01, shards: int = 1, mtu: int = 1420) -> None:
        self.latency = latency
        self.nodes: list[Node] = []
        self.tap: list[Datagram] = []
        """All datagrams that were sent, whether they arrived or not."""
        self.passes: Callable[[Datagram], bool] = lambda _: True
        """Decides whether a datagram arrives."""
        self._shards = shards
        self._mtu = mtu
        self._now = 1000 * NANOSECONDS
        self._wall_offset = 1_800_000_000 * NANOSECONDS
        self._under_way: list[tuple[int, int, Datagram]] = []
        self._numbers = itertools.count()

    @property
    def now(self) -> float:
        """Monotonic time."""
        return self._now / NANOSECONDS

    @property
    def clocks(self) -> tuple[int, int]:
        """Monotonic time and Unix time in nanoseconds, as devices take them."""
        return self._now, self._now + self._wall_offset

    def add(self, name: str) -> Node:
        """Add a device: the first has 192.0.2.1 outside and 10.0.0.1 inside, and so on."""
        number = len(self.nodes) + 1
        outer, inner = (f"192.0.2.{number}", 51820), f"10.0.0.{number}"
        node = Node.make(name, outer, inner, shards=self._shards, mtu=self._mtu)
        node.device.set_private_key(*self.clocks, node.private_key)
        self.nodes.append(node)
        return node

    def introduce(
        self,
        node: Node,
        peer: Node,
        *,
        endpoint: bool = True,
        preshared_key: PresharedKey | None = None,
        persistent_keepalive: int | None = None,
    ) -> None:
        """Make ``peer`` a peer of ``node``, which knows where it is or has to wait for it."""
        node.device.set_peer(
            *self.clocks,
            peer.public_key,
            preshared_key=preshared_key,
            endpoint=peer.outer if endpoint else None,
            allowed_ips=[f"{peer.inner}/32"],
            persistent_keepalive=persistent_keepalive,
        )
        self.carry()

    def send(self, node: Node, peer: Node, payload: bytes) -> None:
        """Send an inner packet."""
        node.device.send(*self.clocks, ipv4(node.inner, peer.inner, payload))
        self.carry()

    def inject(self, node: Node, payload: bytes, source: Address) -> None:
        """Let a datagram arrive at once."""
        node.device.receive(*self.clocks, payload, source)
        self.carry()

    def set_wall_clock(self, seconds: float) -> None:
        """Set the wall clocks of all devices forward, or back."""
        self._wall_offset += int(seconds * NANOSECONDS)

    def run(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""
        end = self._now + int(seconds * NANOSECONDS)
        self.carry()
        while (following := self._next()) is not None and following <= end:
            self._now = max(self._now, following)
            self._happen()
        self._now = end

    def sent(self, node: Node, kind: int) -> list[Datagram]:
        """Give the datagrams of a type that a device sent."""
        return [datagram for datagram in self.tap if datagram.source == node.outer and datagram.kind == kind]

    def carry(self) -> None:
        """Take what devices want done."""
        for node in self.nodes:
            for action in node.device.actions():
                match action:
                    case ("datagram", payload, destination):
                        self._put(Datagram(node.outer, destination, payload, self.now))
                    case ("packet", packet):
                        node.inbox.append(packet)
                    case (kind, key):
                        node.notices.append((kind, key))

    def _put(self, datagram: Datagram) -> None:
        self.tap.append(datagram)
        if self.passes(datagram):
            arrival = self._now + int(self.latency * NANOSECONDS)
            heapq.heappush(self._under_way, (arrival, next(self._numbers), datagram))

    def _next(self) -> int | None:
        times = [deadline for node in self.nodes if (deadline := node.device.deadline) is not None]
        if self._under_way:
            times.append(self._under_way[0][0])
        return min(times, default=None)

    def _happen(self) -> None:
        while self._under_way and self._under_way[0][0] <= self._now:
            datagram = heapq.heappop(self._under_way)[2]
            for node in self.nodes:
                if node.outer == datagram.destination:
                    node.device.receive(*self.clocks, datagram.payload, datagram.source)
        for node in self.nodes:
            node.device.tick(*self.clocks)
        self.carry()
