"""The firewall of a gateway behind the kernel's WireGuard: nftables, one table an interface."""

from wirewright.gateway.firewall.firewall import Firewall, Surroundings
from wirewright.gateway.firewall.policies import Device
from wirewright.gateway.firewall.reach import NOT_THE_HOST, Reach

__all__ = ["NOT_THE_HOST", "Device", "Firewall", "Reach", "Surroundings"]
