"""The addresses of the demonstration's two ends, and their configurations."""

from ipaddress import ip_interface, ip_network

from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.keys import PublicKey, SecretKey

CLIENT = "10.77.0.1"
SERVER = "10.77.0.2"
OUTER = "127.0.0.1"
HTTP_PORT = 80


def configuration(
    private_key: SecretKey, own: str, peer: str, peer_key: PublicKey, peer_port: int | None
) -> Config:
    """Configure one end; the one that does not know the other's port waits to be called."""
    endpoint = Endpoint(OUTER, peer_port) if peer_port else None
    return Config(
        Interface(private_key=private_key, addresses=(ip_interface(f"{own}/32"),)),
        (Peer(peer_key, allowed_ips=(ip_network(f"{peer}/32"),), endpoint=endpoint),),
    )
