"""What the host has and can be told: WireGuard interfaces of either engine, addresses, routes, names."""
