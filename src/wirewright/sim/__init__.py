"""Networks in virtual time: WireGuard devices of the core, wires between them, and a clock that jumps.

A simulation runs again to the byte, since even the devices' randomness comes from a seed. Nothing sleeps: ten
minutes of two idle peers take milliseconds.
"""

from wirewright.sim.network import Datagram, Network
from wirewright.sim.node import Node
from wirewright.sim.randomness import Randomness

__all__ = ["Datagram", "Network", "Node", "Randomness"]
