"""From what a coordinator says to what the engine must do: without I/O; time is an argument.

Three things are kept apart:

- what was *told*: settings and devices at a revision, the newest word about each device;
- what *shall be*: of the devices those that are enabled and not expired, which are the engine's members;
- what *is*: the members that the engine was last given.

An instruction makes the devices that it is about *due*; so does the passing of a device's expiry.
:meth:`GatewayCore.change` compares only what is due, so that one change costs the same among five thousand
devices as alone. A new state compares all. After a failure of the engine nothing is known of what is, and
the next change is whole.

A coordinator gives no key and no address to two devices. Should it, the device that was told last has it,
and the other loses it: all orders of the same instructions lead to one gateway, with no address in two
places.

An address of a device that lies in no pool, or is the gateway's own, is left out: the host's way to it is not
for a coordinator to change.

A key that is to take the place of a device's (`Device.next_key`) is a member of its own until it does, with
nothing but its link-local address.

The clock is the system's and may be set. If it goes back, all devices that expire are looked at again.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.identity import LINK, PORT, SERVER, link_local
from wirewright.gateway.instructions import (
    Device,
    GatewayState,
    PutDevice,
    PutSettings,
    RemoveDevice,
    Settings,
)
from wirewright.gateway.members import EngineChange, Member, Placement
from wirewright.gateway.policy import NOTHING
from wirewright.gateway.special import is_special, lies_in
from wirewright.host.filtering import AllowRule, PacketFilter, PortRange, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.gateway.instructions import Instruction
    from wirewright.keys import PublicKey

_LEASES: Final = AllowRule(IPv6Network((SERVER, 128)), Protocol.TCP, PortRange(PORT, PORT))
"""What a device must be able to start where addresses are given on lease."""
_NEXT: Final = "-next"
"""What the name of a key that waits to take the place of a device's has behind the device's."""
_SLACK: Final = 64
"""Entries of the heap of expiries beyond two a device, before those that hold no more are thrown out."""


class GapError(Exception):
    """A change was missed, so that those after it say nothing: a state is needed."""


class GatewayCore:
    """What one gateway knows and shall be.

    With ``identities`` each device has its link-local address as well, by which a server of leases knows it
    (:mod:`wirewright.dynamic`), and may ask that server.
    """

    def __init__(self, *, identities: bool = False) -> None:
        self.revision: int | None = None
        """Of the newest instruction; None before the first state."""
        self.log = ""
        """The log that it counts in."""
        self.expired = 0
        """How many devices expired here."""
        self.left_out = 0
        """How many addresses were left out that no device can have."""
        self._identities = identities
        self._now = 0
        self._settings = Settings()
        self._devices: dict[str, Device] = {}
        self._key_owners: dict[PublicKey, str] = {}
        self._address_owners: dict[IPNetwork, str] = {}
        self._members: dict[str, Member] = {}
        self._due: dict[str, None] = {}
        self._whole = True
        self._expiries: list[tuple[int, str]] = []
        self._leased: frozenset[IPAddress] | None = None
        self._waiting = 0
        """How many keys wait to take the place of others."""

    @property
    def members(self) -> Mapping[str, Member]:
        """What the engine was last given, by the devices' ids."""
        return self._members

    @property
    def count(self) -> int:
        """How many devices it was told of."""
        return len(self._devices) - self._waiting

    @property
    def pools(self) -> tuple[IPNetwork, ...]:
        """The networks of devices."""
        return self._settings.pools

    @property
    def leased(self) -> frozenset[IPAddress]:
        """The addresses that devices have on lease."""
        if self._leased is None:
            self._leased = frozenset(
                network.network_address for device in self._devices.values() for network in device.leased
            )
        return self._leased

    def owner(self, key: PublicKey) -> str | None:
        """Give the id of the device that has a key."""
        owner = self._key_owners.get(key)
        return None if owner is None or owner.endswith(_NEXT) else owner

    def state(self) -> GatewayState | None:
        """Give all that was told, as one state; None before the first."""
        if self.revision is None:
            return None
        return GatewayState(self.revision, self._settings, tuple(self._told()), self.log)

    def take(self, told: Instruction) -> bool:
        """Take an instruction; false if it is an old one. Raises GapError: one before it is missing."""
        if isinstance(told, GatewayState):
            self._replace(told)
            return True
        if self.revision is None or told.revision > self.revision + 1:
            raise GapError
        if told.revision <= self.revision:
            return False
        match told:
            case PutDevice(_, device):
                self._put(device)
            case RemoveDevice(_, device_id, _):
                self._drop(device_id)
            case PutSettings(_, settings):
                self._settle(settings)
        self.revision = told.revision
        return True

    def deadline(self) -> int | None:
        """Give when the next device expires, in microseconds since 1970, if any does."""
        while self._expiries and not self._is_current(*self._expiries[0]):
            heapq.heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None

    def change(self, now: int) -> EngineChange | None:
        """Give what the engine must do now, if anything; it is taken for done unless :meth:`lost` is called.

        ``now`` is in microseconds since 1970.
        """
        if now < self._now:
            self._expect_all()
        self._now = now
        while (deadline := self.deadline()) is not None and deadline <= self._now:
            _, device_id = heapq.heappop(self._expiries)
            self._due[device_id] = None
            self.expired += not device_id.endswith(_NEXT)
        if self.revision is None:
            return None
        if self._whole:
            return self._everything()
        put, removed = [], []
        for device_id in self._due:
            before, after = self._members.pop(device_id, None), self._member(device_id)
            if after is not None:
                self._members[device_id] = after
                if before != after:
                    put.append(Placement(after, before))
            elif before is not None:
                removed.append(before)
        self._due.clear()
        if not (put or removed):
            return None
        return EngineChange(self._settings.addresses, self._filter(), tuple(put), tuple(removed))

    def lost(self) -> None:
        """Note that it is not known what the engine has: the next change is whole."""
        self._whole = True

    # What was told.

    def _told(self) -> list[Device]:
        return [device for device in self._devices.values() if not device.id.endswith(_NEXT)]

    def _replace(self, state: GatewayState) -> None:
        before = self._devices
        self._devices, self._key_owners, self._address_owners, self._expiries = {}, {}, {}, []
        self._waiting = 0
        for device in state.devices:
            self._put(device)
        for device_id in before.keys() - self._devices.keys():
            self._due[device_id] = None
        self._settle(state.settings)
        self.revision, self.log = state.revision, state.log

    def _settle(self, settings: Settings) -> None:
        self._whole = self._whole or settings != self._settings
        self._settings = settings

    def _put(self, device: Device) -> None:
        self._drop(device.id)
        self._place(device)
        if self._identities and device.next_key is not None:
            waiting = Device(f"{device.id}{_NEXT}", device.next_key, (), NOTHING, device.preshared_key)
            self._place(replace(waiting, enabled=device.enabled, expires=device.expires))

    def _place(self, device: Device) -> None:
        self._leased = None
        device = replace(device, addresses=_once(device.addresses))
        self._devices[device.id] = device
        self._waiting += device.id.endswith(_NEXT)
        self._due[device.id] = None
        if device.enabled:
            if (other := self._key_owners.get(device.public_key)) is not None:
                self._drop(other)
            for address in device.addresses:
                self._take_away(address)
            self._key_owners[device.public_key] = device.id
            self._address_owners |= dict.fromkeys(device.addresses, device.id)
            if device.expires is not None:
                self._expect(device.expires, device.id)

    def _drop(self, device_id: str) -> None:
        if not device_id.endswith(_NEXT):
            self._drop(f"{device_id}{_NEXT}")
        self._leased = None
        device = self._devices.pop(device_id, None)
        if device is None:
            return
        self._waiting -= device_id.endswith(_NEXT)
        if device.enabled:
            del self._key_owners[device.public_key]
            for address in device.addresses:
                del self._address_owners[address]
        self._due[device_id] = None

    def _take_away(self, address: IPNetwork) -> None:
        """Have no device have an address."""
        owner = self._address_owners.pop(address, None)
        if owner is not None:
            device = self._devices[owner]
            kept = tuple(other for other in device.addresses if other != address)
            self._devices[owner] = replace(device, addresses=kept)
            self._due[owner] = None

    def _expect(self, expires: int, device_id: str) -> None:
        heapq.heappush(self._expiries, (expires, device_id))
        if len(self._expiries) > 2 * len(self._devices) + _SLACK:
            self._expiries = [entry for entry in self._expiries if self._is_current(*entry)]
            heapq.heapify(self._expiries)

    def _expect_all(self) -> None:
        """Have the devices that expire be looked at again, and wait for all of them anew."""
        expiring = [
            (device.expires, device.id)
            for device in self._devices.values()
            if device.enabled and device.expires is not None
        ]
        self._due |= dict.fromkeys(device_id for _, device_id in expiring)
        self._expiries = expiring
        heapq.heapify(self._expiries)

    def _is_current(self, expires: int, device_id: str) -> bool:
        device = self._devices.get(device_id)
        return device is not None and device.enabled and device.expires == expires

    # What shall be.

    def _everything(self) -> EngineChange:
        found = ((device_id, self._member(device_id)) for device_id in self._devices)
        self._members = {device_id: member for device_id, member in found if member is not None}
        self._due.clear()
        self._whole = False
        put = tuple(Placement(member) for member in self._members.values())
        return EngineChange(self._settings.addresses, self._filter(), put, whole=True)

    def _member(self, device_id: str) -> Member | None:
        device = self._devices.get(device_id)
        if device is None or not device.enabled:
            return None
        if device.expires is not None and device.expires <= self._now:
            return None
        networks = tuple(network for network in device.addresses if self._is_for_devices(network))
        self.left_out += len(device.addresses) - len(networks)
        rules = device.policy.allowed()
        if self._identities:
            networks = (*networks, IPv6Network((link_local(device.public_key), 128)))
            rules = (*rules, _LEASES)
        return Member(device.id, device.public_key, _once(networks), rules, device.preshared_key)

    def _is_for_devices(self, network: IPNetwork) -> bool:
        address = network.network_address
        return (
            lies_in(network, self._settings.pools)
            and not is_special(address)
            and all(address != own.ip for own in self._settings.addresses)
        )

    def _filter(self) -> PacketFilter:
        own = tuple(address.ip for address in self._settings.addresses)
        protected = self._settings.pools
        if self._identities:
            # Devices do not reach each other's link-local addresses, for these are in a pool now.
            own, protected = (*own, SERVER), (*protected, LINK)
        return PacketFilter(own, protected)


def _once(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(dict.fromkeys(networks))
