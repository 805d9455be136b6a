"""What a device may start: one model, for the filter of our engine and for nftables.

A policy is a list of rules, each of which allows something; whatever none allows is denied. It is about
flows: who may start one gets its answers, and ICMP errors about it; nobody else reaches the device, but for
the gateway's host itself and other devices whose own policies allow it.

Three kinds of destinations are told apart:

- The *gateway's own addresses* inside the tunnel belong to its host. Any network that contains one opens it.
- The *devices' addresses* (the pools) are protected: a rule opens them only if its network lies inside a
  pool. So ``0.0.0.0/0`` is the whole world without the neighbours, and a neighbour is named by its address,
  or all by the pool.
- *Everything else* is open to each rule that contains it.

As JSON a policy is a list of objects, such as
``[{"destinations": ["10.0.0.0/8"], "protocol": "tcp", "ports": ["22", "8000-8999"]}]``.
``protocol`` and ``ports`` may be absent: any, and all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import product
from typing import TYPE_CHECKING, Final

from wirewright.host.filtering import AllowRule, PortRange, Protocol

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork

RULES: Final = 64
"""Of a policy."""
DESTINATIONS: Final = 64
"""Of one rule."""
PORTS: Final = 32
"""Ranges of one rule."""
ALLOWED: Final = 1024
"""Combinations of a network and a range of ports in a whole policy."""


class PolicyError(ValueError):
    """A policy that is none; the text says what is wrong with it, and where."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a device may start."""

    destinations: tuple[IPNetwork, ...]
    protocol: Protocol = Protocol.ANY
    ports: tuple[PortRange, ...] = ()
    """Empty for all; only with ``tcp`` and ``udp``."""

    def __post_init__(self) -> None:
        if not 0 < len(self.destinations) <= DESTINATIONS:
            raise PolicyError(f"a rule has 1 to {DESTINATIONS} destinations, not {len(self.destinations)}")
        if len(self.ports) > PORTS:
            raise PolicyError(f"a rule has at most {PORTS} ranges of ports, not {len(self.ports)}")
        try:
            self.allowed()
        except ValueError as error:
            raise PolicyError(str(error)) from None

    def allowed(self) -> tuple[AllowRule, ...]:
        """Give what it allows, a network and a range of ports each."""
        ranges: tuple[PortRange | None, ...] = self.ports or (None,)
        return tuple(
            AllowRule(network, self.protocol, ports) for network, ports in product(self.destinations, ranges)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """All that a device may start."""

    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if len(self.rules) > RULES:
            raise PolicyError(f"a policy has at most {RULES} rules, not {len(self.rules)}")
        if (count := len(self.allowed())) > ALLOWED:
            raise PolicyError(
                f"a policy has at most {ALLOWED} combinations of networks and ports, not {count}"
            )

    def allowed(self) -> tuple[AllowRule, ...]:
        """Give what all rules allow, as a :class:`~wirewright.host.device.DeviceChange` carries it."""
        return tuple(allowed for rule in self.rules for allowed in rule.allowed())

    def to_json(self) -> list[dict[str, object]]:
        """Give it as data for JSON."""
        return [_rule_data(rule) for rule in self.rules]

    @classmethod
    def from_json(cls, data: object) -> Policy:
        """Read what :meth:`to_json` gave, or what a person wrote. Raises PolicyError."""
        if not isinstance(data, Sequence) or isinstance(data, str | bytes):
            raise PolicyError("a policy is a list of rules")
        if len(data) > RULES:
            raise PolicyError(f"a policy has at most {RULES} rules, not {len(data)}")
        rules = []
        for number, each in enumerate(data, 1):
            try:
                rules.append(_read_rule(each))
            except PolicyError as error:
                raise PolicyError(f"rule {number}: {error}") from None
        return cls(tuple(rules))


DEFAULT_POLICY: Final = Policy((Rule((IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))),))
"""What a new device may: the world and the gateway, and no other device."""
NOTHING: Final = Policy()


def is_inside(network: IPNetwork, pools: Sequence[IPNetwork]) -> bool:
    """Whether a network lies inside one of the pools, so that a rule with it opens devices."""
    return any(
        network.version == pool.version
        and network.prefixlen >= pool.prefixlen
        and network.network_address in pool
        for pool in pools
    )


def opens(
    allowed: AllowRule, address: IPAddress, own: Sequence[IPAddress], pools: Sequence[IPNetwork]
) -> bool:
    """Whether a rule opens an address, whatever the protocol."""
    if address not in allowed.network:
        return False
    if address in own or not any(address in pool for pool in pools):
        return True
    return is_inside(allowed.network, pools)


def _rule_data(rule: Rule) -> dict[str, object]:
    data: dict[str, object] = {"destinations": [str(network) for network in rule.destinations]}
    if rule.protocol is not Protocol.ANY:
        data["protocol"] = str(rule.protocol)
    if rule.ports:
        data["ports"] = [str(ports) for ports in rule.ports]
    return data


def _read_rule(data: object) -> Rule:
    if not isinstance(data, Mapping):
        raise PolicyError("a rule is an object with `destinations`, and perhaps `protocol` and `ports`")
    if unknown := set(data) - {"destinations", "protocol", "ports"}:
        name = min(map(str, unknown))
        raise PolicyError(f"a rule has no {name!r}, but `destinations`, `protocol` and `ports`")
    destinations = _list(data.get("destinations"), "destinations", DESTINATIONS)
    ports = _list(data.get("ports", ()), "ports", PORTS)
    return Rule(
        tuple(_read_network(text) for text in destinations),
        _read_protocol(data.get("protocol", "any")),
        tuple(_read_ports(text) for text in ports),
    )


def _list(data: object, name: str, most: int) -> Sequence[object]:
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise PolicyError(f"`{name}` is a list")
    if len(data) > most:
        raise PolicyError(f"`{name}` has at most {most} entries, not {len(data)}")
    return data


def _read_protocol(text: object) -> Protocol:
    for protocol in Protocol:
        if text == protocol:
            return protocol
    raise PolicyError(f"`protocol`: {text!r} is none of {', '.join(Protocol)}")


def _read_network(text: object) -> IPNetwork:
    if isinstance(text, str) and "%" not in text:
        try:
            return ip_network(text)
        except ValueError as error:
            raise PolicyError(f"`destinations`: {error}") from None
    raise PolicyError(f"`destinations`: {text!r} is no network, such as 10.0.0.0/8 or 2001:db8::/32")


def _read_ports(text: object) -> PortRange:
    """Read `22` or `8000-8999`; a number will do, too."""
    first, dash, last = str(text).partition("-") if not isinstance(text, bool) else ("", "", "")
    ends = [first, last if dash else first]
    if all(end.isascii() and end.isdigit() and len(end) <= 5 for end in ends):
        low, high = map(int, ends)
        if low <= high <= 65_535:
            return PortRange(low, high)
    raise PolicyError(f"`ports`: {text!r} is neither a port from 0 to 65535 nor a range, such as 8000-8999")
