"""What is valid in a configuration but will hardly do what its author wants."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from shlex import quote
from typing import TYPE_CHECKING, Literal

from wirewright.config.document import Document
from wirewright.config.model import Peer
from wirewright.config.reader import field_of
from wirewright.config.syntax import LineKind
from wirewright.config.values import IPAddress, IPNetwork

if TYPE_CHECKING:
    from wirewright.keys import PublicKey

MAX_FINDINGS = 20
"""Findings of one kind that are listed; the rest are only counted."""

_IPV6_LEAST_MTU = 1280
"""RFC 8200, section 5."""
_IPV4_LEAST_MTU = 576
"""What every IPv4 host must take (RFC 791, section 3.2)."""
_MOST_ADDRESSES = 64
"""Of a rootless tunnel."""
_ETHERNET_OVER_IPV4 = 1500 - 60
_MEANT_NOTES = frozenset({"repeated-key", "removal"})
"""Notes of the reader that tell of a likely mistake, not only of another spelling."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing about a configuration."""

    level: Literal["warning", "note"]
    """A warning tells of what is likely a mistake."""
    code: str
    """A stable name of the kind of finding, such as ``shared-network``."""
    text: str
    line: int | None = None


def find(document: Document) -> tuple[Finding, ...]:
    """Look for everything that is known to go wrong; warnings first, then in the order of the file."""
    found = [finding for check in _CHECKS for finding in _limited(check(_Subject(document)))]
    return tuple(sorted(found, key=lambda finding: (finding.level != "warning", finding.line or 0)))


class _Subject:
    """A document, and what several checks ask of it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.interface = document.config.interface
        self.header = 0
        self._lines: dict[str, int] = {}
        self.peers: list[tuple[int, Peer]] = []
        """With the numbers of their headers' lines."""
        for section in document.reading.sections:
            if isinstance(section.value, Peer):
                self.peers.append((section.block.header, section.value))
            elif section.value is not None:
                self.header = section.block.header
                for number, line in enumerate(section.block.lines, section.block.first):
                    if line.kind is LineKind.ASSIGNMENT and (field := field_of(line)):
                        self._lines[field.key] = number

    def line(self, *keys: str) -> int:
        """Give the line of the first of these keys of the interface that is there; else its header's."""
        return next((self._lines[key] for key in keys if key in self._lines), self.header)

    @property
    def networks(self) -> Iterator[tuple[int, Peer, IPNetwork]]:
        for line, peer in self.peers:
            for network in peer.allowed_ips:
                yield line, peer, network


def _file(subject: _Subject) -> Iterator[Finding]:
    source = subject.document.source
    if source.readable_by_others and subject.document.source.text.secrets:
        text = f"every user of this machine can read the file and its keys: chmod 600 {quote(source.path)}"
        yield Finding("warning", "readable-by-others", text)


def _spelling(subject: _Subject) -> Iterator[Finding]:
    for note in subject.document.notes:
        level: Literal["warning", "note"] = "warning" if note.code in _MEANT_NOTES else "note"
        yield Finding(level, note.code, f"{note.key}: {note.text}", note.line)


def _interface(subject: _Subject) -> Iterator[Finding]:
    interface = subject.interface
    if interface.private_key is None:
        text = "there is no PrivateKey: no tunnel can be opened until there is one (ww genkey makes one)"
        yield Finding("warning", "no-private-key", text, subject.header)
    if not interface.addresses:
        text = "there is no Address: programs have no address to speak from inside the tunnel"
        yield Finding("warning", "no-address", text, subject.header)
    if interface.hooks:
        commands = "1 command" if len(interface.hooks) == 1 else f"{len(interface.hooks)} commands"
        text = f"{commands} in PreUp, PostUp, PreDown or PostDown: a rootless tunnel never runs them"
        yield Finding("note", "hooks", text, subject.line("PreUp", "PostUp", "PreDown", "PostDown"))
    if interface.save_config:
        text = "SaveConfig: wg-quick overwrites this file, comments too, when it takes the interface down"
        yield Finding("note", "save-config", text, subject.line("SaveConfig"))
    system = [name for name, value in (("FwMark", interface.fwmark), ("Table", interface.table)) if value]
    if system:
        text = f"{' and '.join(system)}: of use to a system interface only; a rootless tunnel has no routes"
        yield Finding("note", "system-only", text, subject.line(*system))


def _mtu(subject: _Subject) -> Iterator[Finding]:
    mtu, line = subject.interface.mtu, subject.line("MTU")
    if mtu is None:
        return
    has_ipv6 = any(isinstance(address, IPv6Interface) for address in subject.interface.addresses)
    if mtu < _IPV6_LEAST_MTU and has_ipv6:
        text = f"MTU {mtu}: IPv6 does not work below {_IPV6_LEAST_MTU} bytes, and no rootless tunnel opens"
        yield Finding("warning", "mtu-too-small-for-ipv6", text, line)
    elif mtu < _IPV4_LEAST_MTU:
        text = f"MTU {mtu}: no rootless tunnel opens below {_IPV4_LEAST_MTU} bytes"
        yield Finding("warning", "mtu-too-small", text, line)
    if mtu > _ETHERNET_OVER_IPV4:
        text = f"MTU {mtu}: over Ethernet, packets above 1440 bytes (1420 if the endpoint is IPv6) do not fit"
        yield Finding("note", "large-mtu", text, line)


def _addresses(subject: _Subject) -> Iterator[Finding]:
    addresses = subject.interface.addresses
    for address in addresses:
        if not _can_be_a_host(address.ip):
            text = f"{address.ip} is no address that a host can have: no rootless tunnel opens with it"
            yield Finding("warning", "unusable-address", text, subject.line("Address"))
    if len(addresses) > _MOST_ADDRESSES:
        text = (
            f"{len(addresses)} addresses: a rootless tunnel has at most {_MOST_ADDRESSES}, and does not open"
        )
        yield Finding("warning", "too-many-addresses", text, subject.line("Address"))
    kinds = (
        (4, any(isinstance(address, IPv4Interface) for address in addresses)),
        (6, any(isinstance(address, IPv6Interface) for address in addresses)),
    )
    for version, present in kinds:
        lines = [line for line, _, network in subject.networks if network.version == version]
        if lines and addresses and not present:
            text = f"there are IPv{version} networks in AllowedIPs, but no IPv{version} Address to speak from"
            yield Finding("warning", "no-address-of-family", text, lines[0])


def _name_servers(subject: _Subject) -> Iterator[Finding]:
    by_length = _by_length(network for _, _, network in subject.networks)
    for server in subject.interface.dns_servers:
        bits = int(server)
        covered = any(
            bits >> (server.max_prefixlen - length) in starts
            for (version, length), starts in by_length.items()
            if version == server.version
        )
        if not covered:
            text = f"DNS {server} is in no peer's AllowedIPs: it cannot be asked through the tunnel"
            yield Finding("warning", "dns-without-route", text, subject.line("DNS"))
    if subject.interface.search_domains and not subject.interface.dns_servers:
        text = "DNS has search domains but no server"
        yield Finding("warning", "dns-without-server", text, subject.line("DNS"))


def _reachability(subject: _Subject) -> Iterator[Finding]:
    if not subject.peers:
        yield Finding("warning", "no-peers", "there is no [Peer]: the tunnel leads nowhere", subject.header)
    elif not subject.interface.listen_port and not any(peer.endpoint for _, peer in subject.peers):
        text = (
            "no peer has an Endpoint and there is no ListenPort: neither side knows where to find the other"
        )
        yield Finding("warning", "nobody-can-begin", text, subject.header)


def _peer_keys(subject: _Subject) -> Iterator[Finding]:
    own = subject.interface.private_key.public_key if subject.interface.private_key else None
    seen: dict[PublicKey, int] = {}
    for line, peer in subject.peers:
        key = peer.public_key
        if key == own:
            text = "this peer's PublicKey is the interface's own: the section is passed over"
            yield Finding("warning", "own-key", text, line)
        elif key in seen:
            text = f"the peer of line {seen[key]} again: AllowedIPs and PresharedKey here replace those there"
            yield Finding("warning", "repeated-peer", text, line)
        if key.is_low_order:
            text = "this PublicKey is of low order: every handshake with this peer fails; ask for a real key"
            yield Finding("warning", "low-order-key", text, line)
        if not peer.allowed_ips:
            text = "no AllowedIPs: nothing is sent to this peer, and nothing it sends is accepted"
            yield Finding("warning", "no-allowed-ips", text, line)
        seen[key] = line


def _shared_networks(subject: _Subject) -> Iterator[Finding]:
    owners: dict[IPNetwork, tuple[int, Peer]] = {}
    for line, peer, network in subject.networks:
        before, owner = owners.get(network, (line, peer))
        if owner.public_key != peer.public_key:
            text = (
                f"{network} is also listed for the peer of line {before}: a network has one owner, the last"
            )
            yield Finding("warning", "shared-network", text, line)
        owners[network] = (line, peer)


def _nested_networks(subject: _Subject) -> Iterator[Finding]:
    owners = {
        (network.version, network.prefixlen, _start(network)): (line, peer, network)
        for line, peer, network in subject.networks
    }
    lengths = sorted({key[:2] for key in owners}, reverse=True)
    for line, peer, network in owners.values():
        for version, length in lengths:
            if version != network.version or length >= network.prefixlen:
                continue
            around = owners.get((version, length, _start(network) >> (network.prefixlen - length)))
            if around and around[1].public_key != peer.public_key:
                outer = f"{around[2]} of the peer of line {around[0]}"
                text = f"{network} lies within {outer}: the longer prefix wins"
                yield Finding("note", "nested-network", text, line)
                break


_CHECKS: tuple[Callable[[_Subject], Iterator[Finding]], ...] = (
    _file,
    _spelling,
    _interface,
    _mtu,
    _addresses,
    _name_servers,
    _reachability,
    _peer_keys,
    _shared_networks,
    _nested_networks,
)


def _can_be_a_host(address: IPAddress) -> bool:
    """Tell whether packets can come from an address, by the rules of the core's TCP/IP stack."""
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped is None
    # RFC 6890: 0/8 is "this network", and 240/4 reserved.
    return 0 < address.packed[0] < 240


def _limited(findings: Iterator[Finding]) -> Iterator[Finding]:
    counts: defaultdict[str, int] = defaultdict(int)
    levels: dict[str, Literal["warning", "note"]] = {}
    for finding in findings:
        counts[finding.code] += 1
        levels[finding.code] = finding.level
        if counts[finding.code] <= MAX_FINDINGS:
            yield finding
    for code, count in counts.items():
        if count > MAX_FINDINGS:
            yield Finding(levels[code], code, f"and {count - MAX_FINDINGS} more of this kind")


def _by_length(networks: Iterator[IPNetwork]) -> dict[tuple[int, int], set[int]]:
    starts: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for network in networks:
        starts[network.version, network.prefixlen].add(_start(network))
    return starts


def _start(network: IPNetwork) -> int:
    """Give the bits of a network's prefix."""
    return int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
