"""Our rootless tunnels against wireguard-go."""
