"""httpx2 over a tunnel: transports for its clients, asynchronous and blocking.

async with Tunnel.from_file("office.conf") as tunnel:
    async with httpx2.AsyncClient(transport=TunnelTransport(tunnel)) as client:
        print(await client.get("https://intranet.example/"))
"""

try:
    import httpx2 as _httpx2
except ImportError as error:  # pragma: no cover - the tests install it
    raise ImportError(
        "wirewright.http needs httpx2: pip install 'wirewright[http]'", name=error.name
    ) from None

from wirewright.http.transport import BlockingTunnelTransport, TunnelTransport

del _httpx2

__all__ = ["BlockingTunnelTransport", "TunnelTransport"]
