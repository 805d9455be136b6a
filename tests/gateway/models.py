"""Plain models of what a gateway changes, and a coordinator that never gives anything to two devices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from wirewright.gateway.instructions import (
    Change,
    Device,
    GatewayState,
    PutDevice,
    PutSettings,
    RemoveDevice,
    Settings,
)
from wirewright.gateway.members import EngineChange, Member, device_change, firewall_change
from wirewright.host.device import Nothing
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.host.device import DeviceChange
    from wirewright.host.filtering import AllowRule, PacketFilter
    from wirewright.keys import PresharedKey

SETTINGS = (
    Settings((ip_interface("10.88.0.1/16"),), (ip_network("10.88.0.0/16"),)),
    Settings(
        (ip_interface("10.88.0.1/16"), ip_interface("fd88::1/64")),
        (ip_network("10.88.0.0/16"), ip_network("fd88::/64")),
    ),
)


def key(number: int) -> PublicKey:
    """A public key of which nobody has the other half."""
    return PublicKey.from_hex(f"{number + 1:064x}")


def single(number: int) -> IPNetwork:
    """An address of a pool, as a network of one."""
    return ip_network(f"10.88.{number // 250}.{number % 250 + 2}/32")


@dataclass
class Peer:
    networks: set[IPNetwork] = field(default_factory=set)
    rules: tuple[AllowRule, ...] = ()
    preshared_key: PresharedKey | None = None


@dataclass
class Engine:
    """WireGuard's peers and the firewall's devices, as both take changes; it counts what it is told."""

    filtered: bool = True
    peers: dict[PublicKey, Peer] = field(default_factory=dict)
    owners: dict[IPNetwork, Peer] = field(default_factory=dict)
    devices: dict[str, tuple[set[IPAddress], tuple[AllowRule, ...]]] = field(default_factory=dict)
    filter: PacketFilter | None = None
    told: int = 0
    """Peers and devices that changes were about."""

    def apply(self, change: EngineChange) -> None:
        self._device(device_change(change, filtered=self.filtered, present=self.peers))
        put, removed = firewall_change(change)
        if change.whole:
            self.devices = {}
            self.filter = change.filter
        assert change.filter == self.filter, "it differs only in a whole change"
        for name in removed:
            del self.devices[name]
        for device in put:
            self.devices[device.name] = (set(device.addresses), device.allowed)
        held = [address for addresses, _ in self.devices.values() for address in addresses]
        assert len(held) == len(set(held)), "an address of two devices, which the firewall refuses"
        self.told += len(put) + len(removed)

    def _device(self, change: DeviceChange) -> None:
        assert not change.replace_peers, "those that stay keep their sessions"
        for told in change.peers:
            self.told += 1
            if told.remove:
                del self.peers[told.public_key]
                continue
            peer = self.peers.setdefault(told.public_key, Peer())
            if told.replace_allowed_ips:
                peer.networks.clear()
            for network in told.allowed_ips:
                if (owner := self.owners.get(network)) is not None:
                    owner.networks.discard(network)
                peer.networks.add(network)
                self.owners[network] = peer
            if told.preshared_key is not None:
                secret = told.preshared_key
                peer.preshared_key = None if isinstance(secret, Nothing) else secret
            if told.rules is not None:
                peer.rules = told.rules

    def assert_has(self, members: list[Member]) -> None:
        """See that it has these and nothing else."""
        assert self.peers == {
            member.public_key: Peer(
                set(member.networks), member.rules if self.filtered else (), member.preshared_key
            )
            for member in members
        }
        assert self.devices == {member.id: (set(member.addresses), member.rules) for member in members}


@dataclass
class Coordinator:
    """Keeps devices and a log of changes."""

    settings: Settings = SETTINGS[0]
    devices: dict[str, Device] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    forgotten: int = 0
    """The newest revision whose change is not kept."""

    @property
    def revision(self) -> int:
        return self.forgotten + len(self.log)

    def put(self, device: Device) -> None:
        """Put a device, which takes from others what it has."""
        for other in list(self.devices.values()):
            if other.id == device.id:
                continue
            if other.public_key == device.public_key:
                self.remove(other.id)
            elif kept := set(other.addresses) & set(device.addresses):
                left = tuple(network for network in other.addresses if network not in kept)
                self._note(replace(other, addresses=left))
        self._note(device)

    def _note(self, device: Device) -> None:
        self.devices[device.id] = device
        self.log.append(PutDevice(self.revision + 1, device))

    def remove(self, device_id: str) -> None:
        device = self.devices.pop(device_id, None)
        if device is not None:
            self.log.append(RemoveDevice(self.revision + 1, device_id, device.public_key))

    def settle(self, settings: Settings) -> None:
        self.settings = settings
        self.log.append(PutSettings(self.revision + 1, settings))

    def forget(self) -> None:
        self.forgotten, self.log = self.revision, []

    def state(self) -> GatewayState:
        active = tuple(device for device in self.devices.values() if device.enabled)
        return GatewayState(self.revision, self.settings, active, "log")

    def after(self, revision: int | None) -> list[GatewayState | Change]:
        """What one is told who comes back."""
        if revision is None or revision < self.forgotten:
            return [self.state()]
        return list(self.log[revision - self.forgotten :])
