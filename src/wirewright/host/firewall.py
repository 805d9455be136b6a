"""Rules of nftables that a full tunnel needs, by netlink: what wg-quick(8) loads, in a table of our own.

Each family has a table of three chains. The first keeps out what only looks like the tunnel's: packets to
the interface's own addresses that came by another interface and not from this host. The others let answers
to the tunnel's own datagrams be routed as those were, which strict reverse path filters demand: the mark of
a datagram is noted with its connection, and given to what comes back.

All functions raise OSError with words for a person.
"""

from __future__ import annotations

import errno
import os
import sys
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pyroute2.netlink import NLM_F_CREATE
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELTABLE,
    NFT_MSG_NEWTABLE,
    Cmp,
    Meta,
)

from wirewright.host import expressions as e
from wirewright.host.nftables import RefusedError, Request, append_rule, base_chain, has_table, transact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.config.values import IPAddress

# linux/netfilter.h, linux/netfilter_ipv4.h, linux/netfilter/nf_tables.h, linux/rtnetlink.h
HOOK_PREROUTING, HOOK_POSTROUTING = 0, 4
PRIORITY_RAW, PRIORITY_MANGLE = -300, -150
CT_MARK = 3
FIB_RESULT_ADDRTYPE, FIB_F_SADDR = 3, 1
RTN_LOCAL = 2

DESTINATION: Final = {4: (16, 4), 6: (24, 16)}
"""Where in a packet's header its destination is: offset and length, in bytes."""

Owner: TypeAlias = Literal["wirewright", "wg-quick"]
OURS: Final = "wirewright"
OWNERS: Final[tuple[Owner, ...]] = ("wirewright", "wg-quick")
"""Whose guards are alike but for the names of their tables."""


def guard(interface: str, mark: int, addresses: Iterable[IPAddress], version: int) -> None:
    """Guard an interface in one family, IP version 4 or 6, all or nothing.

    Packets to its ``addresses`` that come by another interface are dropped, unless they come from this host;
    answers to datagrams with the ``mark`` of the tunnel get the mark, too. Addresses of the other version are
    passed over. A guard that is there already is replaced. The errno is EOPNOTSUPP where the kernel has no
    nf_tables, or lacks a part of it.
    """
    table = table_of(interface)
    own = [address for address in dict.fromkeys(addresses) if address.version == version]
    # The first makes sure that there is one to delete.
    requests = [
        _add_table(table),
        _delete_table(table),
        _add_table(table),
        base_chain(table, "preraw", "filter", HOOK_PREROUTING, PRIORITY_RAW),
        base_chain(table, "premangle", "filter", HOOK_PREROUTING, PRIORITY_MANGLE),
        base_chain(table, "postmangle", "filter", HOOK_POSTROUTING, PRIORITY_MANGLE),
        *(append_rule(table, "preraw", *_drop_strangers(interface, address)) for address in own),
        append_rule(table, "postmangle", *_note_mark(mark)),
        append_rule(table, "premangle", *_give_mark()),
    ]
    try:
        transact(e.NFPROTO[version], requests)
    except RefusedError as refused:
        raise _told(interface, refused) from None


def unguard(interface: str, owner: Owner = OURS) -> None:
    """Remove a guard of an interface, in both families; nothing else, and silently if there is none."""
    table = table_of(interface, owner)
    failed: RefusedError | None = None
    for family in e.NFPROTO.values():
        try:
            transact(family, [_delete_table(table)])
        except RefusedError as refused:
            if not refused.is_absence:
                failed = refused
    if failed is not None:
        raise _told(interface, failed)


def guarded(interface: str, owner: Owner = OURS) -> bool:
    """Whether an interface is guarded by us, or by another who does the same, in either family."""
    table = table_of(interface, owner)
    try:
        return any(has_table(family, table) for family in e.NFPROTO.values())
    except RefusedError as refused:
        raise _told(interface, refused) from None


def table_of(interface: str, owner: Owner = OURS) -> str:
    """Give the name of the tables, one a family, that guard an interface."""
    if not 0 < len(interface.encode("utf-8", "surrogateescape")) < e.IFNAMSIZ or not interface.isprintable():
        raise OSError(errno.EINVAL, "the name of an interface has 1 to 15 bytes", interface)
    return f"{owner}-{interface}"


def _told(interface: str, refused: RefusedError) -> OSError:
    """Say what it means that the kernel refused."""
    code = refused.errno
    if refused.is_unsupported:
        words = "this kernel has no nf_tables, with which a full tunnel is guarded"
        code = errno.EOPNOTSUPP
    elif code == errno.EPERM:
        words = "to change or see the firewall takes root (CAP_NET_ADMIN)"
    elif code == errno.ENOENT:
        # So it says of kinds of chains and expressions that it neither has nor finds a module for.
        words = f"this kernel's nf_tables cannot do what a full tunnel is guarded with ({refused.what})"
        code = errno.EOPNOTSUPP
    else:
        words = f"the kernel refuses a part of the firewall ({refused.what}): {os.strerror(code)}"
    return OSError(code, words, interface)


def _add_table(table: str) -> Request:
    return Request(
        NFT_MSG_NEWTABLE, NLM_F_CREATE, [("NFTA_TABLE_NAME", table), ("NFTA_TABLE_FLAGS", 0)], "a table"
    )


def _delete_table(table: str) -> Request:
    return Request(NFT_MSG_DELTABLE, 0, [("NFTA_TABLE_NAME", table)], "deleting a table")


# The rules, each as nft(8) writes it and as the kernel takes it.


def _drop_strangers(interface: str, address: IPAddress) -> tuple[str, e.Expressions]:
    version = 4 if isinstance(address, IPv4Address) else 6
    offset, length = DESTINATION[version]
    family = "ip" if version == 4 else "ip6"
    return f'iifname != "{interface}" {family} daddr {address} fib saddr type != local drop', [
        e.load("meta", key=Meta.NFT_META_IIFNAME),
        e.compare(e.name_of(interface), Cmp.NFT_CMP_NEQ),
        e.load("payload", base=e.NETWORK_HEADER, offset=offset, len=length),
        e.compare(address.packed),
        e.load("fib", result=FIB_RESULT_ADDRTYPE, flags=FIB_F_SADDR),
        e.compare(_native(RTN_LOCAL), Cmp.NFT_CMP_NEQ),
        *e.verdict(e.NF_DROP),
    ]


def _note_mark(mark: int) -> tuple[str, e.Expressions]:
    return f"meta l4proto udp mark {mark} ct mark set mark", [
        *_is_udp(),
        e.load("meta", key=Meta.NFT_META_MARK),
        e.compare(_native(mark)),
        e.load("meta", key=Meta.NFT_META_MARK),
        e.store("ct", key=CT_MARK),
    ]


def _give_mark() -> tuple[str, e.Expressions]:
    return "meta l4proto udp meta mark set ct mark", [
        *_is_udp(),
        e.load("ct", key=CT_MARK),
        e.store("meta", key=Meta.NFT_META_MARK),
    ]


def _is_udp() -> list[Any]:
    return [e.load("meta", key=Meta.NFT_META_L4PROTO), e.compare(bytes([17]))]


def _native(number: int) -> bytes:
    """Write a number as the kernel holds it in a register."""
    return number.to_bytes(4, sys.byteorder)
