"""The leases of a gateway that lives in the coordinator's process: its server's ledger, without the API."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import (
    CoordinatorError,
    NotFreeError,
    StaleError,
    StorageFullError,
    UnavailableError,
)
from wirewright.coordinator.services import leases
from wirewright.dynamic import AddressTakenError, Change, Records, StoreError
from wirewright.dynamic.records import UnsureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.coordinator.storage import Storage, Transaction


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """A `wirewright.gateway.lease_store.Ledger` straight on the storage.

    ``wall`` gives seconds since 1970 by the clock of the server of leases, which goes on whoever sets the
    machine's.
    """

    storage: Storage
    gateway_id: str
    wall: Callable[[], int]

    async def load(self) -> tuple[int, Records]:
        """Give the version and all that is kept. Raises StoreError."""

        async def work(tx: Transaction) -> tuple[int, Records, int]:
            version, records = await leases.load(tx, self.gateway_id)
            return version, records, tx.now // SECOND

        try:
            version, records, now = await self.storage.read(work)
        except CoordinatorError as error:
            raise StoreError(errno.EIO, str(error)) from None
        everything = Change(
            tuple(records.leases.values()),
            quarantined=tuple(records.quarantined.values()),
            successions=tuple(records.successions.values()),
        )
        by_theirs = Records()
        by_theirs.apply(_shifted(everything, self.wall() - now))
        return version, by_theirs

    async def commit(self, change: Change, version: int, name: str) -> int:
        """Keep a change. Raises StoreError, perhaps an UnsureError, or AddressTakenError."""

        async def work(tx: Transaction) -> int:
            ours = _shifted(change, tx.now // SECOND - self.wall())
            return await leases.commit(tx, self.gateway_id, ours, version=version, change_id=name)

        try:
            return await self.storage.write(work)
        except NotFreeError as error:
            raise AddressTakenError(error.addresses) from None
        except (StaleError, UnavailableError) as error:
            raise UnsureError(errno.EAGAIN, str(error)) from None
        except StorageFullError as error:
            raise StoreError(errno.ENOSPC, str(error)) from None
        except CoordinatorError as error:
            raise StoreError(errno.EINVAL, str(error)) from None


def _shifted(change: Change, seconds: int) -> Change:
    """Give a change by another clock."""
    return replace(
        change,
        leases=tuple(replace(each, start=each.start + seconds) for each in change.leases),
        quarantined=tuple(replace(each, until=each.until + seconds) for each in change.quarantined),
        successions=tuple(
            each if each.until is None else replace(each, until=each.until + seconds)
            for each in change.successions
        ),
    )
