"""The interface that hands out tunnels: what devices may do, and how the host is told."""
