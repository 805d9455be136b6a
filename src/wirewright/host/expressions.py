"""What rules of nftables are made of, as the kernel takes it: a rule is a list of these.

Each loads something of a packet into a register, compares it, or decides. Names and numbers are those of
``linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pyroute2.netlink.nfnetlink.nftsocket import Cmp, Meta, Regs
from pyroute2.nftables.expressions import genex

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from wirewright.config.values import IPAddress, IPNetwork

Expressions: TypeAlias = list[Any]

NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_RETURN = 0, 1, -3, -5
NFPROTO: Final = {4: 2, 6: 10}
IFNAMSIZ: Final = 16
"""Bytes of an interface's name, with the NUL at its end."""

NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
_SOURCE: Final = {4: (12, 4), 6: (8, 16)}
"""Where in a packet's header its source is: offset and length, in bytes."""
_DESTINATION: Final = {4: (16, 4), 6: (24, 16)}
_CT_STATE, _CT_DIRECTION, _CT_PROTOCOL, _CT_PROTO_DST = 0, 1, 10, 12
_CT_SOURCE: Final = {4: 19, 6: 21}
_CT_DESTINATION: Final = {4: 20, 6: 22}
_CT_STATE_INVALID, _CT_STATE_ESTABLISHED, _CT_STATE_NEW = 1, 2, 8
_ORIGINAL, _REPLY = 0, 1
"""The direction of whoever began, and that of answers."""
_FIB_ADDRESS_TYPE, _FIB_DESTINATION = 3, 2
_OPTION_OF_IPV4 = 2
_DYNSET_ADD = 0
_PRESENT = ("NFT_EXTHDR_F_PRESENT",)


def verdict(code: int, chain: str | None = None) -> Expressions:
    """Decide, or go on in a chain."""
    return [
        genex("immediate", {"dreg": Regs.NFT_REG_VERDICT, "data": {"attrs": [verdict_data(code, chain)]}})
    ]


def verdict_data(code: int, chain: str | None = None) -> tuple[str, Any]:
    """Give a decision as the content of a register, or of an element of a map."""
    attributes: list[tuple[str, Any]] = [("NFTA_VERDICT_CODE", code)]
    if chain is not None:
        attributes.append(("NFTA_VERDICT_CHAIN", chain))
    return ("NFTA_DATA_VERDICT", {"attrs": attributes})


def accept() -> Expressions:
    """Let the packet pass, as far as this table is concerned."""
    return verdict(NF_ACCEPT)


def drop() -> Expressions:
    """Drop the packet, and count it."""
    return [genex("counter", {}), *verdict(NF_DROP)]


def masquerade() -> Expressions:
    """Give the flow the address of the interface that it leaves by."""
    return [genex("masq", {})]


def came_by(interface: str, *, other: bool = False) -> Expressions:
    """Match packets that came by an interface, or by any other."""
    operation = Cmp.NFT_CMP_NEQ if other else Cmp.NFT_CMP_EQ
    return [load("meta", key=Meta.NFT_META_IIFNAME), compare(name_of(interface), operation)]


def leaves_by(interface: str, *, other: bool = False) -> Expressions:
    """Match packets that leave by an interface, or by any other."""
    operation = Cmp.NFT_CMP_NEQ if other else Cmp.NFT_CMP_EQ
    return [load("meta", key=Meta.NFT_META_OIFNAME), compare(name_of(interface), operation)]


def is_version(version: int) -> Expressions:
    """Match packets of IPv4 or of IPv6."""
    return [load("meta", key=Meta.NFT_META_NFPROTO), compare(bytes([NFPROTO[version]]))]


def has_source(network: IPNetwork) -> Expressions:
    """Match packets from a network."""
    offset, length = _SOURCE[network.version]
    loaded = load("payload", base=NETWORK_HEADER, offset=offset, len=length)
    return [*is_version(network.version), loaded, *_within(network)]


def has_destination(network: IPNetwork) -> Expressions:
    """Match packets to a network."""
    if network.prefixlen == 0:
        return is_version(network.version)
    offset, length = _DESTINATION[network.version]
    loaded = load("payload", base=NETWORK_HEADER, offset=offset, len=length)
    return [*is_version(network.version), loaded, *_within(network)]


def embeds(network: IPv4Network, at: int, *, inverted: bool = False) -> Expressions:
    """Match packets of IPv6 whose destination has an address of IPv4 at a byte; its bits may be inverted."""
    loaded = load("payload", base=NETWORK_HEADER, offset=_DESTINATION[6][0] + at, len=4)
    mask = network.netmask.packed
    bits = _masked(mask, mask if inverted else bytes(4))
    return [*is_version(6), loaded, bits, compare(network.network_address.packed)]


def goes_to(kind: int) -> Expressions:
    """Match packets whose destination is of a kind in the host's routes (``RTN_LOCAL`` …)."""
    loaded = load("fib", result=_FIB_ADDRESS_TYPE, flags=_FIB_DESTINATION)
    return [loaded, compare(kind.to_bytes(4, sys.byteorder))]


def is_answer() -> Expressions:
    """Match packets that go to whoever began the flow."""
    return [load("ct", key=_CT_DIRECTION), compare(bytes([_REPLY]))]


def is_established() -> Expressions:
    """Match packets of flows that were answered."""
    return _has_state(_CT_STATE_ESTABLISHED)


def has_option(number: int) -> Expressions:
    """Match packets of IPv4 with an option."""
    found = genex(
        "exthdr",
        {"dreg": 1, "type": number, "offset": 0, "len": 1, "op": _OPTION_OF_IPV4, "flags": _PRESENT},
    )
    return [*is_version(4), found, compare(b"\1")]


def is_icmp(version: int) -> Expressions:
    """Match ICMP or ICMPv6."""
    number = {4: 1, 6: 58}[version]
    return [*is_version(version), load("meta", key=Meta.NFT_META_L4PROTO), compare(bytes([number]))]


def has_icmp_type(number: int) -> Expressions:
    """Match a type of ICMP, where it is known to be ICMP."""
    return [load("payload", base=TRANSPORT_HEADER, offset=0, len=1), compare(bytes([number]))]


def is_invalid() -> Expressions:
    """Match packets that the kernel cannot make sense of."""
    return _has_state(_CT_STATE_INVALID)


def is_new() -> Expressions:
    """Match packets of flows that were not answered yet."""
    return _has_state(_CT_STATE_NEW)


def began_at(address: IPAddress) -> Expressions:
    """Match packets of flows that an address began."""
    key = _CT_SOURCE[address.version]
    return [load("ct", key=key, direction=_ORIGINAL), compare(address.packed)]


def decided_by(table: str, version: int) -> Expressions:
    """Go on where a map says that flows go whom a certain address began."""
    loaded = load("ct", key=_CT_SOURCE[version], direction=_ORIGINAL)
    return [loaded, genex("lookup", {"set": table, "sreg": 1, "dreg": Regs.NFT_REG_VERDICT})]


def began_in(addresses: str, version: int) -> Expressions:
    """Match packets of flows that an address in a set began."""
    loaded = load("ct", key=_CT_SOURCE[version], direction=_ORIGINAL)
    return [loaded, genex("lookup", {"set": addresses, "sreg": 1})]


def began_towards(network: IPNetwork) -> Expressions:
    """Match packets of flows that were begun towards a network."""
    loaded = load("ct", key=_CT_DESTINATION[network.version], direction=_ORIGINAL)
    if network.prefixlen == 0:
        # Only of the family; the comparison with nothing would not be taken.
        return is_version(network.version)
    return [loaded, *_within(network)]


def are_within(count: int, counted: str, version: int) -> Expressions:
    """Match packets if the address that began their flow has no more than so many that are not over.

    They are counted where packets come to this rule, in a dynamic set. If that is full, nothing of an address
    that is not in it matches.
    """
    loaded = load("ct", key=_CT_SOURCE[version], direction=_ORIGINAL)
    limit = genex("connlimit", {"count": count})
    return [loaded, genex("dynset", {"set_name": counted, "sreg_key": 1, "op": _DYNSET_ADD, "expr": limit})]


def is_protocol(number: int) -> Expressions:
    """Match packets of flows of a protocol: ICMP errors are of the flow that they are about."""
    return [load("ct", key=_CT_PROTOCOL, direction=_ORIGINAL), compare(bytes([number]))]


def began_to_ports(first: int, last: int) -> Expressions:
    """Match packets of flows that were begun towards certain ports."""
    loaded = load("ct", key=_CT_PROTO_DST, direction=_ORIGINAL)
    if first == last:
        return [loaded, compare(first.to_bytes(2, "big"))]
    least = compare(first.to_bytes(2, "big"), Cmp.NFT_CMP_GTE)
    return [loaded, least, compare(last.to_bytes(2, "big"), Cmp.NFT_CMP_LTE)]


def compare(value: bytes, operation: Cmp = Cmp.NFT_CMP_EQ) -> Any:  # noqa: ANN401 - pyroute2's, untyped
    """Go on with the rule only if the first register compares so with a value."""
    return genex("cmp", {"sreg": 1, "op": operation, "data": _value(value)})


def load(expression: str, **arguments: int) -> Any:  # noqa: ANN401 - pyroute2's, untyped
    """Read something of a packet into the first register."""
    return genex(expression, {"dreg": 1, **arguments})


def store(expression: str, **arguments: int) -> Any:  # noqa: ANN401 - pyroute2's, untyped
    """Write the first register to something of a packet."""
    return genex(expression, {**arguments, "sreg": 1})


def name_of(interface: str) -> bytes:
    """Write an interface's name as the kernel holds it in registers."""
    return interface.encode("utf-8", "surrogateescape").ljust(IFNAMSIZ, b"\0")


def _within(network: IPNetwork) -> Expressions:
    length = network.max_prefixlen // 8
    if network.prefixlen == network.max_prefixlen:
        return [compare(network.network_address.packed)]
    return [_masked(network.netmask.packed, bytes(length)), compare(network.network_address.packed)]


def _has_state(number: int) -> Expressions:
    bits = _masked(number.to_bytes(4, sys.byteorder), bytes(4))
    return [load("ct", key=_CT_STATE), bits, compare(bytes(4), Cmp.NFT_CMP_NEQ)]


def _masked(mask: bytes, xor: bytes) -> Any:  # noqa: ANN401 - pyroute2's, untyped
    return genex(
        "bitwise", {"sreg": 1, "dreg": 1, "len": len(mask), "mask": _value(mask), "xor": _value(xor)}
    )


def _value(value: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}
