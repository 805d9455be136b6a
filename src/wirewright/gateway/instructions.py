"""What a coordinator says to a gateway: a state with a revision, then the changes after it, in order.

Revisions are dense: the change after revision 7 has number 8. One that is missed cannot be guessed, so a
gateway that sees a gap asks for a snapshot again. Changes say what *is*, not what differs, so that one seen
twice does no harm. All of it can be written as JSON, which is what the stream over HTTP carries.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from wirewright.gateway.bounds import check_count, check_settings, number
from wirewright.gateway.policy import DEFAULT_POLICY, Policy
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.config.values import IPInterface, IPNetwork
    from wirewright.keys import PresharedKey


_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


class InstructionError(ValueError):
    """What came from a coordinator is no instruction."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its home gateway must know it."""

    id: str
    public_key: PublicKey
    addresses: tuple[IPNetwork, ...]
    """Its addresses, each as a network of one: what cryptokey routing lets it send from."""
    policy: Policy = DEFAULT_POLICY
    preshared_key: PresharedKey | None = field(default=None, repr=False)
    """Never part of the JSON: a handle that only an in-process source can give."""
    enabled: bool = True
    """Whether it has a place on the interface; expiry and disabling are the same to a gateway."""
    expires: int | None = None
    """When it loses that place, in microseconds since 1970, if ever. The gateway sees to it by its own clock,
    so that a device ends in time though the coordinator be away."""
    leased: tuple[IPNetwork, ...] = ()
    """Those of the addresses that it has on lease, and that no administrator gave it."""
    next_key: PublicKey | None = None
    """A key that takes the place of its own once it has proven itself. Until then it is a second peer of the
    device, with the same preshared key, whose only allowed IP is the link-local address that follows from it
    (`wirewright.dynamic.link_local`)."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {
            "id": self.id,
            "public_key": str(self.public_key),
            "addresses": [str(network) for network in self.addresses],
            "policy": self.policy.to_json(),
            "enabled": self.enabled,
            "expires": self.expires,
            "leased": [str(network) for network in self.leased],
            "next_key": None if self.next_key is None else str(self.next_key),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Device:
        """Read a device; raise `InstructionError` for what is none."""
        try:
            next_key = value.get("next_key")
            for name in ("addresses", "leased"):
                check_count(value.get(name, ()))
            return cls(
                _device_id(value["id"]),
                PublicKey.from_base64(value["public_key"]),
                tuple(_single(text) for text in value["addresses"]),
                Policy.from_json(value["policy"]),
                enabled=bool(value["enabled"]),
                # One who wrote before there was such a thing says nothing of it.
                expires=None if (expires := value.get("expires")) is None else number(expires),
                leased=tuple(_single(text) for text in value.get("leased", ())),
                next_key=None if next_key is None else PublicKey.from_base64(next_key),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InstructionError(f"no device: {error}") from None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gateway's interface itself shall have."""

    addresses: tuple[IPInterface, ...] = ()
    """The gateway's own addresses inside the tunnel, each with its pool's prefix length."""
    pools: tuple[IPNetwork, ...] = ()
    """The networks of devices, whose addresses the policies protect."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {
            "addresses": [str(address) for address in self.addresses],
            "pools": [str(network) for network in self.pools],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Settings:
        """Read settings; raise `InstructionError` for what are none."""
        try:
            told = cls(
                tuple(ip_interface(text) for text in value["addresses"]),
                tuple(ip_network(text) for text in value["pools"]),
            )
            check_settings(told.addresses, told.pools)
            return told
        except (KeyError, TypeError, ValueError) as error:
            raise InstructionError(f"no settings: {error}") from None


@dataclass(frozen=True, slots=True)
class GatewayState:
    """All that a gateway shall be, at a revision."""

    revision: int
    settings: Settings
    devices: tuple[Device, ...] = ()
    log: str = ""
    """The name of the log that revisions count in: those of two logs have nothing to do with each other."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {
            "revision": self.revision,
            "log": self.log,
            "settings": self.settings.to_json(),
            "devices": [device.to_json() for device in self.devices],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GatewayState:
        """Read a state; raise `InstructionError` for what is none."""
        try:
            return cls(
                number(value["revision"]),
                Settings.from_json(value["settings"]),
                tuple(Device.from_json(item) for item in value["devices"]),
                str(value.get("log", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InstructionError(f"no state of a gateway: {error}") from None


@dataclass(frozen=True, slots=True)
class PutDevice:
    """The device is to be so, whether it was there or not."""

    revision: int
    device: Device


@dataclass(frozen=True, slots=True)
class RemoveDevice:
    """The device is to be no more."""

    revision: int
    device_id: str
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class PutSettings:
    """The interface's own settings are to be so."""

    revision: int
    settings: Settings


Change: TypeAlias = PutDevice | RemoveDevice | PutSettings
Instruction: TypeAlias = GatewayState | Change


class Source(Protocol):
    """Where a gateway's instructions come from: in process, or over HTTP."""

    def follow(
        self, after: int | None = None, log: str | None = None
    ) -> AsyncGenerator[Instruction] | AsyncGenerator[Instruction | None]:
        """Yield what is to be: the changes after a revision of a log, or a state first if they are not known.

        With ``after=None`` a `GatewayState` comes first, as where the log is another by now. None says only
        that the coordinator is there. It ends by an error, whichever, or when it is closed.
        """
        ...


def instruction_to_json(instruction: Instruction) -> tuple[str, dict[str, Any]]:
    """Return an instruction's name (``state``, ``put``, ``remove``, ``settings``) and its JSON."""
    match instruction:
        case GatewayState():
            return "state", instruction.to_json()
        case PutDevice(revision, device):
            return "put", {"revision": revision, "device": device.to_json()}
        case RemoveDevice(revision, device_id, public_key):
            return "remove", {"revision": revision, "id": device_id, "public_key": str(public_key)}
        case PutSettings(revision, settings):
            return "settings", {"revision": revision, "settings": settings.to_json()}


def instruction_from_json(name: str, value: Mapping[str, Any]) -> Instruction:
    """Read what ``instruction_to_json`` wrote; raise `InstructionError` for anything else."""
    try:
        match name:
            case "state":
                return GatewayState.from_json(value)
            case "put":
                return PutDevice(number(value["revision"]), Device.from_json(value["device"]))
            case "remove":
                key = PublicKey.from_base64(value["public_key"])
                return RemoveDevice(number(value["revision"]), str(value["id"]), key)
            case "settings":
                return PutSettings(number(value["revision"]), Settings.from_json(value["settings"]))
            case _:
                raise InstructionError(f"no instruction is called {name[:40]!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise InstructionError(f"no instruction: {error}") from None


def _device_id(value: object) -> str:
    """Give a device's id."""
    if isinstance(value, str) and _DEVICE_ID.fullmatch(value):
        return value
    raise InstructionError("a device's id has 1 to 64 letters, digits and dashes")


def _single(text: str) -> IPNetwork:
    """Read an address that is written as a network of one: no device has more than that."""
    network = ip_network(text)
    if network.num_addresses != 1:
        raise InstructionError(f"{network} is more than one address")
    return network
