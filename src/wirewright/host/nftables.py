"""Transactions of nf_tables over netlink: pyroute2's messages, on a socket of our own.

pyroute2's socket sends each change as a transaction of its own, and waits for ever where a batch is refused
as a whole, as by a kernel without nf_tables.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELTABLE,
    NFT_MSG_GETTABLE,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWSET,
    NFT_MSG_NEWTABLE,
    nft_chain_msg,
    nft_regs,
    nft_rule_msg,
    nft_set_msg,
    nft_table_msg,
)
from pyroute2.nftables.main import NFTables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NETLINK_NETFILTER = 12
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 16, 17
NLMSG_ERROR = 2
NF_DROP, NF_ACCEPT = 0, 1
FAMILIES: Final = {1: "inet", 2: "ip", 10: "ip6"}
HEADER: Final = struct.Struct("=IHHII")
ERROR_SIZE: Final = HEADER.size + 4
FAMILY: Final = struct.Struct(">BBH")
"""A family, a version, and in messages about the whole a subsystem."""
ATTRIBUTE: Final = struct.Struct("=HH")

RECEIVED = 65_536
SENT = 65_536
"""Bytes that every socket has room for."""
SO_SNDBUFFORCE = 32
PATIENCE: Final = 10.0
"""Seconds that the kernel may take to answer."""
UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class Request:
    """One change of a transaction."""

    kind: int
    flags: int
    attributes: Sequence[tuple[str, Any]] | bytes
    """By name, for pyroute2 to write; or written, where there are so many that this would take too long."""
    what: str
    """What it asks for, in words for a person."""


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that packets come to by a hook of the kernel's."""

    family: str
    table: str
    name: str
    hook: int
    is_closed: bool
    """Whether it drops what no rule of it lets pass."""

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class RefusedError(Exception):
    """The kernel did not do it."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(number, what)
        self.errno = number
        self.what = what

    @property
    def is_unsupported(self) -> bool:
        """Whether there is no nf_tables at all, or none of this family."""
        return self.errno in UNSUPPORTED

    @property
    def is_absence(self) -> bool:
        """Whether what was asked for is not there, or nothing could be."""
        return self.errno == errno.ENOENT or self.is_unsupported


def base_chain(table: str, name: str, kind: str, hook: int, priority: int) -> Request:
    """Ask for a chain at a hook of the kernel's, which lets pass what no rule of it drops."""
    place = {"attrs": [("NFTA_HOOK_HOOKNUM", hook), ("NFTA_HOOK_PRIORITY", priority)]}
    attributes = [
        ("NFTA_CHAIN_TABLE", table),
        ("NFTA_CHAIN_NAME", name),
        ("NFTA_CHAIN_HOOK", place),
        ("NFTA_CHAIN_POLICY", NF_ACCEPT),
        ("NFTA_CHAIN_TYPE", kind),
    ]
    return Request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, attributes, f"a chain of type {kind}")


def append_rule(table: str, chain: str, what: str, expressions: Sequence[Any]) -> Request:
    """Ask for a rule at the end of a chain."""
    attributes = [
        ("NFTA_RULE_TABLE", table),
        ("NFTA_RULE_CHAIN", chain),
        ("NFTA_RULE_EXPRESSIONS", expressions),
    ]
    return Request(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, attributes, what)


def transact(family: int, requests: Sequence[Request]) -> None:
    """Make all changes at once, or none. Raises :class:`RefusedError` with the first that was refused."""
    last = len(requests)
    messages = [_border(NFNL_MSG_BATCH_BEGIN, 0)]
    for number, request in enumerate(requests, 1):
        flags = request.flags | (NLM_F_ACK if number == last else 0)
        messages.append(_message(family, request, flags, number))
    messages.append(_border(NFNL_MSG_BATCH_END, last + 1))
    # The kernel answers in order: whatever was refused, then for the last in any case. What befalls the whole
    # is told of the first message, alone or before all else.
    for number, code in _call(b"".join(messages)):
        if code:
            raise RefusedError(code, requests[number - 1].what if number else "all of it")
        if number == last:
            return


def closed_chains(hook: int) -> list[str]:
    """Name the chains at a hook that drop what no rule of theirs lets pass, as ``ip filter FORWARD``.

    Raises OSError.
    """
    return [str(chain) for chain in base_chains() if chain.hook == hook and chain.is_closed]


def base_chains() -> list[BaseChain]:
    """Give the chains of all tables that stand at a hook. Raises OSError."""
    with NFTables(nfgen_family=0) as tables:
        try:
            chains = list(tables.get_chains())
        except NetlinkError as error:
            raise OSError(error.code, os.strerror(error.code)) from None
    found = []
    for chain in chains:
        place = chain.get_attr("NFTA_CHAIN_HOOK")
        if place is not None:
            found.append(
                BaseChain(
                    FAMILIES.get(chain["nfgen_family"], ""),
                    chain.get_attr("NFTA_CHAIN_TABLE"),
                    chain.get_attr("NFTA_CHAIN_NAME"),
                    place.get_attr("NFTA_HOOK_HOOKNUM"),
                    chain.get_attr("NFTA_CHAIN_POLICY") == NF_DROP,
                )
            )
    return found


def attribute(number: int, content: bytes) -> bytes:
    """Write an attribute; those that contain others are the same."""
    length = ATTRIBUTE.size + len(content)
    return ATTRIBUTE.pack(length, number) + content + bytes(-length % 4)


def text(number: int, content: str) -> bytes:
    """Write an attribute that is a name."""
    return attribute(number, content.encode() + b"\0")


def written(expressions: Sequence[Any]) -> bytes:
    """Write the expressions of a rule, as the content of its ``NFTA_RULE_EXPRESSIONS``."""
    request = Request(NFT_MSG_NEWRULE, 0, [("NFTA_RULE_EXPRESSIONS", list(expressions))], "")
    return _message(0, request, 0, 0)[HEADER.size + FAMILY.size + ATTRIBUTE.size :]


def has_table(family: int, table: str) -> bool:
    """Whether there is a table."""
    request = Request(NFT_MSG_GETTABLE, 0, [("NFTA_TABLE_NAME", table)], "a table")
    try:
        for _, code in _call(_message(family, request, NLM_F_ACK, 0)):
            if code:
                raise RefusedError(code, request.what)
            break
    except RefusedError as refused:
        if refused.is_absence:
            return False
        raise
    return True


def _call(data: bytes) -> Iterator[tuple[int, int]]:
    """Send messages; give the kernel's answers, without end: numbers of messages and of errors."""
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        ) as link:
            link.settimeout(PATIENCE)
            link.bind((0, 0))
            if len(data) > SENT:
                # A transaction is one datagram, however many changes it has. It takes CAP_NET_ADMIN, as
                # they do.
                link.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * len(data))
            link.send(data)
            while True:
                yield from _answers(link.recv(RECEIVED))
    except OSError as error:
        raise RefusedError(error.errno or errno.ETIMEDOUT, "all of it") from None


def _answers(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at + HEADER.size <= len(data):
        size, kind, _, number, _ = HEADER.unpack_from(data, at)
        if kind == NLMSG_ERROR and at + ERROR_SIZE <= len(data):
            (code,) = struct.unpack_from("=i", data, at + HEADER.size)
            yield number, -code
        at += max(HEADER.size, size + -size % 4)


def _border(kind: int, number: int) -> bytes:
    """Begin or end a transaction."""
    message = nfgen_msg()
    message["res_id"] = NFNL_SUBSYS_NFTABLES
    return _encoded(message, kind, NLM_F_REQUEST, number)


def _message(family: int, request: Request, flags: int, number: int) -> bytes:
    kind = NFNL_SUBSYS_NFTABLES << 8 | request.kind
    flags |= NLM_F_REQUEST | request.flags
    if isinstance(request.attributes, bytes):
        size = HEADER.size + FAMILY.size + len(request.attributes)
        return HEADER.pack(size, kind, flags, number, 0) + FAMILY.pack(family, 0, 0) + request.attributes
    message = CLASSES[request.kind]()
    message["nfgen_family"] = family
    message["attrs"] = list(request.attributes)
    return _encoded(message, kind, flags, number)


def _encoded(message: Any, kind: int, flags: int, number: int) -> bytes:  # noqa: ANN401 - pyroute2's, untyped
    message["header"]["type"] = kind
    message["header"]["flags"] = flags
    message["header"]["sequence_number"] = number
    message.encode()
    return bytes(message.data)


class _Fib(nft_regs):  # type: ignore[misc]
    """The expression ``fib``, whose result is a number and whose flags are bits; pyroute2 has it reversed."""

    nla_map: ClassVar = (
        ("NFTA_FIB_UNSPEC", "none"),
        ("NFTA_FIB_DREG", "regs"),
        ("NFTA_FIB_RESULT", "be32"),
        ("NFTA_FIB_FLAGS", "be32"),
    )


class _RuleMessage(nft_rule_msg):  # type: ignore[misc]
    class nft_expr(nft_rule_msg.nft_expr):  # type: ignore[misc]  # noqa: N801 - pyroute2 finds it by name
        nft_fib = _Fib


CLASSES: Final[dict[int, Any]] = {
    NFT_MSG_NEWTABLE: nft_table_msg,
    NFT_MSG_GETTABLE: nft_table_msg,
    NFT_MSG_DELTABLE: nft_table_msg,
    NFT_MSG_NEWCHAIN: nft_chain_msg,
    NFT_MSG_NEWRULE: _RuleMessage,
    NFT_MSG_NEWSET: nft_set_msg,
}
