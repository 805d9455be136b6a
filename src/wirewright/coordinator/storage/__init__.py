"""Where the coordinator keeps things: tables, transactions on both databases, migrations."""

from wirewright.coordinator.storage.database import Storage, Transaction

__all__ = ["Storage", "Transaction"]
