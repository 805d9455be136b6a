"""Hypothesis strategies for configurations: as values, as text that is mostly right, and as any text."""

import base64
import re
from typing import TypeVar

from hypothesis import strategies as st

from tests.config.samples import ALICE, BOB, PRIVATE
from wirewright.config import Config, Endpoint, Hook, Interface, Peer
from wirewright.config.values import IPNetwork, read_address, read_network
from wirewright.keys import PresharedKey, PublicKey, SecretKey

T = TypeVar("T")

KEYS = st.binary(min_size=32, max_size=32).map(lambda key: base64.b64encode(key).decode())
PORTS = st.integers(1, 65535)
ADDRESSES = st.ip_addresses()
INTERFACES = st.builds(
    lambda address, length: f"{address}/{length % (address.max_prefixlen + 1)}",
    ADDRESSES,
    st.integers(0, 128),
)
NAMES = st.builds(
    "{}{}".format, st.text("abcxyz", min_size=1, max_size=4), st.sampled_from(["", ".example", "-1.a_b.c"])
)
COMMANDS = (
    st.text(st.characters(codec="utf-8", exclude_characters="\n#\0"), min_size=1, max_size=12)
    .map(lambda text: text.strip(" \t\n\v\f\r"))
    .filter(bool)
)
HOOKS = st.lists(
    st.one_of(COMMANDS, KEYS.map(lambda key: f"wg set %i private-key <(echo {key})")).map(Hook.of), max_size=3
).map(tuple)


def optional(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.none() | strategy


def tuples_of(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(strategy, max_size=4).map(tuple)


def _network(text: str) -> IPNetwork:
    return read_network(text)[0]


INTERFACE_MODELS = st.builds(
    Interface,
    private_key=optional(KEYS.map(SecretKey.from_base64)),
    addresses=tuples_of(INTERFACES.map(read_address)),
    listen_port=optional(st.integers(0, 65535)),
    fwmark=optional(st.integers(0, 0xFFFF_FFFF)),
    dns=tuples_of(ADDRESSES | NAMES),
    mtu=optional(st.integers(68, 65535)),
    table=optional(st.sampled_from(["off", "auto"]) | st.integers(1, 0xFFFF_FFFF)),
    pre_up=HOOKS,
    post_up=HOOKS,
    pre_down=HOOKS,
    post_down=HOOKS,
    save_config=st.booleans(),
)
PEER_MODELS = st.builds(
    Peer,
    # Few keys, so that the same peer often stands in both of two configurations, or twice in one.
    public_key=st.sampled_from([ALICE, BOB]).map(PublicKey.from_base64) | KEYS.map(PublicKey.from_base64),
    preshared_key=optional(KEYS.map(PresharedKey.from_base64)),
    allowed_ips=tuples_of(INTERFACES.map(_network)),
    endpoint=optional(st.builds(Endpoint, NAMES | ADDRESSES.map(str), PORTS)),
    persistent_keepalive=optional(st.integers(0, 65535)),
)
CONFIGS = st.builds(Config, interface=INTERFACE_MODELS, peers=tuples_of(PEER_MODELS))

_SPACES = st.text(" \t\r\v\f", max_size=2)
_COMMENTS = st.one_of(st.just(""), st.text(max_size=8).map(lambda text: "#" + re.sub("[\n\0]", "", text)))
_NETWORKS = st.lists(
    st.builds("{}{}".format, st.sampled_from(["", "", "+", "-"]), INTERFACES), min_size=1, max_size=3
)


@st.composite
def _assignment(draw: st.DrawFn, key: str, value: st.SearchStrategy[str]) -> str:
    key = draw(st.sampled_from([key, key.lower(), key.upper()]))
    pieces = [
        draw(_SPACES),
        key,
        draw(_SPACES),
        "=",
        draw(_SPACES),
        draw(value),
        draw(_SPACES),
        draw(_COMMENTS),
    ]
    return "".join(pieces)


_WORDS = st.sampled_from(["off", "auto", "true", "0", "0x10", "1400", ""])
_INTERFACE_LINES = st.one_of(
    _assignment("PrivateKey", KEYS),
    _assignment("ListenPort", PORTS.map(str)),
    _assignment("FwMark", st.sampled_from(["off", "0x1f", "7"])),
    _assignment("Address", st.lists(INTERFACES, max_size=3).map(", ".join)),
    _assignment("DNS", st.lists(NAMES | ADDRESSES.map(str), max_size=3).map(" , ".join)),
    _assignment("MTU", st.integers(68, 65535).map(str) | st.just("")),
    _assignment("Table", st.sampled_from(["off", "auto", "0x20", "main", ""])),
    *(_assignment(key, COMMANDS | KEYS | st.just("")) for key in ("PreUp", "PostUp", "PreDown", "PostDown")),
    _assignment("SaveConfig", st.sampled_from(["true", "False"])),
    _COMMENTS,
)
_PEER_LINES = st.one_of(
    _assignment("PresharedKey", KEYS),
    _assignment("AllowedIPs", _NETWORKS.map(",".join)),
    _assignment(
        "Endpoint", st.builds(lambda host, port: str(Endpoint(host, port)), NAMES | ADDRESSES.map(str), PORTS)
    ),
    _assignment("PersistentKeepalive", st.sampled_from(["off", "25", "0"])),
    _COMMENTS,
)


@st.composite
def valid_texts(draw: st.DrawFn) -> str:
    """Files that are right, spelt in every way a file may be."""
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    comments = st.lists(_COMMENTS, max_size=2)
    sections = [
        [
            draw(st.sampled_from(["[Interface]", " [ interface ] # x"])),
            *draw(st.lists(_INTERFACE_LINES, max_size=8)),
        ]
    ]
    for key in draw(st.lists(st.sampled_from([ALICE, BOB]) | KEYS, max_size=4)):
        lines = draw(st.lists(_PEER_LINES, max_size=6))
        lines.insert(draw(st.integers(0, len(lines))), f"PublicKey = {key}")
        sections.append(["[Peer]", *lines])
    lines = draw(comments)
    for section in draw(st.permutations(sections)):
        lines += [*section, *draw(comments)]
    return ending.join(lines) + draw(st.sampled_from(["", ending]))


_ANY_LINE = st.one_of(
    st.sampled_from(
        ["[Interface]", "[Peer]", "[peer", "[Other]", f"PublicKey = {ALICE}", f"PrivateKey = {PRIVATE}"]
    ),
    st.builds(
        lambda key, value: f"{key}={value}",
        st.sampled_from(
            ["PrivateKey", "Address", "DNS", "MTU", "Table", "PostUp", "SaveConfig", "AllowedIPs"]
        )
        | st.sampled_from(
            ["Endpoint", "PersistentKeepalive", "FwMark", "ListenPort", "PresharedKey", "PublicKey"]
        )
        | st.text(max_size=8),
        st.one_of(
            _WORDS,
            KEYS,
            INTERFACES,
            NAMES,
            st.text(max_size=20),
            st.text("0123456789.:/[]%,+- fx", max_size=20),
        ),
    ),
    st.text(max_size=20),
)
ANY_TEXTS = st.lists(_ANY_LINE, max_size=12).map("\n".join) | st.text()
ANY_BYTES = st.binary(max_size=200) | ANY_TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
