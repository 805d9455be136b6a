"""The keys of a configuration file: where each belongs, how its value is read and written.

Keys of ``wg(8)`` are read as ``wg`` reads them: white space within a value counts for nothing, an empty value
is a mistake, the last of several lines counts (lines of ``AllowedIPs`` add up). Keys of ``wg-quick(8)`` are
read as its script reads them: lists are divided at white space too, and an empty value is none.
"""
# ruff: noqa: ANN401 - the type of a value depends on the key, which is data here

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from wirewright._core import HiddenText
from wirewright.config import values
from wirewright.config.errors import UnreadableError
from wirewright.config.model import Hook
from wirewright.config.parts import HIDDEN, Parts, plain, show
from wirewright.config.syntax import SectionName, remove_space
from wirewright.config.values import MTU_RANGE, IPNetwork
from wirewright.keys import PresharedKey, PublicKey, SecretKey

NoteTaker: TypeAlias = Callable[[str, str], None]
"""Takes the code and the text of a note about the line being read."""


@dataclass(frozen=True, slots=True)
class Removal:
    """An item of ``AllowedIPs`` with a leading ``-``: takes the network out of those listed before it."""

    network: IPNetwork


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a section."""

    key: str
    section: SectionName
    attribute: str
    """Of :class:`Interface` or :class:`Peer`."""
    read: Callable[[Parts, NoteTaker], Sequence[Any]]
    """Gives the items of a line; those of a single-valued key are none or one."""
    write: Callable[[Any], Parts]
    """Writes one item."""
    many: bool = False
    """Whether the items of all lines add up; otherwise the last line counts."""
    one_a_line: bool = False
    """Whether items of a list stand on lines of their own instead of between commas."""
    of_wg: bool = True
    """Whether ``wg`` knows the key; otherwise only ``wg-quick`` does."""
    default: Any = None
    """The value of a single-valued key that does not stand in a file."""
    combine: Callable[[Sequence[Any]], tuple[Any, ...]] = tuple
    """Makes a list's value of the items of all lines."""

    def resolve(self, items: Sequence[Any]) -> Any:
        """Make the attribute's value of the items of all lines."""
        if self.many:
            return self.combine(items)
        return items[-1] if items else self.default

    def items(self, value: Any) -> tuple[Any, ...]:
        """Give the items that make up an attribute's value."""
        if self.many:
            return tuple(value)
        return () if value == self.default else (value,)

    def parts(self, items: Iterable[Any]) -> Parts:
        """Write items onto one line."""
        parts: list[str | HiddenText] = []
        for item in items:
            if parts:
                parts.append(", ")
            parts.extend(self.write(item))
        return tuple(parts)


def _without_removals(items: Iterable[IPNetwork | Removal]) -> tuple[IPNetwork, ...]:
    """Apply additions and removals in order; a network stands where it was first listed."""
    networks: dict[IPNetwork, None] = {}
    for item in items:
        if isinstance(item, Removal):
            networks.pop(item.network, None)
        else:
            networks[item] = None
    return tuple(networks)


def _text(parts: Parts) -> str:
    """Give the value of a key that holds no secret."""
    if not all(isinstance(part, str) for part in parts):
        raise UnreadableError(f"'{plain(parts)}'", "a value without anything that looks like a key")
    return plain(parts)


def _squeezed(parts: Parts) -> str:
    return remove_space(_text(parts))


def _hidden(parts: Parts) -> HiddenText:
    # The core has hidden the value as a whole, whatever it is; anything else would mean that it did not
    # recognise the key, and then the value must not be looked at.
    if len(parts) == 1 and isinstance(parts[0], HiddenText):
        return parts[0]
    raise UnreadableError(HIDDEN, "one key")


def _private_key(parts: Parts, _: NoteTaker) -> list[SecretKey]:
    try:
        return [_hidden(parts).secret_key()]
    except ValueError as error:
        raise UnreadableError(HIDDEN, "a key as `ww genkey` makes it", str(error)) from None


def _preshared_key(parts: Parts, _: NoteTaker) -> list[PresharedKey]:
    try:
        return [_hidden(parts).preshared_key()]
    except ValueError as error:
        raise UnreadableError(HIDDEN, "a key as `ww genpsk` makes it", str(error)) from None


def _write_key(key: SecretKey | PresharedKey) -> Parts:
    return (HiddenText.of(key),)


def _public_key(parts: Parts, _: NoteTaker) -> list[PublicKey]:
    text = _squeezed(parts)
    try:
        return [PublicKey.from_base64(text)]
    except ValueError as error:
        raise UnreadableError(show(text), "a key as `ww pubkey` prints it", str(error)) from None


def _listen_port(parts: Parts, _: NoteTaker) -> list[int]:
    return [values.read_number(_squeezed(parts), range(65536), "a port number from 0 to 65535")]


def _fwmark(parts: Parts, _: NoteTaker) -> list[int]:
    text = _squeezed(parts)
    if text.lower() == "off":
        return [0]
    return [values.read_u32(text, "off, or a number from 0 to 4294967295 (0xffffffff)")]


def _write_fwmark(mark: int) -> Parts:
    return (hex(mark) if mark else "off",)


def _keepalive(parts: Parts, _: NoteTaker) -> list[int]:
    text = _squeezed(parts)
    if text.lower() == "off":
        return [0]
    return [values.read_number(text, range(65536), "off, or seconds from 1 to 65535")]


def _write_keepalive(seconds: int) -> Parts:
    return (str(seconds) if seconds else "off",)


def _addresses(parts: Parts, _: NoteTaker) -> list[values.IPInterface]:
    return [values.read_address(item) for item in values.items(_text(parts))]


def _dns(parts: Parts, _: NoteTaker) -> list[values.IPAddress | str]:
    return [values.read_name_server(item) for item in values.items(_text(parts))]


def _mtu(parts: Parts, _: NoteTaker) -> list[int | None]:
    text = _text(parts)
    expected = f"bytes, from {MTU_RANGE[0]} to {MTU_RANGE[-1]}"
    return [values.read_number(text, MTU_RANGE, expected) if text else None]


def _table(parts: Parts, _: NoteTaker) -> list[values.Table | None]:
    text = _text(parts)
    return [values.read_table(text) if text else None]


def _hook(parts: Parts, _: NoteTaker) -> list[Hook]:
    return [Hook(parts)] if parts else []


def _write_hook(hook: Hook) -> Parts:
    return hook.parts


def _save_config(parts: Parts, _: NoteTaker) -> list[bool]:
    text = _text(parts)
    if text.lower() not in {"true", "false"}:
        raise UnreadableError(show(text), "true or false")
    return [text.lower() == "true"]


def _write_save_config(save: bool) -> Parts:
    return ("true" if save else "false",)


def _endpoint(parts: Parts, note: NoteTaker) -> list[values.Endpoint]:
    endpoint, unbracketed = values.read_endpoint(_squeezed(parts))
    if unbracketed:
        note("unbracketed-ipv6", f"an IPv6 address stands in brackets; this is read as {endpoint}")
    return [endpoint]


def _allowed_ips(parts: Parts, note: NoteTaker) -> list[IPNetwork | Removal]:
    networks: list[IPNetwork | Removal] = []
    for item in _squeezed(parts).split(","):
        if not item:
            raise UnreadableError("an empty item", "networks between commas", "remove the extra comma")
        # A leading + says what is the case anyway in a file, where a peer begins without any allowed IPs.
        network, has_host_bits = values.read_network(item[1:] if item[0] in "+-" else item)
        if has_host_bits:
            note("host-bits", f"{show(item)} is not the beginning of a network; it stands for {network}")
        if item[0] == "-":
            note(
                "removal",
                f"{show(item)} takes exactly {network} out of the list; it leaves no gap in a larger network",
            )
            networks.append(Removal(network))
        else:
            networks.append(network)
    return networks


def _write_str(value: object) -> Parts:
    return (str(value),)


FIELDS: tuple[Field, ...] = (
    Field("PrivateKey", "Interface", "private_key", _private_key, _write_key),
    Field("Address", "Interface", "addresses", _addresses, _write_str, many=True, of_wg=False),
    Field("ListenPort", "Interface", "listen_port", _listen_port, _write_str),
    Field("FwMark", "Interface", "fwmark", _fwmark, _write_fwmark),
    Field("DNS", "Interface", "dns", _dns, _write_str, many=True, of_wg=False),
    Field("MTU", "Interface", "mtu", _mtu, _write_str, of_wg=False),
    Field("Table", "Interface", "table", _table, _write_str, of_wg=False),
    Field("PreUp", "Interface", "pre_up", _hook, _write_hook, many=True, one_a_line=True, of_wg=False),
    Field("PostUp", "Interface", "post_up", _hook, _write_hook, many=True, one_a_line=True, of_wg=False),
    Field("PreDown", "Interface", "pre_down", _hook, _write_hook, many=True, one_a_line=True, of_wg=False),
    Field("PostDown", "Interface", "post_down", _hook, _write_hook, many=True, one_a_line=True, of_wg=False),
    Field(
        "SaveConfig", "Interface", "save_config", _save_config, _write_save_config, of_wg=False, default=False
    ),
    Field("PublicKey", "Peer", "public_key", _public_key, _write_str),
    Field("PresharedKey", "Peer", "preshared_key", _preshared_key, _write_key),
    Field(
        "AllowedIPs", "Peer", "allowed_ips", _allowed_ips, _write_str, many=True, combine=_without_removals
    ),
    Field("Endpoint", "Peer", "endpoint", _endpoint, _write_str),
    Field("PersistentKeepalive", "Peer", "persistent_keepalive", _keepalive, _write_keepalive),
)
"""In the order in which a new file has them."""


def fields_of(section: SectionName) -> tuple[Field, ...]:
    """Give the keys of a section."""
    return tuple(field for field in FIELDS if field.section == section)
