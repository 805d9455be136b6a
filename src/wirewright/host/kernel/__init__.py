"""The kernel's WireGuard, spoken to by generic netlink."""
