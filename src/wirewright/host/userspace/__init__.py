"""WireGuard in user space, spoken to by the UAPI text over a socket."""
