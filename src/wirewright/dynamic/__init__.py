"""wg-dynamic: addresses for the peers of a WireGuard interface, on lease."""

from wirewright.dynamic.client import Holding, LeaseClient
from wirewright.dynamic.files import FileLeaseStore
from wirewright.dynamic.identity import link_local
from wirewright.dynamic.interfaces import SystemPeers, TunnelPeers
from wirewright.dynamic.keeper import LeaseError, LeaseKeeper, Wishes
from wirewright.dynamic.leases import Terms
from wirewright.dynamic.occupied import View
from wirewright.dynamic.records import (
    AddressTakenError,
    Change,
    Lease,
    LeaseStore,
    Quarantine,
    Records,
    StoreError,
    Succession,
)
from wirewright.dynamic.server import LeaseServer
from wirewright.dynamic.service import LeaseService, Peers, Settings

__all__ = [
    "AddressTakenError",
    "Change",
    "FileLeaseStore",
    "Holding",
    "Lease",
    "LeaseClient",
    "LeaseError",
    "LeaseKeeper",
    "LeaseServer",
    "LeaseService",
    "LeaseStore",
    "Peers",
    "Quarantine",
    "Records",
    "Settings",
    "StoreError",
    "Succession",
    "SystemPeers",
    "Terms",
    "TunnelPeers",
    "View",
    "Wishes",
    "link_local",
]
