"""What a configuration will do, in plain words and as data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from typing import Any

from wirewright.config.config import Config
from wirewright.config.document import Document
from wirewright.config.errors import ConfigError
from wirewright.config.findings import Finding, find
from wirewright.config.model import Interface, Peer
from wirewright.config.values import IPNetwork

MAX_PEERS = 50
"""Peers that are described in words; the rest are only counted."""
MAX_NETWORKS = 12
"""Networks of a peer that are named in words."""

_EVERYTHING = {ip_network("0.0.0.0/0"): "all of IPv4", ip_network("::/0"): "all of IPv6"}


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A subject, and sentences about it."""

    subject: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a configuration will do, and what is odd about it."""

    config: Config
    paragraphs: tuple[Paragraph, ...]
    findings: tuple[Finding, ...]

    @property
    def has_warnings(self) -> bool:
        """Whether any finding tells of a likely mistake."""
        return any(finding.level == "warning" for finding in self.findings)


def explain(document: Document) -> Explanation:
    """Explain a configuration to its author. No secret is in the explanation."""
    config = document.config
    peers = config.effective_peers()
    paragraphs = [_interface(config.interface), *(_peer(peer) for peer in peers[:MAX_PEERS])]
    if len(peers) > MAX_PEERS:
        paragraphs.append(Paragraph(f"and {len(peers) - MAX_PEERS} more peers", ()))
    return Explanation(config, tuple(paragraphs), find(document))


def as_data(explanation: Explanation) -> dict[str, Any]:
    """Give an explanation as data for JSON. Secrets are told to be there or not, and not shown."""
    interface = explanation.config.interface
    key = interface.private_key
    return {
        "valid": True,
        "interface": {
            "public_key": str(key.public_key) if key else None,
            "addresses": _strings(interface.addresses),
            "listen_port": interface.listen_port or None,
            "dns_servers": _strings(interface.dns_servers),
            "search_domains": list(interface.search_domains),
            "mtu": interface.mtu,
            "fwmark": interface.fwmark or None,
            "table": interface.table or "auto",
            "hooks": len(interface.hooks),
            "save_config": interface.save_config,
        },
        "peers": [
            {
                "public_key": str(peer.public_key),
                "has_preshared_key": peer.preshared_key is not None,
                "endpoint": str(peer.endpoint) if peer.endpoint else None,
                "allowed_ips": _strings(peer.allowed_ips),
                "persistent_keepalive": peer.persistent_keepalive or None,
            }
            for peer in explanation.config.effective_peers()
        ],
        "findings": [asdict(finding) for finding in explanation.findings],
    }


def problems_as_data(error: ConfigError) -> dict[str, Any]:
    """Give what is wrong with a configuration as data for JSON."""
    return {
        "valid": False,
        "problems": [asdict(problem) for problem in error.problems],
        "problems_not_listed": error.uncounted,
    }


def _interface(interface: Interface) -> Paragraph:
    sentences = []
    if interface.private_key:
        sentences.append(f"is known to its peers by the public key {interface.private_key.public_key}")
    if interface.addresses:
        sentences.append(f"has the address{_plural(interface.addresses, 'es')} {_and(interface.addresses)}")
    if interface.listen_port:
        sentences.append(f"listens on UDP port {interface.listen_port}")
    else:
        sentences.append("uses any free UDP port")
    if interface.dns_servers:
        sentences.append(f"asks {_and(interface.dns_servers)} for the addresses of names, through the tunnel")
    if interface.search_domains:
        sentences.append(f"completes short names with {_and(interface.search_domains)}")
    if interface.mtu:
        sentences.append(f"carries packets of up to {interface.mtu} bytes")
    return Paragraph("this tunnel", tuple(sentences))


def _peer(peer: Peer) -> Paragraph:
    sentences = []
    if peer.endpoint:
        sentences.append(f"is called at {peer.endpoint}")
    else:
        sentences.append("is not called: it has to call first")
    if peer.allowed_ips:
        sentences.append(f"is sent, and may send, packets of {_networks(peer.allowed_ips)}")
    if peer.preshared_key:
        sentences.append("shares a preshared key with this tunnel")
    if peer.persistent_keepalive:
        sentences.append(
            f"is sent a packet at least every {peer.persistent_keepalive} s, so that NAT lets it answer"
        )
    return Paragraph(f"peer {peer.public_key}", tuple(sentences))


def _networks(networks: Sequence[IPNetwork]) -> str:
    names = [_EVERYTHING.get(network, str(network)) for network in networks[:MAX_NETWORKS]]
    if len(networks) > MAX_NETWORKS:
        names.append(f"{len(networks) - MAX_NETWORKS} more networks")
    return _and(names)


def _and(items: Sequence[object]) -> str:
    texts = _strings(items)
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _plural(items: Sequence[object], ending: str) -> str:
    return ending if len(items) > 1 else ""


def _strings(items: Sequence[object]) -> list[str]:
    return [str(item) for item in items]
