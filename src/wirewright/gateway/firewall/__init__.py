"""The firewall of a gateway behind the kernel's WireGuard: nftables, one table an interface."""

from wirewright.gateway.firewall.firewall import Device, Firewall, Surroundings

__all__ = ["Device", "Firewall", "Surroundings"]
